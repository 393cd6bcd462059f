#!/usr/bin/env node
/** Where a process of Postern begins. Imports nothing of ours before it is known that this Node can read it. */
import process from 'node:process';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
// crypto.argon2 came with 24.7; the oldest Node that understands this file itself is 14.8.
if (major < 24 || (major === 24 && minor < 7)) {
  process.stderr.write(
    `postern: this is Node ${process.version}, and Postern needs Node 24.7 or later\n` +
      'postern: next: install a newer Node (https://nodejs.org/en/download), or use a checkout of Postern, which brings its own\n',
  );
  process.exit(69);
}
// Workers of `serve` have its arguments, too.
if (process.argv.includes('serve')) (await import('./early-signals.ts')).keepSignals();
await import('./start.ts');
