/**
 * Watches one serving process from a thread of its own, once a second: its memory (proc(5)), and how long /healthz and /readyz
 * take. What delayed the measuring itself is measured too: how late this thread's event loop was, and how long the process's
 * main thread was ready to run and got no processor (/proc/PID/task/TID/schedstat).
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

export interface Sample {
  /** Milliseconds since the first one. */
  readonly at: number;
  /** Bytes. */
  readonly resident: number;
  readonly highest: number;
  /** What was answered that is not 200, or how it failed. */
  readonly trouble: string | undefined;
  /** Milliseconds of the slower one of the two pages. */
  readonly ms: number;
  /** The same without what the machine, not the process, made us wait. */
  readonly ownMs: number;
}

interface Watched {
  readonly pid: number;
  readonly api: string;
}

const EVERY_MS = 1000;
/** Far beyond what is allowed: what takes longer is a failure of its own. */
const PATIENCE_MS = 20_000;

export function watchHealth(watched: Watched): { readonly samples: readonly Sample[]; stop(): Promise<void> } {
  const samples: Sample[] = [];
  const worker = new Worker(import.meta.filename, { workerData: watched });
  worker.on('message', (sample: Sample) => samples.push(sample));
  return { samples, stop: async () => void (await worker.terminate()) };
}

if (!isMainThread && typeof (workerData as Partial<Watched> | undefined)?.api === 'string')
  await watch(workerData as Watched);

async function watch({ pid, api }: Watched): Promise<void> {
  const late = monitorEventLoopDelay({ resolution: 10 });
  late.enable();
  const start = performance.now();
  for (let next = start; ; next += EVERY_MS) {
    await delay(Math.max(0, next - performance.now()));
    late.reset();
    const starved = starvedMs(pid);
    const pages = await Promise.all(['/healthz', '/readyz'].map((path) => page(`${api}${path}`)));
    const ms = Math.max(...pages.map((one) => one.ms));
    const lateMs = late.count > 0 ? Math.max(0, late.max / 1e6 - 10) : 0;
    const sample: Sample = {
      at: performance.now() - start,
      ...memory(pid),
      trouble: pages.find(({ trouble }) => trouble !== undefined)?.trouble,
      ms,
      ownMs: Math.max(0, ms - lateMs - (starvedMs(pid) - starved)),
    };
    parentPort!.postMessage(sample);
  }
}

function page(url: string): Promise<{ readonly ms: number; readonly trouble: string | undefined }> {
  const started = performance.now();
  return new Promise((resolve) => {
    const done = (trouble?: string): void => resolve({ ms: performance.now() - started, trouble });
    const request = get(url, { agent: false, timeout: PATIENCE_MS }, (response) => {
      response
        .resume()
        .on('end', () => done(response.statusCode === 200 ? undefined : `${url}: ${response.statusCode}`));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${PATIENCE_MS} ms`)));
    request.on('error', (error) => done(`${url}: ${error.message}`));
  });
}

function memory(pid: number): { readonly resident: number; readonly highest: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const bytes = (row: string): number => Number(new RegExp(`^${row}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return { resident: bytes('VmRSS'), highest: bytes('VmHWM') };
}

function starvedMs(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
}
