/** A server that goes away while commands are under way: what is sent again, and when the session ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KeptSession, type Serve, settle } from '../../../test/bed/kept-session.ts';
import { selected, start } from '../../../test/bed/selected-session.ts';
import { assertLost, fallSilent } from '../../../test/bed/lost-session.ts';

/** Sends these together. @returns their tags */
async function together(session: KeptSession, ...commands: readonly string[]): Promise<string[]> {
  const tags = commands.map((_, at) => `p${at + 1}`);
  await session.program.raw(commands.map((command, at) => `${tags[at]} ${command}\r\n`).join(''));
  return tags;
}

/** Answers one FETCH of a message after the other, and breaks before it says anything of the one with this number; once. */
const breaksBefore = (number: number, half = ''): Serve => {
  let broken = false;
  return async (conn) => {
    await conn.write('* OK ready\r\n');
    for (;;) {
      const line = (await conn.line(4096))?.toString('latin1');
      if (line === undefined) return;
      const [tag, ...words] = line.split(' ');
      const uid = /UID FETCH (\d) \(BODY/.exec(line)?.[1];
      if (Number(uid) === number && !broken) {
        broken = true;
        if (half !== '') await conn.write(half);
        return conn.end();
      }
      const told =
        words[0] === 'SELECT'
          ? '* 6 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n'
          : words[0] === 'CAPABILITY'
            ? '* CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2\r\n'
            : uid !== undefined
              ? `* ${uid} FETCH (UID ${uid} BODY[] {5}\r\ntext${uid})\r\n`
              : words[0] === 'FETCH'
                ? [1, 2, 3, 4, 5, 6].map((each) => `* ${each} FETCH (UID ${each})\r\n`).join('')
                : '';
      await conn.write(`${told}${tag} OK done\r\n`);
    }
  };
};

test('F22: of commands sent together those of which nothing had come are sent again, in order', async (t) => {
  const session = await start(t, 0, breaksBefore(4));
  await session.program.ask('SELECT INBOX');
  await session.program.ask('FETCH 1:* (UID)');
  const tags = await together(session, ...[1, 2, 3, 4, 5, 6].map((uid) => `UID FETCH ${uid} (BODY.PEEK[])`));
  for (const tag of tags) assert.match(await session.program.answer(tag), /^OK/);
  assert.deepEqual(
    session.program.lines.flatMap((line) => /text\d/.exec(line)?.[0] ?? []),
    ['text1', 'text2', 'text3', 'text4', 'text5', 'text6'],
  );
  assert.deepEqual(session.moves, ['server-gone']);
  assert.match(session.heard[1]!, /p4 UID FETCH 4 [^\n]+\np5 UID FETCH 5 [^\n]+\np6 UID FETCH 6 /);
  assert.doesNotMatch(session.heard[1]!, /UID FETCH [123] /);
});

test('F21: when a response had come of one of several commands none is answered NO, and the session ends', async (t) => {
  const session = await start(t, 0, breaksBefore(4, '* 4 FETCH (UID 4 BODY[] {5}\r\ntext4)\r\n'));
  await session.program.ask('SELECT INBOX');
  await session.program.ask('FETCH 1:* (UID)');
  const tags = await together(session, ...[1, 2, 3, 4, 5, 6].map((uid) => `UID FETCH ${uid} (BODY.PEEK[])`));
  for (const tag of tags.slice(0, 3)) assert.match(await session.program.answer(tag), /^OK/);
  await assertLost(session, session.program.answer(tags[3]!));
});

test('F21: behind a command that changes something nothing is sent again or answered NO', async (t) => {
  for (const [commands, heard] of [
    [['NOOP', 'UID STORE 1 +FLAGS (\\Seen)', 'UID FETCH 1 (FLAGS)'], /STORE/],
    [['UID FETCH 1 (FLAGS)', 'SELECT INBOX', 'FETCH 1 (FLAGS)'], /p2 SELECT/], // the first is for a mailbox that is left
  ] as const) {
    const session = await start(t);
    await selected(session);
    await session.pass(11_000);
    await fallSilent(session);
    const tags = await together(session, ...commands);
    await settle();
    assert.match(session.heard[0]!, heard);
    session.cut();
    await assertLost(session, session.program.answer(tags.at(-1)!));
    assert.equal(session.heard.length, 1);
  }
});

test('F22: a SELECT and what was sent behind it are sent again together', async (t) => {
  const session = await start(t);
  await session.pass(11_000);
  await fallSilent(session);
  const tags = await together(session, 'NOOP', 'SELECT INBOX', 'UID FETCH 1:* (FLAGS)');
  await settle();
  session.cut();
  for (const tag of tags) assert.match(await session.program.answer(tag), /^OK/);
  assert.deepEqual(session.moves, ['server-gone']);
});

// RFC 9051 §6.4
test('F21: numbers of a command that was lost are not those of a mailbox from which messages are gone meanwhile', async (t) => {
  const session = await start(t);
  await selected(session);
  await session.pass(11_000);
  await fallSilent(session);
  const { inbox } = session.mailbox;
  const tags = await together(session, 'UID FETCH 1:* (FLAGS)', 'FETCH 3 (FLAGS)');
  await settle();
  inbox.remove([inbox.messages[0]!]);
  session.cut();
  await assert.rejects(session.program.answer(tags[1]!), /\* BYE messages were expunged .*connect again/);
});
