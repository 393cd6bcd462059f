/** Stands between a mail program and the gateway, passes everything on and knows what the program is at. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { portOf } from './port.ts';

export interface ImapWatch {
  readonly port: number;
  /** Resolves when the program rests in IDLE and has fetched every message it was told of. */
  resting(): Promise<void>;
  /** Resolves when a NOOP that the program sent from now on is answered and every message it was told of is fetched. */
  polled(): Promise<void>;
  /** The conversation so far, for a test that fails. */
  transcript(): string;
  close(): void;
}

const PATIENCE_MS = 30_000;
const TRANSCRIPT_LINES = 60;

export async function watchImap(port: number): Promise<ImapWatch> {
  const sockets = new Set<Socket>();
  const lines: string[] = [];
  const changed = new EventTarget();
  let [idle, messages, behind, polls] = [false, 0, false, 0];
  /** Tag of the NOOP or IDLE under way. */
  let noop: string | undefined;

  const note = (who: 'C' | 'S', line: string): void => {
    lines.push(`${who}: ${line.slice(0, 120)}`);
    if (who === 'C') {
      const [, tag, command] = /^(\S+)(?: (?:UID )?([A-Z]+))?/i.exec(line) ?? [];
      if (tag === 'DONE') idle = false;
      if (command?.toUpperCase() === 'NOOP') noop = tag;
      if (command?.toUpperCase() === 'FETCH') behind = false;
    } else if (line.startsWith('+ ')) idle = true;
    else if (noop !== undefined && line.startsWith(`${noop} `)) {
      noop = undefined;
      polls += 1;
    } else {
      const [, number, word] = /^\* (\d+) (EXISTS|EXPUNGE)$/.exec(line) ?? [];
      if (word === 'EXPUNGE') messages -= 1;
      if (word === 'EXISTS') {
        behind ||= Number(number) > messages;
        messages = Number(number);
      }
    }
    changed.dispatchEvent(new Event('line'));
  };
  const reader = (who: 'C' | 'S'): ((piece: Buffer) => void) => {
    let rest = '';
    return (piece) => {
      const parts = (rest + piece.toString('latin1')).split('\r\n');
      rest = parts.pop()!;
      for (const part of parts) note(who, part);
    };
  };
  const until = async (reached: () => boolean): Promise<void> => {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    while (!reached())
      await once(changed, 'line', { signal }).catch(() => {
        throw new Error(`not there after ${PATIENCE_MS} ms:\n${transcript()}`);
      });
  };
  const transcript = (): string => lines.slice(-TRANSCRIPT_LINES).join('\n');

  const server = createServer((program) => {
    const gateway = connect({ host: '127.0.0.1', port });
    for (const [from, to, who] of [
      [program, gateway, 'C'],
      [gateway, program, 'S'],
    ] as const) {
      sockets.add(from);
      const read = reader(who);
      // Noted before it is passed on: nobody can answer what was not noted.
      from.on('data', (piece) => {
        read(piece);
        to.write(piece);
      });
      from.on('error', () => to.destroy());
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: portOf(server),
    resting: () => until(() => idle && !behind),
    async polled() {
      const from = polls;
      // One that was under way already may have missed what happened just now.
      const enough = from + (noop === undefined ? 1 : 2);
      await until(() => polls >= enough && !behind);
    },
    transcript,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
