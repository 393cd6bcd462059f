/** msmtp: the sendmail of terminals and cron jobs. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram } from '../../bed/process.ts';
import { addressOf, type Client } from '../client.ts';

export const client: Client = {
  name: 'msmtp',
  package: 'msmtp',
  async send({ door, security, folder, from, to, message }) {
    const { host, port } = addressOf(door, 'smtp', security);
    const config = join(folder, 'msmtprc');
    writeFileSync(
      config,
      `defaults
auth ${security === 'starttls' ? 'login' : 'plain'}
tls ${security === 'plain' ? 'off' : 'on'}
tls_starttls ${security === 'starttls' ? 'on' : 'off'}
tls_trust_file ${door.caPath}
logfile ${folder}/msmtp.log

account work
host ${host}
port ${port}
from ${from}
user ${door.user}
password ${door.password}

account default : work
`,
      { mode: 0o600 },
    );
    await runProgram('msmtp', ['--file', config, '--', to], { input: message, env: { HOME: folder } });
  },
};
