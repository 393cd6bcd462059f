/** imapflow: the IMAP client of many Node programs. */
import { readFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';
import { addressOf, type Client, DELETE, KEEP, MOVE } from '../client.ts';

export const client: Client = {
  name: 'imapflow',
  async imapTour({ door, security, appended }) {
    const { host, port } = addressOf(door, 'imap', security);
    const box = new ImapFlow({
      host,
      port,
      secure: security === 'tls',
      doSTARTTLS: security === 'starttls',
      auth: { user: door.user, pass: door.password },
      tls: { ca: readFileSync(door.caPath, 'utf8') },
      logger: false,
    });
    await box.connect();
    try {
      await box.mailboxOpen('INBOX');
      const find = async (subject: string): Promise<string> => {
        const uids = await box.search({ subject }, { uid: true });
        if (!uids || uids.length !== 1) throw new Error(`imapflow found ${JSON.stringify(uids)} for ${subject}`);
        return String(uids[0]);
      };
      const keep = await find(KEEP);
      const letter = await box.fetchOne(keep, { source: true }, { uid: true });
      await box.messageFlagsAdd(keep, ['\\Flagged'], { uid: true });
      await box.messageMove(await find(MOVE), 'Archive', { uid: true });
      await box.append('INBOX', appended);
      await box.messageDelete(await find(DELETE), { uid: true });
      await box.logout();
      if (!letter || !letter.source) throw new Error('imapflow got no source');
      return letter.source;
    } finally {
      box.close();
    }
  },
};
