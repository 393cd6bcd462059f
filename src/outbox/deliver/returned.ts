/** What comes back, read: delivery reports (RFC 3464 in RFC 6522) and complaints (RFC 5965). */
import { fieldOf, parseMessage, type Part } from '../../protocol/mime/part.ts';

export interface ReturnedRecipient {
  readonly address: string;
  /** RFC 3464 §2.3.3; complaints have none. */
  readonly action: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded' | undefined;
  /** RFC 3463: `5.1.1`. */
  readonly status: string | undefined;
  /** The server's words. */
  readonly diagnostic: string | undefined;
}

export interface Returned {
  readonly type: 'report' | 'complaint';
  /** Of the report itself, with angle brackets. */
  readonly reportId: string | undefined;
  readonly recipients: readonly ReturnedRecipient[];
  /** What we called the envelope (RFC 3461 §4.4): known to servers on the way, never to whoever gets the message. */
  readonly envelopeId: string | undefined;
  /** Message-IDs it may be about, the surest first. */
  readonly about: readonly string[];
  /** Complaints: `abuse`, `not-spam`, … (RFC 5965 §7.3). */
  readonly feedback: string | undefined;
  /** Who says so: `Reporting-MTA` or `User-Agent`. */
  readonly reporter: string | undefined;
}

const ACTIONS = ['failed', 'delayed', 'delivered', 'relayed', 'expanded'] as const;
const MAX_RECIPIENTS = 1000;
const MAX_TEXT = 1000;
/** Each is looked for in the outbox, and a forged report may name any number. */
const MAX_ABOUT = 50;

/** Undefined for a message that is neither. @param raw may be cut off after the fields */
export function readReturned(raw: Buffer): Returned | undefined {
  const message = parseMessage(raw);
  if (message.type !== 'multipart') return undefined;
  const [status] = find(message, 'delivery-status', 'global-delivery-status');
  const [feedback] = find(message, 'feedback-report');
  const shared = { reportId: idsIn(fieldOf(message, 'message-id'))[0], about: aboutOf(message) };
  if (status) {
    const [whole = new Map<string, string>(), ...each] = blocksOf(status);
    const recipients = each.slice(0, MAX_RECIPIENTS).flatMap((fields) => recipientOf(fields) ?? []);
    const reporter = typed(whole.get('reporting-mta'));
    if (recipients.length === 0) return undefined;
    const envelopeId = whole.get('original-envelope-id');
    return { type: 'report', ...shared, envelopeId, recipients, feedback: undefined, reporter };
  }
  if (feedback) {
    const [fields = new Map<string, string>()] = blocksOf(feedback);
    const address = fields.get('original-rcpt-to')?.replace(/^<|>$/g, '');
    const recipients =
      address === undefined ? [] : [{ address, action: undefined, status: undefined, diagnostic: undefined }];
    return {
      type: 'complaint',
      ...shared,
      envelopeId: fields.get('original-envelope-id'),
      recipients,
      feedback: fields.get('feedback-type') ?? 'abuse',
      reporter: fields.get('user-agent'),
    };
  }
  return undefined;
}

function recipientOf(fields: ReadonlyMap<string, string>): ReturnedRecipient | undefined {
  // What was written on the envelope is what we know it by; aliases end up somewhere else.
  const address = typed(fields.get('original-recipient') ?? fields.get('final-recipient'));
  if (address === undefined) return undefined;
  const action = fields.get('action')?.toLowerCase();
  return {
    address,
    action: ACTIONS.find((name) => name === action),
    status: /\b[245]\.\d{1,3}\.\d{1,3}\b/.exec(fields.get('status') ?? '')?.[0],
    diagnostic: typed(fields.get('diagnostic-code')),
  };
}

/** The original's Message-ID, whole message or header only; then what the report says that it answers. */
function aboutOf(message: Part): readonly string[] {
  const originals = [
    ...find(message, 'rfc822').flatMap(({ children }) => children.map((child) => fieldOf(child, 'message-id'))),
    ...find(message, 'rfc822-headers').map((part) => blocksOf(part)[0]?.get('message-id')),
  ];
  const ids = [...originals, fieldOf(message, 'in-reply-to'), fieldOf(message, 'references')].flatMap(idsIn);
  return [...new Set(ids)].slice(0, MAX_ABOUT);
}

function idsIn(value: string | undefined): readonly string[] {
  return value?.match(/<[^<>\s]{1,900}>/g)?.slice(0, 20) ?? [];
}

/** Parts of a subtype, not those of messages inside. */
function find(part: Part, ...subtypes: readonly string[]): readonly Part[] {
  if (subtypes.includes(part.subtype)) return [part];
  return part.type === 'multipart' ? part.children.flatMap((child) => find(child, ...subtypes)) : [];
}

/** Groups of fields between empty lines; the first of a name counts. */
function blocksOf(part: Part): readonly ReadonlyMap<string, string>[] {
  const octets = part.raw.subarray(part.body, part.end);
  const encoding = fieldOf(part, 'content-transfer-encoding')?.toLowerCase();
  const text = encoding === 'base64' ? Buffer.from(octets.toString('latin1'), 'base64').toString() : octets.toString();
  return text.split(/\r?\n[ \t]*\r?\n/).flatMap((block) => {
    const fields = new Map<string, string>();
    for (const line of block.replace(/\r?\n(?=[ \t])/g, '').split(/\r?\n/)) {
      const colon = line.indexOf(':');
      const name = line.slice(0, colon).trim().toLowerCase();
      if (colon > 0 && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
    }
    return fields.size > 0 ? [fields] : [];
  });
}

/** `rfc822; bob@x.test`, `smtp; 550 …`: without the type. */
function typed(value: string | undefined): string | undefined {
  return value
    ?.replace(/^[\w-]+[ \t]*;[ \t]*/, '')
    .replace(/^<|>$/g, '')
    .slice(0, MAX_TEXT);
}
