/** A template filled in: subject, HTML and text part. */
import type { Template } from '../../store/types-api.ts';
import { outboxError } from '../errors.ts';
import { parseTemplate, renderTemplate } from './mustache.ts';
import { plainTextOf } from './plain-text.ts';

export type TemplateSource = Pick<Template, 'subject' | 'html' | 'text'>;

export interface Rendered {
  readonly subject: string;
  readonly html: string | undefined;
  readonly text: string;
}

/** @throws outbox.template, outbox.template-data */
export function renderMessage(source: TemplateSource, data: Readonly<Record<string, unknown>>): Rendered {
  checkTemplate(source);
  const fill = (text: string, part: string, escape: (text: string) => string): string =>
    renderTemplate(parseTemplate(text, part), data, escape, part);
  const subject = fill(source.subject, 'subject', asIs);
  // A line break would end the header and begin another one of the data's choosing.
  if (/[\r\n]/.test(subject))
    throw outboxError('outbox.template-data', 'a value in the subject has a line break', {
      detail: { part: 'subject' },
    });
  const html = source.html === undefined ? undefined : fill(source.html, 'html', escapeHtml);
  const text = source.text === undefined ? plainTextOf(html ?? '') : fill(source.text, 'text', asIs);
  return { subject, html, text };
}

/** @throws outbox.template */
export function checkTemplate({ subject, html, text }: TemplateSource): void {
  if (html === undefined && text === undefined)
    throw outboxError('outbox.template', 'the template has neither html nor text');
  parseTemplate(subject, 'subject');
  if (html !== undefined) parseTemplate(html, 'html');
  if (text !== undefined) parseTemplate(text, 'text');
}

const asIs = (text: string): string => text;

/** Safe between tags and inside quoted attributes. */
function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}
