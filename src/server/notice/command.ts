/** Notices by running a program: no shell, no secrets in its environment, and never for long. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { finished } from 'node:stream/promises';
import { scrub } from '../../base/secret.ts';
import { serverError } from '../errors.ts';
import { type NoticeChannel, type OutgoingNotice, payloadOf } from './channel.ts';

/** What a program needs to run; everything else of our environment may hold secrets. */
const PASSED_ON = [
  'PATH',
  'HOME',
  'LANG',
  'LC_ALL',
  'TZ',
  'USER',
  'TMPDIR',
  'XDG_RUNTIME_DIR',
  'DBUS_SESSION_BUS_ADDRESS',
];
const MAX_OUTPUT = 2000;
/** How long what a failed program wrote is waited for once it has ended. */
const LAST_WORDS_MS = 1000;

export function commandChannel(
  argv: readonly string[],
  timeoutMs: number,
  environment: Readonly<Record<string, string | undefined>>,
): NoticeChannel {
  const [program = '', ...args] = argv;
  const kept = Object.fromEntries(PASSED_ON.flatMap((name) => (environment[name] ? [[name, environment[name]]] : [])));
  return {
    name: 'command',
    async deliver(notice, signal) {
      const child = spawn(program, args, {
        env: { ...kept, ...variablesOf(notice) },
        stdio: ['pipe', 'ignore', 'pipe'],
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
        killSignal: 'SIGKILL',
      });
      let said = '';
      child.stderr.on('data', (piece: Buffer) => void (said = (said + piece.toString()).slice(-MAX_OUTPUT)));
      // A program that does not read what it is told closes the pipe, and may.
      child.stdin.on('error', () => undefined);
      child.stdin.end(`${payloadOf(notice)}\n`);
      let code: number | null;
      try {
        [code] = (await once(child, 'exit')) as [number | null];
      } catch (cause) {
        if (signal.aborted) throw signal.reason;
        const stopped = cause instanceof Error && cause.name === 'AbortError';
        const why = stopped ? `took longer than ${timeoutMs} ms` : `cannot be run: ${String(cause)}`;
        throw serverError('server.notice-delayed', `the command ${program} ${why}`, { cause });
      }
      if (code === 0) return void child.stderr.destroy();
      // Its last words may still be in the pipe when it has ended, and a program it left running may hold the pipe open.
      await finished(child.stderr, { signal: AbortSignal.timeout(LAST_WORDS_MS) }).catch(() => child.stderr.destroy());
      const last = scrub(said.trim().split('\n').at(-1) ?? '');
      throw serverError(
        'server.notice-delayed',
        `the command ${program} ended with ${code ?? 'a signal'}${last === '' ? '' : `: ${last}`}`,
      );
    },
  };
}

function variablesOf({ id, status, at, body }: OutgoingNotice): Record<string, string> {
  return {
    POSTERN_NOTICE_ID: id,
    POSTERN_NOTICE_STATUS: status,
    POSTERN_NOTICE_AT: new Date(at).toISOString(),
    POSTERN_NOTICE_TYPE: body.type,
    POSTERN_NOTICE_SUMMARY: body.summary,
    POSTERN_NOTICE_REASON: body.reason,
    POSTERN_NOTICE_REMEDY: body.remedy,
    POSTERN_NOTICE_DEADLINE: body.deadline ?? '',
    POSTERN_NOTICE_MAILBOXES: body.mailboxes.join(' '),
    POSTERN_NOTICE_MAILBOX_COUNT: String(body.mailboxCount),
    POSTERN_NOTICE_LINK: body.link ?? '',
  };
}
