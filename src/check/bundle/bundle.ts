/** `postern support-bundle`: what somebody needs to help, and nothing that opens a mailbox. */
import { printable } from '../../base/printable.ts';
import { createHmac } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { API_KEY_PREFIX } from '../../access/api-key.ts';
import { hashKey } from '../../access/given.ts';
import { asError, isError, type PosternError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { openCredentials } from '../../oauth/application.ts';
import { openTokens } from '../../oauth/grant-tokens.ts';
import { openSecrets } from '../../outbox/webhook/signature.ts';
import { migrations } from '../../store/migrations.ts';
import type { Store } from '../../store/types.ts';
import type { Vault } from '../../vault/types.ts';
import { APP_PASSWORD_LENGTH } from './hashed.ts';
import { redactor } from './redact.ts';
import { tar } from './tar.ts';

export interface BundleDeps {
  readonly store: Store;
  readonly vault: Vault;
}

export interface BundleRequest {
  /** Texts by their names in the archive: configuration, versions, check report, metrics, log. Redacted here. */
  readonly texts: Readonly<Record<string, string>>;
  /** Secrets the vault does not hold: database password, passphrase. */
  readonly secrets: readonly Secret[];
  /** Put numbers in the place of mailbox names. */
  readonly hideAddresses: boolean;
  /** Audit records, the newest. */
  readonly auditRecords: number;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

export interface Bundle {
  /** A tar archive, compressed. */
  readonly archive: Buffer;
  readonly files: readonly { readonly name: string; readonly octets: number }[];
  /** What could not be looked into, in plain words; its content is left out or masked. */
  readonly problems: readonly string[];
}

/**
 * Opens every sealed secret to be able to look for it; none leaves this function.
 * @param deps the opened installation, or why it does not open: a bundle is needed most of all then
 * @throws store.unavailable
 */
export async function makeBundle(deps: BundleDeps | PosternError, request: BundleRequest): Promise<Bundle> {
  const inside = isError(deps)
    ? {
        secrets: [],
        isHashed: undefined,
        people: [],
        texts: {},
        problems: [`the installation does not open: ${deps.code}: ${deps.message}`],
      }
    : await lookInside(deps, request.auditRecords);
  const names = request.hideAddresses ? pseudonyms(inside.people) : new Map<string, string>();
  const problems = [...inside.problems];
  let reading = '';
  const redact = redactor([...inside.secrets, ...request.secrets], names, inside.isHashed, () => {
    problems.push(
      `${reading} has more words that could be app passwords or API keys than are looked up; from there on every such word was` +
        ' masked, secret or not. Make the bundle again with a shorter log: postern support-bundle --log FILE',
    );
  });
  const redacted: Record<string, string> = {};
  for (const [name, text] of Object.entries({ ...request.texts, ...inside.texts })) {
    reading = name;
    redacted[name] = redact(text);
  }
  if (problems.length > 0) redacted['problems.txt'] = redact(`${problems.map(printable).join('\n')}\n`);
  const entries = Object.entries({
    'README.txt': redact(readme(Object.keys(redacted), request.hideAddresses)),
    ...redacted,
  }).map(([name, text]) => ({ name: `postern-support/${name}`, content: Buffer.from(text) }));
  return {
    archive: gzipSync(tar(entries, Math.floor(request.now / 1000))),
    files: entries.map(({ name, content }) => ({ name, octets: content.length })),
    problems,
  };
}

interface Inside {
  readonly secrets: readonly Secret[];
  /** Whether it is an app password, or an API key without its prefix; undefined where there are none. */
  readonly isHashed: ((word: string) => boolean) | undefined;
  readonly people: readonly string[];
  readonly texts: Readonly<Record<string, string>>;
  readonly problems: readonly string[];
}

async function lookInside(deps: BundleDeps, auditRecords: number): Promise<Inside> {
  const { store } = deps;
  const mailboxes = (await store.mailboxes.list()).map(({ address }) => address);
  const identities = (await store.grants.list()).map(({ identity }) => identity).filter((one) => one.includes('@'));
  const audit = await store.audit.latest({ limit: auditRecords });
  const [passwords, keys] = [await hashKey(deps.vault, 'app-password'), await hashKey(deps.vault, 'api-key')];
  const rows = [...(await store.appPasswords.list()), ...(await store.apiKeys.list())];
  const hashes = new Set(rows.map(({ hash }) => hash));
  return {
    isHashed:
      hashes.size === 0
        ? undefined
        : (word) =>
            hashes.has(
              word.length === APP_PASSWORD_LENGTH
                ? createHmac('sha256', passwords).update(word).digest('hex')
                : createHmac('sha256', keys).update(`${API_KEY_PREFIX}${word}`).digest('hex'),
            ),
    ...(await knownSecrets(deps)),
    people: [...new Set([...mailboxes, ...identities])],
    texts: {
      'store.json': json(await describeStore(deps)),
      'audit.jsonl': audit.map((record) => `${JSON.stringify(record)}\n`).join(''),
    },
  };
}

/** Every secret the vault opens. What does not open is no longer a secret here, but worth a line. */
async function knownSecrets({ store, vault }: BundleDeps): Promise<{ secrets: Secret[]; problems: string[] }> {
  const secrets: Secret[] = [];
  const problems: string[] = [];
  for (const grant of await store.grants.list()) {
    const tokens = await openTokens(vault, grant).catch((error: unknown) => {
      problems.push(`the tokens of grant ${grant.id} do not open: ${asError(error).message}`);
    });
    if (tokens) secrets.push(tokens.accessToken, ...(tokens.refreshToken ? [tokens.refreshToken] : []));
  }
  for (const webhook of await store.webhooks.list()) {
    secrets.push(...addressSecret(webhook.url));
    const held = await openSecrets(vault, webhook, 0).catch((error: unknown) => {
      problems.push(`the secrets of webhook ${webhook.id} do not open: ${asError(error).message}`);
    });
    for (const { secret } of held ?? []) secrets.push(secret);
  }
  for (const application of await store.applications.list()) {
    const held = await openCredentials(vault, application).catch((error: unknown) => {
      problems.push(`the credential of application ${application.name} does not open: ${asError(error).message}`);
    });
    for (const { credential } of held ?? []) {
      if (credential.type === 'secret') secrets.push(credential.secret);
      if (credential.type === 'certificate' || credential.type === 'service-account')
        secrets.push(credential.privateKey);
    }
  }
  return { secrets, problems };
}

/**
 * Who knows the path and query of a webhook may use it. What is too short to be a secret stays, such as `/hook`, since it may be a
 * part of other addresses.
 */
export function addressSecret(url: string): readonly Secret[] {
  const { pathname, search } = new URL(url);
  const text = `${pathname.slice(1)}${search}`;
  return text.replace(/[^a-z0-9]/gi, '').length < SHORTEST_PATH ? [] : [new Secret(text)];
}

/** More letters and digits than `v1/messages` has, of our own API. */
const SHORTEST_PATH = 12;

async function describeStore({ store }: BundleDeps): Promise<unknown> {
  const [applications, grants, mailboxes, passwords] = await Promise.all([
    store.applications.list(),
    store.grants.list(),
    store.mailboxes.list(),
    store.appPasswords.list(),
  ]);
  return {
    engine: store.engine,
    schema: migrations.map(({ name }) => name),
    applications: applications.map((row) => ({ ...row, credential: row.credential === undefined ? 'none' : 'sealed' })),
    grants: grants.map((row) => ({ ...row, tokens: row.tokens === undefined ? 'none' : 'sealed' })),
    mailboxes,
    appPasswords: passwords.map((row) => ({ ...row, hash: 'left out' })),
  };
}

function pseudonyms(addresses: readonly string[]): ReadonlyMap<string, string> {
  return new Map(
    addresses
      .toSorted()
      .map((address, index) => [address, `mailbox-${index + 1}${address.slice(address.indexOf('@'))}`]),
  );
}

function readme(names: readonly string[], hidden: boolean): string {
  return [
    'What this archive holds, made by `postern support-bundle`.',
    '',
    'Every text was searched for each secret of the installation by value (tokens, client secrets, private keys, webhook',
    'secrets, database and relay passwords, key and passphrase), whatever the case, with or without dashes and broken over lines;',
    'for each app password and API key, by the hash that is kept of it, also joined to other characters; and for everything that has the shape',
    'of one: app passwords, API keys, consent links, sign-ins, paths of webhooks, secrets in queries and arguments. The same within base64 (also of UTF-16) and hexadecimal, in lines,',
    'groups and memory dumps (hexdump, hexdump -C, xxd, od -x, od -b), lists of numbers (decimal, hexadecimal, octal) and typed',
    'arrays, and with characters written as escapes, all of them or some: percent, %u, \\u, \\U, \\x, octal, U+, HTML entities by',
    'number, quoted-printable; one of these within another, two deep. Not found is what is compressed, encrypted, reversed, encoded in',
    'another way (UTF-7, full-width letters, base32), or with other text between its characters (markup), a part alone of an app',
    'password or API key, and values shorter than six letters and digits. Where a text has more that could be an app password or',
    'API key than is looked up, the rest of that is masked unsearched and problems.txt says so. No mail is in it.',
    hidden
      ? 'Mailbox names were replaced by numbers; domains were kept.'
      : 'Mailbox addresses are in it; --hide-addresses replaces them.',
    'Have a look yourself before you give it to anybody.',
    '',
    ...names.map((name) => `  ${name}`),
    '',
  ].join('\n');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
