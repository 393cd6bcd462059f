/** What a client has to be told when a successor takes over (RFC 9051 §7.4.1, §7.5.1, §7.5.2; RFC 7162 §3.2.10). */
import { formatSequenceSet } from '../../protocol/imap/sequence-set.ts';
import type { Successor } from './successor.ts';
import type { ImapTap } from './tap.ts';
import { difference } from './view.ts';

export interface Changes {
  /** Without CRLF, in order. */
  readonly lines: readonly string[];
  /** Messages are gone: numbers move. */
  readonly expunging: boolean;
}

/**
 * @param left whether the old server has told everything up to a moment at which the successor was there already: then what
 *   the successor saw change is enough. Otherwise all flags are told again, or what has a newer MODSEQ.
 * @param mayExpunge false asks for `not-now` when messages are gone
 * @returns `not-now` also when the successor still shows messages of which the client knows that they are gone;
 *   @returns `unknown` when it cannot be said which messages the client means. @throws wire.*, or the signal's reason
 */
export async function changesFor(
  tap: ImapTap,
  successor: Successor,
  left: boolean,
  mayExpunge: boolean,
  signal: AbortSignal,
): Promise<Changes | 'not-now' | 'unknown'> {
  const told = tap.place.selection;
  const now = successor.selection;
  if (told === undefined || now === undefined) return { lines: [], expunging: false };
  let changes = difference(told.view, now.view, tap.freeEnd);
  if (changes.type === 'behind' || (changes.type === 'known' && changes.unsure)) {
    await successor.refresh(signal);
    changes = difference(told.view, successor.selection!.view, tap.freeEnd);
  }
  if (changes.type === 'unknown') return 'unknown';
  if (changes.type === 'behind') return 'not-now';
  const expunging = changes.expunged.length > 0;
  if (expunging && !mayExpunge) return 'not-now';
  const lines: string[] = [];
  if (now.flags !== undefined && now.flags !== told.flags) lines.push(`* FLAGS ${now.flags}`);
  if (now.permanentFlags !== undefined && now.permanentFlags !== told.permanentFlags)
    lines.push(`* OK [PERMANENTFLAGS ${now.permanentFlags}] flags that may be changed`);
  if (now.readOnly !== told.readOnly) lines.push(`* OK [${now.readOnly ? 'READ-ONLY' : 'READ-WRITE'}] access changed`);
  if (tap.place.enabled.has('QRESYNC')) {
    if (expunging) lines.push(`* VANISHED ${formatSequenceSet(changes.vanished.toReversed())}`);
  } else lines.push(...changes.expunged.map((number) => `* ${number} EXPUNGE`));
  if (changes.added > 0) {
    lines.push(`* ${changes.count} EXISTS`);
    if (successor.recent !== undefined) lines.push(`* ${successor.recent} RECENT`);
  }
  const since =
    told.condstore && told.modSeq !== undefined && now.modSeq !== undefined
      ? { modSeq: told.modSeq }
      : left
        ? 'changes'
        : 'everything';
  lines.push(...(await successor.flags(since, signal)));
  return { lines, expunging };
}
