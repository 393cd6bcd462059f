/** The Azure CLI as a program: arguments, never a shell; JSON back; its complaints as our errors. */
import { spawn } from 'node:child_process';
import { Secret } from '../../base/secret.ts';
import type { Argv } from './az-commands.ts';
import { registerError } from './errors.ts';

export interface Az {
  /**
   * Runs one command and gives its answer, undefined when it had none.
   * @throws register.az-missing, register.az-signed-out, register.not-allowed, register.az-refused, register.az-garbled; the
   *   signal's reason when aborted
   */
  run(argv: Argv, signal?: AbortSignal): Promise<unknown>;
}

/** It starts slowly, and the directory may take its time. */
const TIMEOUT_MS = 180_000;
const LARGEST_ANSWER = 16 << 20;

/** @param program found on PATH unless it is a path */
export function openAz(program = 'az'): Az {
  return {
    async run(argv, signal) {
      const { code, stdout, stderr } = await execute(
        program,
        [...argv, '--only-show-errors', '--output', 'json'],
        signal,
      );
      if (code !== 0) throw complaint(argv, stderr.reveal());
      const text = stdout.reveal().trim();
      if (text === '') return undefined;
      try {
        return JSON.parse(text) as unknown;
      } catch (cause) {
        // The cause quotes the answer, which may hold a secret.
        throw registerError('register.az-garbled', `az ${verb(argv)} did not answer in JSON`, {
          detail: { command: verb(argv), reason: cause instanceof Error ? cause.name : 'unknown' },
        });
      }
    },
  };
}

interface Finished {
  readonly code: number;
  readonly stdout: Secret;
  readonly stderr: Secret;
}

async function execute(program: string, argv: Argv, signal: AbortSignal | undefined): Promise<Finished> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const child = spawn(program, argv, {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
  });
  const streams = [child.stdout, child.stderr].map((stream) => {
    const pieces: Buffer[] = [];
    let size = 0;
    stream.on('data', (piece: Buffer) => {
      size += piece.length;
      if (size <= LARGEST_ANSWER) pieces.push(piece);
      else child.kill();
    });
    return () => new Secret(Buffer.concat(pieces).toString('utf8'));
  });
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', (error: NodeJS.ErrnoException) => {
    if (signal?.aborted) reject(signal.reason as Error);
    else if (error.code === 'ENOENT')
      reject(registerError('register.az-missing', 'the Azure CLI (az) is not installed, or not on the PATH'));
    else if (timeout.aborted)
      reject(registerError('register.az-refused', `az ${verb(argv)} took longer than ${TIMEOUT_MS / 1000} s`));
    else reject(registerError('register.az-refused', `az cannot be started: ${error.message}`, { cause: error }));
  });
  child.once('close', (code) => resolve(code ?? -1));
  const code = await promise;
  return { code, stdout: streams[0]!(), stderr: streams[1]!() };
}

/** The words of a command before its options: what may be shown of it. */
const verb = (argv: Argv): string => {
  const end = argv.findIndex((one) => one.startsWith('-'));
  return argv.slice(0, end < 0 ? argv.length : end).join(' ');
};

function complaint(argv: Argv, stderr: string): Error {
  const said = stderr
    .split('\n')
    .map((line) => line.replace(/^(?:ERROR|WARNING): /, '').trim())
    .filter((line) => line !== '')
    .join(' ')
    .slice(0, 1000);
  const detail = { command: verb(argv), said };
  if (/az login|AADSTS(?:70043|700082|50078|50076|50173)|refresh token has expired/i.test(said))
    return registerError('register.az-signed-out', 'the Azure CLI is signed out, or its sign-in has ended', { detail });
  if (/insufficient privileges|Authorization_RequestDenied|Directory permission is needed|\bForbidden\b/i.test(said))
    return registerError('register.not-allowed', `the account of the Azure CLI may not do this: ${said}`, { detail });
  return registerError('register.az-refused', `az ${verb(argv)} failed: ${said === '' ? 'it said nothing' : said}`, {
    detail,
  });
}

/** True for the refusals that mean “there is no such thing”. */
export function isMissing(error: {
  readonly code: string;
  readonly detail: Readonly<Record<string, unknown>>;
}): boolean {
  const said = error.detail['said'];
  return (
    error.code === 'register.az-refused' &&
    typeof said === 'string' &&
    /does not exist|doesn't exist|Request_ResourceNotFound|not found/i.test(said)
  );
}
