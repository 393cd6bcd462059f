/** What an installation is set to: doors, dangerous settings, the age of the catalogue. */
import { connect } from 'node:net';
import { connect as connectSecurely } from 'node:tls';
import { builtIn, catalogue, catalogueProblem } from '../oauth/catalogue/catalogue.ts';
import { askConsole } from './answerer.ts';
import { checkError } from './errors.ts';
import type { InstallationFacts } from './home-facts.ts';
import { DAY_MS, type Found, operatorWarning } from './step.ts';

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');

/**
 * Whether something answers at every listener, and whether that is this installation: another one, or another program, may hold
 * the same ports.
 * @throws check.port-held
 */
export async function judgeListeners(installation: InstallationFacts): Promise<Found> {
  const { consoleDoor, listeners, listenersLeftOut } = installation;
  const fixed = listeners.filter(({ port }) => port !== 0);
  const [answers, console] = await Promise.all([
    Promise.all(fixed.map(async (one) => ({ ...one, answers: await accepts(one) }))),
    consoleDoor.port === 0 ? undefined : askConsole(consoleDoor),
  ]);
  const silent = answers.filter((one) => !one.answers);
  const names = (of: typeof answers): string =>
    of.map(({ protocol, host, port }) => `${protocol} ${host}:${port}`).join(', ');
  const facts = { listeners: answers };
  const notes = listenersLeftOut === undefined ? [] : [listenersLeftOut];
  if (console?.type === 'other' && console.who === 'another installation of Postern')
    return {
      says: `another installation answers at ${console.url}`,
      notes,
      facts: { ...facts, answeredBy: console.who },
      warning: operatorWarning(
        'home.answered-by-another',
        `another installation of Postern answers at ${console.url}, and so probably at the ports of the gateway`,
        { do: 'see whose it is', run: `ss -ltnp 'sport = :${consoleDoor.port}'` },
        { do: 'stop that one, or set other ports for this one in postern.yaml: console.port and listeners' },
      ),
    };
  const held = answers.filter((one) => one.answers);
  // The server opens its console with the gateway: where nobody is at the console, nobody of ours is at the other ports.
  if (console?.type === 'nobody' && held.length > 0) {
    const ports = held.map(({ port }) => `sport = :${port}`).join(' or ');
    throw checkError(
      'check.port-held',
      `another program answers at ${names(held)}: the gateway does not run, and cannot start before that port is free`,
      {
        hint: `see whose it is: ss -ltnp '${ports}'; stop that program or set another port in postern.yaml, then: postern serve`,
        detail: { heldByOthers: names(held) },
      },
    );
  }
  if (silent.length === 0) return { says: names(answers) || 'free ports, which cannot be looked at', notes, facts };
  const whole = silent.length === answers.length;
  return {
    says: whole ? 'nothing answers: the gateway does not run' : `no answer at ${names(silent)}`,
    notes,
    facts,
    warning: operatorWarning(
      'home.not-serving',
      whole ? 'the gateway does not run' : `the gateway does not answer at ${names(silent)}`,
      whole
        ? { do: 'start it', run: 'postern serve' }
        : { do: 'see who holds the port, and read the gateway’s log', run: 'ss -ltnp' },
    ),
  };
}

const ACCEPT_MS = 2000;

/** Where TLS comes first it is begun: whoever hangs up before looks like a device that cannot do it, in the log and in a metric. */
function accepts({ host, port, tls }: InstallationFacts['listeners'][number]): Promise<boolean> {
  const target = { host: host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host, port, timeout: ACCEPT_MS };
  return new Promise((resolve) => {
    // Whether the certificate is right is another step's question.
    const socket = tls === 'implicit' ? connectSecurely({ ...target, rejectUnauthorized: false }) : connect(target);
    const done = (open: boolean) => (): void => {
      socket.destroy();
      resolve(open);
    };
    socket
      .once(tls === 'implicit' ? 'secureConnect' : 'connect', done(true))
      .once('error', done(false))
      .once('timeout', done(false));
  });
}

/** @throws check.insecure */
export function judgeSettings({ environment, listeners, console, logLevel }: InstallationFacts): Found {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0')
    throw checkError('check.insecure', 'NODE_TLS_REJECT_UNAUTHORIZED=0 switches the verification of certificates off', {
      hint: 'unset NODE_TLS_REJECT_UNAUTHORIZED; give a private CA with the application’s ca setting instead',
    });
  const plain = listeners.find(({ tls, host }) => tls === 'none' && !isLoopback(host));
  if (plain)
    throw checkError(
      'check.insecure',
      `the ${plain.protocol} listener on ${plain.host}:${plain.port} takes passwords without TLS`,
      {
        hint: 'set tls: starttls or tls: implicit for this listener, or bind it to 127.0.0.1',
      },
    );
  const open = [...new Set(listeners.filter(({ host }) => !isLoopback(host)).map(({ host }) => host))];
  const facts = { openTo: open, publicConsole: console.insecurePublic && !isLoopback(console.host), logLevel };
  const doubts = [
    ...(facts.publicConsole ? ['the console answers beyond this machine without TLS or sign-in'] : []),
    ...(logLevel === 'debug' ? ['the log is at level debug, which tells much about who reads mail when'] : []),
  ];
  const says =
    open.length === 0 ? 'everything stays on this machine' : `open to the network at ${open.join(', ')}, with TLS`;
  if (doubts.length === 0) return { says, facts };
  return {
    says: doubts.join('; '),
    facts,
    warning: operatorWarning('home.insecure-settings', doubts[0]!, {
      do: facts.publicConsole
        ? 'bind the console to 127.0.0.1 and put a proxy with TLS in front'
        : environment['POSTERN_LOG_LEVEL']
          ? 'unset POSTERN_LOG_LEVEL'
          : 'set log.level to info in postern.yaml',
    }),
  };
}

const OLD_DAYS = 180;

export function judgeCatalogue(now: number): Found {
  const { edition, published } = catalogue();
  const days = Math.floor((now - Date.parse(published)) / DAY_MS);
  const facts = { edition, published, builtIn: builtIn().edition };
  const problem = catalogueProblem();
  const doubt = problem
    ? `the newer edition in the home is not used: ${problem.message}`
    : days > OLD_DAYS
      ? `the catalogue of provider changes is ${days} days old`
      : undefined;
  const says = `edition ${edition} of ${published}`;
  if (doubt === undefined) return { says, facts };
  return {
    says: `${says}; ${doubt}`,
    facts,
    warning: operatorWarning('home.catalogue-old', doubt, {
      do: 'fetch the newest edition',
      run: 'postern update-data FILE',
    }),
  };
}
