import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { DevicePlaces } from './device-places.ts';

test('A107: a silent device keeps no other of its /64 out, and pushes none out either', (t) => {
  const places = new DevicePlaces(100);
  const ended: string[] = [];
  const take = (name: string, address: string, busy = false): boolean => {
    const socket = new Socket();
    t.after(() => socket.destroy());
    return places.take(socket, address, { busy, makeRoom: () => void ended.push(name) });
  };
  const [silent, printer] = ['2001:db8::66', '2001:db8::40'];
  assert.equal(take('working', silent, true), true);
  for (let at = 1; at < 20; at += 1) assert.equal(take(`silent ${at}`, silent), true);
  assert.equal(take('more', silent), false, 'its own connections make no room for it');
  assert.deepEqual(ended, []);
  assert.equal(take('printer', printer), true);
  assert.deepEqual(ended, ['silent 1'], 'the oldest without a message');
  assert.equal(take('more', silent), false);
  for (let at = 2; at <= 10; at += 1) assert.equal(take(`printer ${at}`, printer), true);
  assert.equal(take('printer 11', printer), false, 'half of them each, and nobody pushes anybody');
  assert.equal(take('elsewhere', '2001:db8:0:1::1'), true);
});

test('S13: an IPv4 address has a fifth of the places, and a place is free when its connection has closed', async () => {
  const places = new DevicePlaces(100);
  const holder = { busy: false, makeRoom: () => assert.fail('nobody makes room for itself') };
  const sockets = Array.from({ length: 20 }, () => new Socket());
  for (const socket of sockets) assert.equal(places.take(socket, '192.0.2.1', holder), true);
  assert.equal(places.take(new Socket(), '192.0.2.1', holder), false);
  const closed = new Promise((resolve) => sockets[0]!.once('close', resolve));
  sockets[0]!.destroy();
  await closed;
  assert.equal(places.take(new Socket(), '192.0.2.1', holder), true);
});
