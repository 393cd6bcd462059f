import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { ImapFlow } from 'imapflow';
import { createTransport } from 'nodemailer';
import { systemClock } from '../../base/clock.ts';
import { nullLog } from '../../base/log.ts';
import type { TokenCheck } from '../token.ts';
import { addSampleMail } from './sample.ts';
import { startMailServers, type MailServers } from './server.ts';
import { createMailStore } from './store.ts';

const run = promisify(execFile);
const scopes = ['IMAP.AccessAsUser.All', 'POP.AccessAsUser.All', 'SMTP.Send'];
const tokens: TokenCheck = (token) => {
  const name = /^token-(alice|bob)$/.exec(token)?.[1];
  if (name === undefined) return { ok: false, reason: 'unknown token', why: 'malformed' };
  const identity = `${name}@contoso.test`;
  const audience = 'https://outlook.office.com';
  return { ok: true, identity, application: 'app', appOnly: false, scopes, roles: [], audience, expiresAt: Infinity };
};

const mail = createMailStore({ clock: systemClock });
const dir = mkdtempSync(join(tmpdir(), 'postern-mail-'));
let servers: MailServers;

before(async () => {
  const [keyPath, certPath] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', keyPath, '-out', certPath];
  execFileSync('openssl', ['req', '-x509', ...key, ...subject], { stdio: 'ignore' });
  addSampleMail(mail, Date.UTC(2026, 10, 20));
  const tls = { cert: readFileSync(certPath, 'utf8'), key: readFileSync(keyPath, 'utf8') };
  servers = await startMailServers({ tokens, mail, tls, clock: systemClock, log: nullLog });
});

after(async () => {
  await servers.close();
  rmSync(dir, { recursive: true });
});

async function python(script: string): Promise<string> {
  const { imap, pop3, smtp } = servers.endpoints;
  const prelude = `
import imaplib, poplib, smtplib, ssl, base64
context = ssl.create_default_context(cafile=${JSON.stringify(join(dir, 'cert.pem'))})
IMAP, POP3, SMTP = ${imap.port}, ${pop3.port}, ${smtp.port}
def sasl(user, token): return f'user={user}\\x01auth=Bearer {token}\\x01\\x01'
`;
  const { stdout } = await run('python3', ['-c', prelude + script], { timeout: 30_000 });
  return stdout;
}

test('Python reads, appends, moves and searches over IMAP', async () => {
  const out = await python(`
box = imaplib.IMAP4_SSL('localhost', IMAP, ssl_context=context)
box.authenticate('XOAUTH2', lambda challenge: sasl('alice@contoso.test', 'token-alice').encode())
print(box.select('INBOX'))
print(box.fetch('4', '(BODYSTRUCTURE)'))
print(box.fetch('2', '(BODY.PEEK[HEADER.FIELDS (SUBJECT)] UID)'))
print(box.fetch('5', '(BODY.PEEK[2] BODY.PEEK[1]<4.3>)'))
print(box.append('Drafts', '(\\\\Draft)', None, b'Subject: x\\r\\n\\r\\nbody\\r\\n'))
print(box.uid('SEARCH', None, 'OR', 'SUBJECT', 'invoice', 'FROM', 'fabrikam'))
print(box.search('UTF-8', 'ALL'))
print(box.uid('MOVE', '6', 'Archive'), box.expunge())
box.logout()
`);
  assert.match(out, /\('OK', \[b'6'\]\)/);
  assert.match(out, /\("text" "plain" \("charset" "us-ascii"\) NIL NIL "7bit" 13 0? ?/);
  assert.match(out, /"alternative" \("boundary" "alt"\) NIL NIL NIL\)/);
  assert.match(out, /Subject: Re: Quarterly plan\\r\\n\\r\\n/);
  assert.match(out, /JVBERi0xLjQKJSVFT0YK/);
  assert.match(out, /APPENDUID \d+ 1\] APPEND completed/);
  assert.match(out, /\[b'3 4 5'\]/);
  assert.match(out, /BADCHARSET \(US-ASCII\)/);
});

test('Python is refused with a wrong token, and disconnected from a mailbox that is not its own', async () => {
  const out = await python(`
for user, token in (('alice@contoso.test', 'bad'), ('bob@contoso.test', 'token-alice'), ('sales@contoso.test', 'token-alice')):
    box = imaplib.IMAP4_SSL('localhost', IMAP, ssl_context=context)
    try:
        box.authenticate('XOAUTH2', lambda challenge: sasl(user, token).encode())
        print(box.select('INBOX'))
    except imaplib.IMAP4.error as error: print(error)
`);
  const [wrong, other, shared] = out.trim().split('\n');
  assert.match(wrong!, /AUTHENTICATE failed\./);
  assert.match(other!, /User is authenticated but not connected\./);
  assert.match(shared!, /\('OK', \[b'2'\]\)/);
});

test('Python reads over POP3 and submits over SMTP', async () => {
  const out = await python(`
pop = poplib.POP3_SSL('localhost', POP3, context=context)
pop._shortcmd('AUTH XOAUTH2')
pop._shortcmd(base64.b64encode(sasl('alice@contoso.test', 'token-alice').encode()).decode())
print(pop.stat()[0], pop.retr(2)[1][-2:], pop.top(1, 0)[1][-1])
pop.quit()
smtp = smtplib.SMTP('localhost', SMTP)
smtp.starttls(context=context)
smtp.ehlo()
print(smtp.docmd('AUTH', 'XOAUTH2 ' + base64.b64encode(sasl('alice@contoso.test', 'token-alice').encode()).decode()))
smtp.sendmail('alice@contoso.test', ['bob@contoso.test', 'x@fabrikam.test'], 'From: alice@contoso.test\\r\\nSubject: sent\\r\\n\\r\\n.dot\\r\\n')
print(smtp.mail('bob@contoso.test'))
smtp.rset()
smtp.mail('alice@contoso.test')
print(smtp.rcpt('nobody@contoso.test'))
smtp.quit()
`);
  assert.match(out, /\[b'\.', b'The line above is one dot\.'\]/);
  assert.match(out, /235, b'2\.7\.0/);
  assert.match(out, /550, b'5\.7\.60/);
  assert.match(out, /550, b'5\.1\.10/);
  assert.match(
    mail.find('bob@contoso.test')!.inbox.messages.at(-1)!.raw.toString(),
    /^Received: [^]*\r\n\r\n\.dot\r\n$/,
  );
  assert.match(mail.find('alice@contoso.test')!.sent.messages.at(-1)!.raw.toString(), /Subject: sent/);
  assert.deepEqual(mail.outside.at(-1)?.to, ['x@fabrikam.test']);
});

test('imapflow lists, fetches, appends, moves and hears of new mail in IDLE', async () => {
  const { port } = servers.endpoints.imap;
  const auth = { user: 'bob@contoso.test', accessToken: 'token-bob' };
  const ca = readFileSync(join(dir, 'cert.pem'), 'utf8');
  const client = new ImapFlow({ host: 'localhost', port, secure: true, auth, logger: false, tls: { ca } });
  await client.connect();
  try {
    assert.deepEqual(
      (await client.list())
        .map(({ specialUse }) => specialUse)
        .filter(Boolean)
        .sort(),
      ['\\Archive', '\\Drafts', '\\Inbox', '\\Junk', '\\Sent', '\\Trash'],
    );
    await client.mailboxOpen('INBOX');
    const first = await client.fetchOne('1', { envelope: true, source: true });
    assert.ok(first);
    assert.equal(first.envelope?.inReplyTo, '<plan-1@contoso.test>');
    const heard = new Promise<number>((resolve) =>
      client.once('exists', ({ count }: { count: number }) => resolve(count)),
    );
    const idle = client.idle();
    mail.deliver('bob@contoso.test', Buffer.from('Subject: news\r\n\r\n'));
    const count = await heard;
    assert.equal(count, mail.find('bob@contoso.test')!.inbox.messages.length);
    const moved = await client.messageMove(`${count}`, 'Archive');
    assert.ok(moved && moved.uidMap?.size === 1);
    await idle;
  } finally {
    client.close();
  }
});

// RFC 3501 §7.4.1
test('two sessions see each other: flags at once, expunges only when numbers may move', async () => {
  const out = await python(`
def open():
    box = imaplib.IMAP4_SSL('localhost', IMAP, ssl_context=context)
    box.authenticate('XOAUTH2', lambda challenge: sasl('sales@contoso.test', 'token-alice').encode())
    box.select('INBOX')
    return box
one, two = open(), open()
one.store('1', '+FLAGS', '(\\\\Flagged \\\\Deleted keyword)')
two.noop()
print(two.response('FETCH'))
one.expunge()
print(two.fetch('1', '(UID)'), two.response('EXPUNGE'))
two.noop()
print(two.response('EXPUNGE'))
print(two.fetch('1', '(UID)'))
`);
  const [flags, kept, gone, after] = out.trim().split('\n');
  assert.match(flags!, /1 \(FLAGS \(\\\\Flagged \\\\Deleted\)\)|FLAGS \(.*Flagged.*Deleted/);
  assert.match(kept!, /UID 1\)'\]\) \('EXPUNGE', \[None\]\)/);
  assert.match(gone!, /\[b'1'\]/);
  assert.match(after!, /1 \(UID 2\)/);
});

test('nodemailer submits with XOAUTH2, and curl reads with a bearer token', async () => {
  const ca = readFileSync(join(dir, 'cert.pem'), 'utf8');
  const { smtp, imap } = servers.endpoints;
  const auth = { type: 'OAuth2' as const, user: 'alice@contoso.test', accessToken: 'token-alice' };
  const transport = createTransport({ host: 'localhost', port: smtp.port, requireTLS: true, auth, tls: { ca } });
  await transport.sendMail({ from: 'sales@contoso.test', to: 'bob@contoso.test', subject: 'as sales', text: 'hello' });
  transport.close();
  assert.match(mail.find('bob@contoso.test')!.inbox.messages.at(-1)!.raw.toString(), /Subject: as sales/);
  const url = `imaps://localhost:${imap.port}/INBOX;UID=1`;
  const options = [
    '-sS',
    '--cacert',
    join(dir, 'cert.pem'),
    '-u',
    'alice@contoso.test:',
    '--oauth2-bearer',
    'token-alice',
  ];
  const { stdout } = await run('curl', [...options, url], { timeout: 20_000 });
  assert.match(stdout, /^From: Bob Berger[^]*Could you read it/);
});
