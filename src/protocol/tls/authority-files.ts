/** The two files of a local CA: whether they are there and whole, belong together, and are valid now. */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';

export interface AuthorityFiles {
  readonly cert: string;
  readonly key: string;
}

export interface AuthorityFound {
  /** A whole certificate of a CA, whatever its dates are. */
  readonly certificate: { readonly pem: string; readonly x509: X509Certificate } | undefined;
  /** A whole private key of the kind that the local CA signs with. */
  readonly key: { readonly pem: string; readonly object: KeyObject } | undefined;
  /** Neither file is there. */
  readonly none: boolean;
  /** What is a folder instead of a file: nothing can be put there before it is moved away. */
  readonly folders: readonly string[];
  /** What stands against issuing with it, in plain words; undefined when all is well. */
  readonly problem: string | undefined;
}

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * @param needsMs the certificate is to be valid this long from `now` on
 * @param read how a file is read that is there; whatever it throws passes
 */
export function readAuthority(
  { cert, key }: AuthorityFiles,
  now: number,
  needsMs = 0,
  read: (path: string) => string = (path) => readFileSync(path, 'utf8'),
): AuthorityFound {
  const texts = { cert: textOf(cert, read), key: textOf(key, read) };
  const x509 = texts.cert.text === undefined ? undefined : authorityIn(texts.cert.text);
  const object = texts.key.text === undefined ? undefined : keyIn(texts.key.text);
  const problems = [
    texts.cert.why ?? (x509 === undefined ? `${cert} is empty, cut off or holds no certificate of a CA` : undefined),
    texts.key.why ?? (object === undefined ? noKey(key, texts.key.text!) : undefined),
    x509 && object && !x509.checkPrivateKey(object) ? `${key} is not the key of ${cert}` : undefined,
    x509 && datesOf(x509, cert, now, needsMs),
  ].filter((problem) => problem !== undefined);
  return {
    certificate: x509 && { pem: texts.cert.text!, x509 },
    key: object && { pem: texts.key.text!, object },
    none: texts.cert.none && texts.key.none,
    folders: [...(texts.cert.folder ? [cert] : []), ...(texts.key.folder ? [key] : [])],
    problem: problems.length === 0 ? undefined : problems.join(', and '),
  };
}

/** The CA's certificate among those of a chain; with a key, that of its CA; with a moment, one that is valid then and for so long from it. */
export function authorityOf(
  chain: string,
  key?: KeyObject,
  validity?: { readonly now: number; readonly needsMs: number },
): { readonly pem: string; readonly x509: X509Certificate } | undefined {
  for (const pem of chain.match(CERTIFICATE) ?? []) {
    const x509 = authorityIn(pem);
    if (!x509 || (key !== undefined && !x509.checkPrivateKey(key))) continue;
    if (validity === undefined || isValid(x509, validity.now, validity.needsMs)) return { pem: `${pem}\n`, x509 };
  }
  return undefined;
}

/** Whether a certificate is valid at this moment and for so long from it. */
export function isValid(x509: X509Certificate, now: number, needsMs = 0): boolean {
  return x509.validFromDate.getTime() <= now && x509.validToDate.getTime() - now > needsMs;
}

interface FileText {
  readonly text?: string;
  readonly why?: string;
  readonly folder?: boolean;
  readonly none: boolean;
}

function textOf(path: string, read: (path: string) => string): FileText {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { why: `${path} is not there`, none: true };
  if (stat.isDirectory()) return { why: `${path} is a folder`, none: false, folder: true };
  return { text: read(path), none: false };
}

function authorityIn(text: string): X509Certificate | undefined {
  try {
    const x509 = new X509Certificate(text);
    return x509.ca ? x509 : undefined;
  } catch {
    return undefined;
  }
}

function noKey(path: string, text: string): string {
  return anyKeyIn(text) === undefined
    ? `${path} is empty, cut off or holds no private key`
    : `${path} holds another kind of key than the local CA makes, which is ECDSA on the curve P-256`;
}

function keyIn(text: string): KeyObject | undefined {
  const key = anyKeyIn(text);
  return key?.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
}

function anyKeyIn(text: string): KeyObject | undefined {
  try {
    return createPrivateKey(text);
  } catch {
    return undefined;
  }
}

function datesOf(x509: X509Certificate, path: string, now: number, needsMs: number): string | undefined {
  const { validFromDate: from, validToDate: to } = x509;
  if (from.getTime() > now) return `${path} is not valid before ${day(from)}`;
  if (to.getTime() <= now) return `${path} has ended on ${day(to)}`;
  return isValid(x509, now, needsMs) ? undefined : `${path} ends on ${day(to)}`;
}

const day = (date: Date): string => date.toISOString().slice(0, 10);
