/** Every act there is: for the page of permissions and audit records. */
import type { z } from 'zod';
import type { Act, ActDeps } from './act.ts';
import * as apiKeys from './api-keys.ts';
import * as appPasswords from './app-passwords.ts';
import * as applications from './applications.ts';
import * as mailboxes from './mailboxes.ts';
import * as messages from './messages.ts';
import * as suppressions from './suppressions.ts';
import * as templates from './templates.ts';
import * as webhooks from './webhooks.ts';

type Declared = Pick<Act<ActDeps, z.ZodType, unknown>, 'name' | 'summary' | 'permission' | 'audits' | 'what'>;

const subjects = [applications, mailboxes, appPasswords, apiKeys, messages, suppressions, templates, webhooks];

export const acts: readonly Declared[] = subjects.flatMap((subject) =>
  Object.values<unknown>(subject).filter(
    (one): one is Declared => typeof one === 'object' && one !== null && 'permission' in one,
  ),
);
