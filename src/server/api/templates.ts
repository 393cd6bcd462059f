/** `/v1/templates`: versions, preview. */
import {
  getTemplate,
  listTemplates,
  listTemplateVersions,
  previewStoredTemplate,
  previewTemplate,
  putTemplate,
  removeTemplate,
} from '../../admin/templates.ts';
import type { ActRoutes } from './acts.ts';

export function templates({ list, one }: ActRoutes): void {
  const rendered = { says: 'as it would be sent' };
  list(listTemplates, 'listTemplates', '/v1/templates', { says: 'by name', position: ({ name }) => name });
  one(putTemplate, 'putTemplate', 'put /v1/templates/{name}', { status: 201, says: 'the new version' });
  one(previewTemplate, 'previewTemplate', 'post /v1/templates/preview', rendered);
  const says = 'the newest version, or the one that was asked for';
  one(getTemplate, 'getTemplate', 'get /v1/templates/{name}', { says });
  list(listTemplateVersions, 'listTemplateVersions', '/v1/templates/{name}/versions', {
    says: 'newest first',
    position: ({ version }) => version,
  });
  one(previewStoredTemplate, 'previewStoredTemplate', 'post /v1/templates/{name}/preview', rendered);
  one(removeTemplate, 'deleteTemplate', 'delete /v1/templates/{name}');
}
