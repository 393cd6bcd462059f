/**
 * Signs in to a provider's IMAP server with a token of Postern's: for a program that speaks OAuth itself.
 *
 *   node imap.ts alice@example.com [HOST] [PORT]
 *
 * It imports `postern`: `npm install postern` in your project; in a checkout of Postern, `npm run build` first.
 */
import { execFile } from 'node:child_process';
import { createInterface } from 'node:readline';
import { connect } from 'node:tls';
import { promisify } from 'node:util';

const [address, host = 'outlook.office365.com', port = '993'] = process.argv.slice(2);
if (address === undefined) stop('say which mailbox: node imap.ts ADDRESS [HOST] [PORT]');
const { decodeResponse, encodeInitial, encodeResponse, Secret, xoauth2Client } = await import('postern/sasl').catch(
  (error: NodeJS.ErrnoException) =>
    error.code === 'ERR_MODULE_NOT_FOUND'
      ? stop('the package postern is not here: npm install postern; in a checkout of Postern: npm run build')
      : Promise.reject(error),
);

// Valid for a few minutes at least, renewed if need be; so it is asked for again before each sign-in.
const { stdout } = await promisify(execFile)('postern', ['token', address, '--json']).catch(
  (error: NodeJS.ErrnoException) =>
    error.code === 'ENOENT'
      ? stop('there is no postern on the PATH; in a checkout of Postern: PATH="$PWD/bin:$PATH" node examples/imap.ts …')
      : Promise.reject(error),
);
const { accessToken, user } = JSON.parse(stdout) as { accessToken: string; user: string };
const xoauth2 = xoauth2Client({ user, token: new Secret(accessToken) });

const socket = connect({ host, port: Number(port), servername: host });
const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
const line = async (): Promise<string> => {
  const { value, done } = await lines.next();
  if (done === true) throw new Error('the server hung up');
  return value;
};

await line();
const { status, untagged } = await command(`AUTHENTICATE XOAUTH2 ${encodeInitial(xoauth2.initial!)}`);
if (!status.startsWith('OK')) throw new Error(`the server refused the token: ${status} ${untagged.join(' ')}`);
console.log((await command('STATUS INBOX (MESSAGES UNSEEN)')).untagged[0]);
await command('LOGOUT');
socket.end();

/** Sends one command and reads until its tagged response. */
async function command(text: string): Promise<{ readonly status: string; readonly untagged: readonly string[] }> {
  const untagged: string[] = [];
  socket.write(`a ${text}\r\n`);
  for (;;) {
    const got = await line();
    if (got.startsWith('a ')) return { status: got.slice(2), untagged };
    if (got.startsWith('+ ')) {
      // What the server has against the token, as JSON. It wants an answer before it refuses.
      const { send, failure } = xoauth2.next(decodeResponse(got.slice(2)));
      untagged.push(failure?.text ?? '');
      socket.write(`${encodeResponse(send)}\r\n`);
    } else untagged.push(got);
  }
}

function stop(why: string): never {
  console.error(why);
  process.exit(64);
}
