/** In front of a PostgreSQL: keeps back the answer to a commit and breaks the connection, as a network does at the wrong moment. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { portOf } from './port.ts';

export interface DatabaseProxy {
  /** The same database by way of the proxy. */
  readonly url: string;
  /** Commits whose answers were lost. */
  readonly lost: number;
  /** The next transactions that send this text are committed, and who asked for it never hears of that. */
  loseAnswers(text: string, count: number): void;
  /** What is open is half-open from now on: nothing passes any more, and nobody is told. New connections work. */
  freeze(): void;
  close(): Promise<void>;
}

export async function startDatabaseProxy(url: string): Promise<DatabaseProxy> {
  const port = Number(new URL(url).port);
  const sockets = new Set<Socket>();
  let wanted = { text: '', count: 0 };
  let lost = 0;
  const state = { era: 0 };
  const server = createServer((client) => {
    const database = connect(port, '127.0.0.1');
    for (const socket of [client, database]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        database.destroy();
      });
    }
    let isWanted = false;
    const { era } = state;
    client.on('data', (data) => {
      if (era !== state.era) return;
      const said = data.toString('latin1');
      if (wanted.count > 0 && said.includes(wanted.text)) isWanted = true;
      database.write(data);
    });
    database.on('data', (data) => {
      if (era !== state.era) return;
      // CommandComplete (PostgreSQL, Message Formats): its tag is the name of the command.
      const committed = data.toString('latin1').includes('COMMIT\0');
      if (!isWanted || !committed || wanted.count === 0) return client.write(data);
      wanted.count -= 1;
      lost += 1;
      client.destroy();
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = new URL(url);
  own.port = String(portOf(server));
  return {
    url: own.href,
    get lost() {
      return lost;
    },
    loseAnswers(text, count) {
      wanted = { text, count };
    },
    freeze() {
      state.era += 1;
    },
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
