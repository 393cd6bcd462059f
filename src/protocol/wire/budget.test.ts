/** The budget for octets held for peers: shares, who is refused, who is read more slowly, who has to go. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MemorySocket } from '../../../test/bed/memory-socket.ts';
import { ManualClock } from '../../../test/bed/manual-clock.ts';
import { isError } from '../../base/error.ts';
import { Budget, FREE_OCTETS } from './budget.ts';
import { Conn } from './conn.ts';

test('S4: a connection’s own part is not counted, so an ordinary sign-in finds room when the budget is used up', () => {
  const budget = new Budget({ octets: 100_000 });
  const hog = budget.account('192.0.2.1');
  hog.signedIn();
  hog.set(FREE_OCTETS + 100_001);
  assert.ok(hog.over);
  const program = budget.account('192.0.2.2');
  program.set(FREE_OCTETS);
  assert.equal(program.over, false);
  program.set(FREE_OCTETS + 1);
  assert.equal(program.over, true);
  hog.close();
  assert.equal(program.over, false);
  program.close();
  assert.equal(budget.held, 0);
});

test('S4: before sign-in one address has an eighth, all together half; after it the whole', () => {
  const budget = new Budget({ octets: 800 });
  const held = (address: string, octets: number) => {
    const account = budget.account(address);
    account.set(FREE_OCTETS + octets);
    return account;
  };
  assert.equal(held('a', 100).over, false);
  const second = held('a', 1);
  assert.equal(second.over, true);
  second.close();
  for (const address of ['b', 'c', 'd']) assert.equal(held(address, 100).over, false);
  const fifth = held('e', 1);
  assert.equal(fifth.over, true);
  fifth.signedIn();
  assert.equal(fifth.over, false);
});

test('S4: whatever accounts do, what is held is the sum of what the open ones hold', () => {
  const step = fc.tuple(fc.nat(4), fc.constantFrom('set', 'signedIn', 'close', 'stands', 'goesOn'), fc.nat(20_000));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const budget = new Budget({ octets: 1e9 });
      const accounts = [0, 1, 2, 3, 4].map((at) => budget.account(`address ${at % 2}`));
      const holds = [0, 0, 0, 0, 0];
      const closed = new Set<number>();
      for (const [at, act, octets] of steps) {
        const account = accounts[at]!;
        if (act === 'set') account.set(octets);
        else if (act === 'stands') account.stands(octets, () => undefined);
        else account[act]();
        if (act === 'close') closed.add(at);
        if (closed.has(at)) holds[at] = 0;
        else if (act === 'set' || act === 'stands') holds[at] = Math.max(0, octets - FREE_OCTETS);
        else if (act !== 'signedIn') holds[at] = 0;
      }
      assert.equal(
        budget.held,
        holds.reduce((sum, own) => sum + own, 0),
      );
      for (const account of accounts) account.close();
      assert.equal(budget.held, 0);
    }),
  );
});

test('S4: when the budget is used up, those who have not read for half a minute go, the longest first, until there is room', async () => {
  const clock = new ManualClock();
  const budget = new Budget({ octets: 1000, clock });
  const gone: string[] = [];
  const left = (): readonly string[] => gone;
  const stand = (name: string, octets: number) => {
    const account = budget.account(name);
    account.signedIn();
    account.stands(FREE_OCTETS + octets, () => void gone.push(name));
    return account;
  };
  stand('first', 600);
  await clock.advance(20_000);
  const slow = stand('slow', 300);
  stand('third', 300);
  assert.deepEqual(left(), [], 'nobody has stood still for long enough');
  await clock.advance(10_000);
  assert.deepEqual(left(), ['first']);
  // Within the budget everybody may be as slow as they like; who goes on begins again.
  await clock.advance(60_000);
  slow.goesOn();
  slow.stands(FREE_OCTETS + 300, () => void gone.push('slow'));
  stand('fourth', 600);
  assert.deepEqual(left(), ['first', 'third']);
});

test('S4: a peer that may be refused is told so, and what it sent is given up; another one is read more slowly', async () => {
  const budget = new Budget({ octets: 40_000 });
  const stranger = new MemorySocket();
  const conn = new Conn(stranger, { account: budget.account('a'), crowded: 'refuse' });
  const line = conn.line(30_000);
  stranger.feed(Buffer.alloc(20_000, 'x'));
  await assert.rejects(line, (error) => isError(error, 'wire.no-room'));
  assert.equal(budget.held, 0);
  await conn.write('421 later\r\n'); // it can still be told
  conn.destroy();

  const hog = budget.account('b');
  hog.signedIn();
  hog.set(100_000);
  const known = new MemorySocket();
  const mail = new Conn(known, { account: budget.account('c') });
  mail.trust();
  known.feed(Buffer.alloc(20_000, 'y'));
  await new Promise((turn) => setImmediate(turn));
  assert.ok(known.isPaused());
  assert.ok(mail.crowded);
  // What it is in the middle of goes on.
  let octets = 0;
  for (const pieces = mail.stream(20_000); ;) {
    const piece = await pieces.next();
    if (piece === undefined) break;
    octets += piece.length;
  }
  assert.equal(octets, 20_000);
  mail.destroy();
});

test('S4: nobody goes who need not: room made by the longest stand is room for the others', async () => {
  const clock = new ManualClock();
  const budget = new Budget({ octets: 1000, clock });
  const gone: string[] = [];
  for (const name of ['first', 'second', 'third']) {
    const account = budget.account(name);
    account.signedIn();
    account.stands(FREE_OCTETS + 300, () => void gone.push(name));
    await clock.advance(1);
  }
  await clock.advance(40_000);
  assert.deepEqual(gone, []);
  const hog = budget.account('hog');
  hog.signedIn();
  hog.set(FREE_OCTETS + 200);
  assert.deepEqual(gone, ['first']);
  assert.equal(budget.held, 800);
});

test('S4: of those who wait for room the next goes on only if the one before left some', async () => {
  const budget = new Budget({ octets: 1000 });
  const account = () => {
    const one = budget.account('a');
    one.signedIn();
    return one;
  };
  const hog = account();
  hog.set(FREE_OCTETS + 1001);
  const went: string[] = [];
  const first = account();
  first.whenRoom(() => {
    went.push('first');
    first.set(FREE_OCTETS + 2000);
  });
  account().whenRoom(() => void went.push('second'));
  hog.close();
  await new Promise((turn) => setImmediate(turn));
  await new Promise((turn) => setImmediate(turn));
  assert.deepEqual(went, ['first']);
  first.close();
  await new Promise((turn) => setImmediate(turn));
  assert.deepEqual(went, ['first', 'second']);
});
