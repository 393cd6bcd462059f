/** Loaded before each test file: ends a file whose tests are over but which does not end, because something was left open. */
import process from 'node:process';

/** Milliseconds one test file may take before it counts as hung: the longest take one minute, and six on a very busy machine. */
const FILE_LIMIT = 480_000;

// Unreferenced: it keeps nobody waiting, and comes only when something else does.
setTimeout(() => {
  const open = process.getActiveResourcesInfo().join(', ');
  process.stderr.write(`${process.argv[1]} has not ended after ${FILE_LIMIT / 1000} s; open: ${open}\n`);
  process.exit(70);
}, FILE_LIMIT).unref();
