/** nodemailer: the SMTP client of many Node programs. It composes the message itself. */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { createTransport } from 'nodemailer';
import { addressOf, type Client } from '../client.ts';

export const client: Client = {
  name: 'nodemailer',
  async send({ door, security, from, to, subject, attachment }) {
    const { host, port } = addressOf(door, 'smtp', security);
    const transport = createTransport({
      host,
      port,
      secure: security === 'tls',
      requireTLS: security === 'starttls',
      ignoreTLS: security === 'plain',
      auth: { user: door.user, pass: door.password },
      tls: { ca: readFileSync(door.caPath, 'utf8') },
    });
    try {
      const content = readFileSync(attachment);
      await transport.sendMail({
        from,
        to,
        subject,
        text: 'a letter',
        attachments: [{ filename: basename(attachment), content }],
      });
    } finally {
      transport.close();
    }
  },
};
