/** App passwords nobody needs, that end soon, or that open more than one program should have. */
import type { AppPassword } from '../store/types-access.ts';
import { DAY_MS, type Found, operatorWarning } from './step.ts';

const UNUSED_DAYS = 30;
const IDLE_DAYS = 180;
const SOON_DAYS = 14;

export function judgePasswords(all: readonly AppPassword[], now: number): Found {
  const valid = all.filter(({ revokedAt, expiresAt }) => revokedAt === undefined && (expiresAt ?? now + 1) > now);
  const older = (at: number, days: number): boolean => now - at > days * DAY_MS;
  const groups = [
    {
      id: 'home.passwords-ending',
      what: 'end soon',
      rows: valid.filter(({ expiresAt }) => expiresAt !== undefined && expiresAt - now < SOON_DAYS * DAY_MS),
      remedy: { do: 'make a new one for the program beforehand', run: 'postern password add --help' },
    },
    {
      id: 'home.passwords-unused',
      what: 'were never used',
      rows: valid.filter(({ createdAt, lastUsedAt }) => lastUsedAt === undefined && older(createdAt, UNUSED_DAYS)),
      remedy: { do: 'revoke what nobody needs', run: 'postern password revoke ID' },
    },
    {
      id: 'home.passwords-idle',
      what: `were not used for ${IDLE_DAYS} days`,
      rows: valid.filter(({ lastUsedAt }) => lastUsedAt !== undefined && older(lastUsedAt, IDLE_DAYS)),
      remedy: { do: 'revoke what nobody needs', run: 'postern password revoke ID' },
    },
    {
      id: 'home.passwords-broad',
      what: 'open every mailbox from anywhere without end',
      rows: valid.filter(
        ({ mailboxes, networks, expiresAt }) =>
          mailboxes.includes('*') && networks.length === 0 && expiresAt === undefined,
      ),
      remedy: {
        do: 'replace them by one for each program, bound to a mailbox or a network',
        run: 'postern password add --mailbox ADDRESS --label PROGRAM --network 192.0.2.0/24',
      },
    },
  ].filter(({ rows }) => rows.length > 0);
  const facts = {
    valid: valid.length,
    total: all.length,
    ...Object.fromEntries(groups.map(({ id, rows }) => [id.replace('home.passwords-', ''), rows.map((row) => row.id)])),
  };
  const [first] = groups;
  if (!first) return { says: `${valid.length} valid, none in doubt`, facts };
  const labels = first.rows.slice(0, 3).map(({ id, label }) => `${label} (${id})`);
  const more = first.rows.length > labels.length ? ` and ${first.rows.length - labels.length} more` : '';
  return {
    says: groups.map(({ what, rows }) => `${rows.length} ${what}`).join('; '),
    facts,
    warning: operatorWarning(first.id, `app passwords ${first.what}: ${labels.join(', ')}${more}`, first.remedy),
  };
}
