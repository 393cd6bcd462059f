/** Python's reader of mail against ours. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { readableTexts } from '../bed/address-texts.ts';

const READER = `
import email, email.policy, json, sys
for text in json.load(sys.stdin):
    message = email.message_from_bytes(b'From: ' + text.encode() + b'\\r\\n\\r\\n', policy=email.policy.default)
    try:
        found = sorted(one.addr_spec.encode('utf-8', 'surrogateescape').decode() for one in message['From'].addresses if '@' in one.addr_spec)
    except Exception:
        found = None
    print(json.dumps(found))
`;

test('A22: what is accepted as a list of addresses names nobody else to Python', () => {
  const texts = [...readableTexts(23, 150_000)];
  const { status, stdout, stderr } = spawnSync('python3', ['-c', READER], {
    input: JSON.stringify(texts.map(([text]) => text)),
    maxBuffer: 1 << 26,
  });
  assert.equal(status, 0, stderr.toString());
  const read = stdout
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as readonly string[] | null);
  assert.equal(read.length, texts.length);
  let same = 0;
  for (const [at, [text, named]] of texts.entries()) {
    // Some names make it give up (a defect of its own), with which it names nobody.
    const found = read[at]!;
    for (const address of found ?? []) assert.ok(named.includes(address), `${JSON.stringify(text)}: ${address}`);
    if (found?.length === named.length) same += 1;
  }
  assert.ok(same > texts.length / 2, `${same} of ${texts.length} are read the same`);
});
