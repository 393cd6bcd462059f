/** Who a message says it is from: `From` and `Sender` held against the addresses that may be named there (RFC 5322 §3.6.2). No I/O. */
import { type ListedAddress, readAddressList } from './address-list.ts';
import { type Field, utf8 } from './header-fields.ts';

export interface AuthorRules {
  /** Whether the message may be from an address. */
  mayBe(address: string): boolean;
  /** `MAIL FROM:<>`: only reports have no sender (RFC 5321 §4.5.5, RFC 3834 §3.3). */
  readonly nullSender: boolean;
  /**
   * Who resends a message leaves its author as it was (RFC 5322 §3.6.6): then `Resent-From` is checked instead. Only for those who
   * need no permission to write a From.
   */
  readonly mayResend?: boolean;
  /** Of a name of a machine (`root`), which is replaced by somebody else: then it is not judged here. */
  isReplaced(one: ListedAddress): boolean;
  /**
   * Of which machine a report may be from MAILER-DAEMON: of any where somebody writes the mailbox in its place, else where `own` says
   * so. Whoever reads a message as it came takes the domain for its author.
   */
  readonly daemons: 'replaced' | { own(domain: string): boolean };
}

export interface AuthorProblem {
  /** `sender`: an address that is not allowed; `header`: no list of addresses as the standard has it. */
  readonly type: 'sender' | 'header';
  /** A sentence's end after the name of the field: `From names eve@x.test`. */
  readonly problem: string;
  readonly line: number | undefined;
  readonly address?: string;
}

/** What stands against sending a message with this header; undefined when nothing does. A missing `From` is not judged. */
export function authorProblem(fields: readonly Field[], rules: AuthorRules): AuthorProblem | undefined {
  const isReport = rules.nullSender && reportKind(fields) !== undefined;
  if (rules.nullSender && !isReport)
    return {
      type: 'sender',
      problem:
        'the message has no envelope sender (MAIL FROM:<>) and is no report: neither multipart/report nor Auto-Submitted',
      line: undefined,
    };
  const isResent = rules.mayResend === true && fields.some(({ name }) => name === 'resent-from');
  let authors = 0;
  let hasSender = false;
  for (const { name, value, line } of fields) {
    const judged = isResent ? RESENT.has(name) : WRITTEN.has(name) || RESENT.has(name);
    if (!judged) continue;
    const { addresses, grouped, problem } = readAddressList(utf8(value));
    const field = SHOWN[name]!;
    if (problem !== undefined || grouped)
      return { type: 'header', problem: `${field} has ${problem ?? 'a group'}`, line };
    if (addresses.length === 0) return { type: 'header', problem: `${field} names nobody`, line };
    if (name === 'sender' || name === 'resent-sender') {
      if (addresses.length > 1) return { type: 'header', problem: `${field} names more than one address`, line };
      hasSender ||= name === 'sender';
    }
    if (name === 'from') authors = addresses.length;
    for (const one of addresses) {
      if (rules.isReplaced(one)) continue;
      if (rules.mayBe(one.address) || (isReport && isDaemon(one) && isOwn(one, rules.daemons))) continue;
      return {
        type: 'sender',
        problem: `${field} names ${one.address === '' ? 'nobody' : one.address.slice(0, 254)}`,
        line,
        address: one.address,
      };
    }
  }
  if (authors > 1 && !hasSender)
    return { type: 'header', problem: 'From names several, so Sender has to name the one who sends', line: undefined };
  return undefined;
}

const WRITTEN = new Set(['from', 'sender']);
const RESENT = new Set(['resent-from', 'resent-sender']);
const SHOWN: Readonly<Record<string, string>> = {
  from: 'From',
  sender: 'Sender',
  'resent-from': 'Resent-From',
  'resent-sender': 'Resent-Sender',
};

/** `report`: multipart/report (RFC 6522); `automatic`: an answer nobody wrote (RFC 3834 §5). */
function reportKind(fields: readonly Field[]): 'report' | 'automatic' | undefined {
  let kind: 'automatic' | undefined;
  for (const { name, value } of fields) {
    if (name === 'content-type' && /^multipart\/report(?:[;\s(]|$)/i.test(value)) return 'report';
    if (name === 'auto-submitted' && value !== '' && !/^no(?:[;\s(]|$)/i.test(value)) kind = 'automatic';
  }
  return kind;
}

function isOwn({ address, isLocal }: ListedAddress, daemons: AuthorRules['daemons']): boolean {
  if (daemons === 'replaced' || isLocal || address === '') return true;
  return daemons.own(address.slice(address.lastIndexOf('@') + 1));
}

/** The mail system itself, under whatever name its machine has: Postfix, Exim, sendmail and dma write bounces from it. */
export function isDaemon({ name, address, isLocal }: ListedAddress): boolean {
  if (address === '') return name.toLowerCase() === 'mailer-daemon';
  return (isLocal ? address : address.slice(0, address.lastIndexOf('@'))).toLowerCase() === 'mailer-daemon';
}
