/** The exit code of a failure: what passes by itself is worth another try (75), whatever form it came in. */
import type { Kind, PosternError } from '../base/error.ts';
import { replies, replyTo } from '../base/replies.ts';
import { diagnose } from '../oauth/catalogue/diagnose.ts';

/** sysexits.h: EX_TEMPFAIL where the catalogue says that it passes by itself, otherwise that of the code and kind. */
export function exitCodeOf(error: PosternError): number {
  return exitCode(replyTo(error).exit, error.kind, diagnose(error).passesWhen);
}

/** Of a finding, which keeps only the kind of its error. */
export function exitCodeOfKind(kind: Kind, passesWhen: string | undefined): number {
  return exitCode(replies[kind].exit, kind, passesWhen);
}

function exitCode(usual: number, kind: Kind, passesWhen: string | undefined): number {
  // A garbled answer (76) may be all that a server in trouble has to say.
  return kind === 'garbled' && passesWhen !== undefined ? replies.later.exit : usual;
}
