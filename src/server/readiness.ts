/** Whether this process can do its work: what `/readyz` says, and what makes a process end that cannot recover by itself. */
import { systemClock } from '../base/clock.ts';
import { asError, type PosternError } from '../base/error.ts';
import { Rarely } from '../base/rarely.ts';
import { fits, roomOf, shortText } from '../store/room.ts';
import { descriptorLimit, descriptorProblem } from './descriptors.ts';
import { serverError } from './errors.ts';
import { databaseFile } from './installation-mark.ts';
import type { Instance } from './instance.ts';

export interface Readiness extends AsyncDisposable {
  /** What stands against being ready, in plain words. Never rejects. */
  problems(): Promise<readonly string[]>;
}

/** A monitor that asks more often gets the same answer: each one costs a write. */
const ANSWER_MS = 2000;
/** A monitor hears within this that the database does not answer; most ask again, or give up, after five seconds. */
const PATIENCE_MS = 2000;
/** How often to look whether the database file is still the one that is open. */
const FILE_MS = 2000;
/** How often it is said that descriptors run out. */
const SAY_AGAIN_MS = 60_000;
/** A file that is put in place by renaming is away for a moment. */
const LOOKS_UNTIL_GONE = 2;
/** Of an ordinary message: without room for it mail is refused. */
const MESSAGE_OCTETS = 64 * 1024;

/** @param lost called once, when only a new process can help */
export function openReadiness(instance: Instance, lost: (error: PosternError) => void): Readiness {
  const { clock, config, log, store } = instance;
  // Read while there is a descriptor to read it with.
  const limit = descriptorLimit();
  const rarely = new Rarely(clock, SAY_AGAIN_MS);
  const file = databaseFile(config);
  const gone = (): string | undefined => instance.inPlace.gone();
  let missed = 0;
  let last: { readonly until: number; readonly answer: readonly string[] } | undefined;
  let asked: { readonly at: number; readonly answer: Promise<readonly string[]> } | undefined;

  const sayDescriptors = (): void => {
    const few = descriptorProblem(limit);
    if (few === undefined || rarely.due('descriptors') === undefined) return;
    const hint =
      'raise the limit: LimitNOFILE=65536 in the unit, or ulimit -n 65536 in the shell that starts it; `ls -l /proc/PID/fd` shows what is open';
    log.error({ hint }, `${few}; new connections may be refused without a word until some end`);
  };
  const look = (): void => {
    timer = clock.after(FILE_MS, look);
    sayDescriptors();
    const what = gone();
    missed = what === undefined ? 0 : missed + 1;
    if (what === undefined || missed < LOOKS_UNTIL_GONE) return;
    timer.cancel();
    lost(serverError('server.database-gone', `${what}; what is written now would be lost`));
  };
  let timer = clock.after(FILE_MS, look);

  let furnished = false;
  /** A database with nothing in it is most likely the wrong one: a path or a variable differs from that of the set-up. */
  const emptiness = async (): Promise<string | undefined> => {
    if (furnished) return undefined;
    const [mailboxes, passwords] = await Promise.all([store.mailboxes.list(), store.appPasswords.list()]);
    furnished = mailboxes.length + passwords.length > 0;
    return furnished
      ? undefined
      : `${file ?? 'the database'} holds no mailbox and no app password: set one up (postern init --address ADDRESS), or start Postern with the POSTERN_HOME or database of the installation you have`;
  };
  let looked = false;
  /** What a start does not read by itself: mail would be the first to find out. Whoever has the store hears of damage, too. */
  const damage = async (): Promise<void> => {
    if (looked) return;
    await store.space.damage(0);
    looked = true;
  };
  const ofTheMachine = (): readonly string[] =>
    [gone(), roomProblem(file), descriptorProblem(limit)].filter((problem) => problem !== undefined);
  const examine = async (): Promise<readonly string[]> => {
    const problems: (string | undefined)[] = [...ofTheMachine()];
    try {
      problems.push(await emptiness());
      await damage();
      // A write: a database may answer questions and take nothing, and mail has to be taken.
      await store.leases.acquire('readiness', 'readiness', 0);
    } catch (error) {
      problems.push(asError(error).message);
    }
    return problems.filter((problem) => problem !== undefined);
  };
  return {
    async problems() {
      const now = clock.now();
      if (last !== undefined && now < last.until && now >= last.until - ANSWER_MS) return last.answer;
      asked ??= {
        at: performance.now(),
        answer: examine().then((answer) => {
          last = { until: clock.now() + ANSWER_MS, answer };
          asked = undefined;
          return answer;
        }),
      };
      const { at, answer } = asked;
      const enough = new AbortController();
      const silent = systemClock.sleep(PATIENCE_MS, enough.signal).then(
        () => {
          const seconds = Math.round((performance.now() - at) / 1000);
          return [...ofTheMachine(), `the database has not answered for ${seconds} seconds`];
        },
        () => [],
      );
      const first = await Promise.race([answer, silent]);
      enough.abort();
      return first;
    },
    async [Symbol.asyncDispose]() {
      timer.cancel();
    },
  };
}

function roomProblem(file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  try {
    const room = roomOf(file);
    return fits(room, MESSAGE_OCTETS)
      ? undefined
      : `the disk of the database is full, mail is refused: of the disk of ${file} ${shortText(room)}`;
  } catch {
    return undefined; // the folder is gone: said of the file
  }
}
