/** A worker of `serve`, or the command. */
import cluster from 'node:cluster';
import { keepCompiledCode } from '../server/compile-cache.ts';
import { exposeCollector, keepHeapSmall } from '../server/heap.ts';
import { startWriterEarly } from '../store/writer-thread.ts';

keepCompiledCode(process.env);
exposeCollector();
// Before anything else is loaded: the heap grows while it loads, and does not shrink again.
if (cluster.isWorker || process.argv.includes('serve')) {
  keepHeapSmall();
  startWriterEarly();
}

if (cluster.isWorker) (await import('./command/serve.ts')).runWorker();
else await (await import('./run.ts')).run(process.argv);
