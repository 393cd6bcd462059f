/** The configured ways of telling people, ready to use. */
import { readFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { Secret } from '../../base/secret.ts';
import type { Config } from '../config.ts';
import { serverError } from '../errors.ts';
import type { Instance } from '../instance.ts';
import type { NoticeChannel } from './channel.ts';
import { commandChannel } from './command.ts';
import { mailChannel } from './mail.ts';
import { webhookChannel } from './webhook.ts';

/** @throws server.config (a secret that is missing or none) */
export function openChannels(
  instance: Pick<Instance, 'config' | 'clock' | 'store' | 'tokens'>,
): readonly NoticeChannel[] {
  const { config, clock } = instance;
  const { mail, webhook, command } = config.notices;
  return [
    ...(mail ? [mailChannel({ ...instance, hostname: config.hostname }, mail)] : []),
    ...(webhook ? [webhookChannel(webhook.url, secretOf(config, webhook.secretFile), () => clock.now())] : []),
    ...(command ? [commandChannel(command.run, command.timeoutMs, process.env)] : []),
  ];
}

function secretOf(config: Config, file: string): Secret {
  const path = isAbsolute(file) ? file : join(config.home.state, file);
  const hint = `make one: (umask 077; printf 'whsec_%s\\n' "$(openssl rand -base64 32)" > ${path})`;
  let secret: Secret;
  try {
    secret = new Secret(readFileSync(path, 'utf8').split(/\r?\n/)[0] ?? '');
  } catch (cause) {
    throw serverError('server.config', `the webhook secret ${path} cannot be read`, { cause, hint });
  }
  const octets = /^whsec_([A-Za-z0-9+/]+={0,2})$/.exec(secret.reveal())?.[1];
  const length = Buffer.from(octets ?? '', 'base64').length;
  if (length >= 24 && length <= 64) return secret;
  throw serverError('server.config', `${path} holds no webhook secret`, { hint });
}
