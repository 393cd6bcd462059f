/** What `npm start` prints works when it is pasted: every line, in a shell, as it stands. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { without } from '../bed/need.ts';
import { postern, startPostern } from '../bed/postern.ts';
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
  const { groups } = /metrics at (?<url>\S+), and what happened: \S*postern --home (?<home>\S+) audit show/.exec(
    line(/^More: /),
  ) ?? { groups: undefined };
  assert.ok(groups);
  const metrics = await (await fetch(groups['url']!)).text();
  assert.match(metrics, /^postern_/m);
});

test('where SMTP is switched off the outbox asks the emulated Graph, never the real one, and says what is missing', async () => {
  const home = /postern --home (\S+) audit show/.exec(line(/^More: /))![1]!;
  const control = /--control (\S+)$/.exec(line(/^Make it fail: /))![1]!;
  const fault = ['sandbox', 'fault', 'set', 'smtp-auth-disabled-mailbox', '--mailbox', 'alice@contoso.test'];
  await postern(home, [...fault, '--control', control]);
  const handed = await postern(home, ['sendmail', '-t', '-f', 'alice@contoso.test', '--json'], {
    input: 'To: bob@contoso.test\nSubject: through Graph\n\nhi\n',
  });
  const { id } = JSON.parse(handed.stdout.toString()) as { id: string };
  const story = async (until: string): Promise<string> => {
    for (const end = performance.now() + 15_000; ; await delay(200)) {
      const text = (await postern(home, ['outbox', 'show', id])).stdout.toString();
      if (text.includes(until)) return text;
      assert.ok(performance.now() < end, text);
    }
  };
  const waiting = await story('  waits until ');
  assert.match(waiting, /by smtp ended closed: 535 5\.7\.139 .*, so by graph/);
  assert.match(waiting, /by graph ended closed: 403 ErrorAccessDenied/);
  assert.match(waiting, /next +add the permission Mail\.Send of Microsoft Graph/);
  await postern(home, ['sandbox', 'fault', 'clear', '--control', control]);
  await postern(home, ['outbox', 'retry', id]);
  await story('  sent: 250 ');
});
