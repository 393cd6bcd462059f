/**
 * The duty of renewal at scale: grants with tokens of one hour, all due at once, on two processes that share one database.
 *
 *   npm run bench -- renewal [--grants 10000] [--rate 200] [--idle 60]
 *
 * Says what a renewal costs, what that is of one core when every grant is renewed once per period, and whether each was
 * renewed exactly once.
 */
import { privateFolder } from '../test/bed/process.ts';
import { furnishHome, startRenewingProcess, startTokenEndpoint } from '../test/bed/renewing-process.ts';
import { setTimeout as delay } from 'node:timers/promises';

/** An hour's token is renewed 46 minutes after it was obtained, on average. */
const PERIOD_S = 46 * 60;

/** @param idleS how long to watch two processes with nothing due; a minute holds one look at all grants */
export async function benchRenewal(grants: number, rate: number, idleS: number): Promise<void> {
  const folder = privateFolder();
  const endpoint = await startTokenEndpoint();
  try {
    process.stderr.write(`furnishing ${grants} grants\n`);
    const home = await furnishHome(folder.path, endpoint, grants);
    const processes = await Promise.all([startRenewingProcess(home, rate / 2), startRenewingProcess(home, rate / 2)]);
    const cpu = async (): Promise<number> =>
      (await Promise.all(processes.map((each) => each.cpu()))).reduce((sum, seconds) => sum + seconds, 0);
    const before = await cpu();
    const started = performance.now();
    while (endpoint.renewals.size < grants) {
      await delay(100);
      if (performance.now() - started > (grants / rate) * 10_000 + 60_000) throw new Error('it takes too long');
    }
    const took = (performance.now() - started) / 1000;
    const busy = await cpu();
    await delay(idleS * 1000);
    const idle = ((await cpu()) - busy) / idleS;
    await Promise.all(processes.map((each) => each.stop()));
    const each = (busy - before) / grants;
    const share = (each * grants) / PERIOD_S + idle;
    const counts = [...endpoint.renewals.values()];
    const result = {
      grants,
      processes: 2,
      seconds: round(took),
      perSecond: Math.round(grants / took),
      cpuMsPerRenewal: round(each * 1000),
      idleShareOfOneCore: percent(idle),
      shareOfOneCore: percent(share),
      renewedOnce: counts.filter((times) => times === 1).length,
      renewedMore: counts.filter((times) => times > 1).length,
    };
    process.stdout.write(`${JSON.stringify(result)}\n`);
  } finally {
    endpoint.close();
    folder.remove();
  }
}

const round = (value: number): number => Math.round(value * 100) / 100;
const percent = (share: number): string => `${(share * 100).toFixed(2)} %`;
