/** What `npm start` prints works when it is pasted: every line, in a shell, as it stands. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { without } from '../bed/need.ts';
import { startPostern } from '../bed/postern.ts';
import { privateFolder, runProgram } from '../bed/process.ts';

const folder = privateFolder();
let daemon: ReturnType<typeof startPostern>;
let printed = '';

before(async () => {
  daemon = startPostern(folder.path, ['sandbox', '--gateway', '--port', '0']);
  daemon.child.stdout!.on('data', (piece: Buffer) => void (printed += piece.toString()));
  while (!printed.includes('Ctrl-C ends it.')) {
    assert.ok(daemon.running, daemon.output());
    await delay(20);
  }
});
after(async () => {
  await daemon.stop();
  folder.remove();
});

/** The printed line that begins with these words. */
function line(start: RegExp): string {
  const found = printed.split('\n').find((each) => start.test(each.trim()));
  assert.ok(found !== undefined, `${String(start)} was not printed:\n${printed}`);
  return found.trim();
}

async function paste(command: string): Promise<string> {
  const { stdout, stderr } = await runProgram('sh', ['-c', command], { env: { HOME: folder.path, TERM: 'xterm' } });
  return stdout.toString() + stderr;
}

test('reading the sample mail with curl, plainly and over verified TLS', async () => {
  const plain = await paste(line(/^curl "imap:/));
  assert.match(plain, /^Subject: /m);
  assert.match(await paste(line(/^curl --cacert \S+ "imaps:/)), /^Subject: /m);
});

test('sending a message and seeing it arrive', async () => {
  await paste(line(/^printf .* \| curl /));
  const arrived = await paste(line(/^curl "imap:.*MAILINDEX=\*"/));
  assert.match(arrived, /^Subject: hello\r?$/m);
  assert.match(arrived, /It works\./);
});

test('a mail program opens the mailbox', { skip: without('neomutt') }, async () => {
  // A terminal of its own; what a person would do next is typed for them: look, then leave without a question.
  const command = line(/^neomutt /).replace(' -f ', " -e 'set quit=yes; push <exit>' -f ");
  const { stdout } = await runProgram('script', ['-qec', command, '/dev/null'], {
    env: { HOME: folder.path, TERM: 'xterm' },
  });
  assert.match(stdout.toString(), /contoso|INBOX/);
  assert.doesNotMatch(stdout.toString(), /failed|error|Password for/i);
});

test('the monitoring address and the audit command it names', async () => {
  const { groups } =
    /metrics at (?<url>\S+), and what happened: npm run -s postern -- --home (?<home>\S+) audit show/.exec(
      line(/^More: /),
    ) ?? { groups: undefined };
  assert.ok(groups);
  const metrics = await (await fetch(groups['url']!)).text();
  assert.match(metrics, /^postern_/m);
});
