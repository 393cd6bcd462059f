/** A template filled in: subject, HTML and text part. */
import type { Template } from '../../store/types-api.ts';
import { outboxError } from '../errors.ts';
import { inTurns } from '../../base/turns.ts';
import { parseTemplate, renderTemplate, type TemplateNode } from './mustache.ts';
import { readAsText } from './plain-text.ts';

export type TemplateSource = Pick<Template, 'subject' | 'html' | 'text'>;

export interface Rendered {
  readonly subject: string;
  readonly html: string | undefined;
  readonly text: string;
}

/** A template that was read: filled in as often as needed. */
export interface Compiled {
  readonly subject: readonly TemplateNode[];
  readonly html: readonly TemplateNode[] | undefined;
  readonly text: readonly TemplateNode[] | undefined;
}

/** @throws outbox.template */
export function compileTemplate({ subject, html, text }: TemplateSource): Compiled {
  if (html === undefined && text === undefined)
    throw outboxError('outbox.template', 'the template has neither html nor text');
  return {
    subject: parseTemplate(subject, 'subject'),
    html: html === undefined ? undefined : parseTemplate(html, 'html'),
    text: text === undefined ? undefined : parseTemplate(text, 'text'),
  };
}

/** Filled in with other work of this process in between. @throws outbox.template, outbox.template-data */
export function renderMessage(template: Compiled, data: Readonly<Record<string, unknown>>): Promise<Rendered> {
  return inTurns(rendering(template, data));
}

function* rendering(template: Compiled, data: Readonly<Record<string, unknown>>): Generator<undefined, Rendered> {
  const subject = yield* renderTemplate(template.subject, data, asIs, 'subject');
  // A line break would end the header and begin another one of the data's choosing.
  if (/[\r\n]/.test(subject))
    throw outboxError('outbox.template-data', 'a value in the subject has a line break', {
      detail: { part: 'subject' },
    });
  const html = template.html && (yield* renderTemplate(template.html, data, escapeHtml, 'html'));
  const text = template.text ? yield* renderTemplate(template.text, data, asIs, 'text') : yield* readAsText(html ?? '');
  return { subject, html, text };
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
