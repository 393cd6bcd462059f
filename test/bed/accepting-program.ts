/** A process that does nothing but take mail for an outbox on disk: its folder is the argument, its port the message. */
import { join } from 'node:path';
import { systemClock } from '../../src/base/clock.ts';
import { nullLog } from '../../src/base/log.ts';
import { startDeviceListener } from '../../src/outbox/device-listener.ts';
import { exposeCollector, keepHeapSmall } from '../../src/server/heap.ts';
import { openStore } from '../../src/store/open.ts';
import { serverContext } from '../../src/protocol/tls/server.ts';
import { certificates } from './fake-provider.ts';
import { openOutboxBed } from './outbox.ts';

exposeCollector();
keepHeapSmall();
const store = await openStore(`sqlite:${join(process.argv[2]!, 'postern.db')}`, { writer: 'thread' });
const bed = await openOutboxBed({ store });
const rule = { name: 'all', networks: ['127.0.0.1'], mailbox: bed.mailbox.address, perHour: 1_000_000 };
const tls = serverContext(await (await certificates()).issue());
const { port } = await startDeviceListener(
  { ...bed, clock: systemClock, log: nullLog, hostname: 'postern.test', tls },
  { host: '127.0.0.1', port: 0, rules: [rule], tls: 'none' },
);
process.send!({ port });
