/** Every act there is: for the page of permissions and audit records. */
import type { z } from 'zod';
import type { Act, ActDeps } from './act.ts';
import * as suppressions from './suppressions.ts';
import * as templates from './templates.ts';
import * as webhooks from './webhooks.ts';

type Declared = Pick<Act<ActDeps, z.ZodType, unknown>, 'name' | 'summary' | 'permission' | 'audits' | 'what'>;

export const acts: readonly Declared[] = [suppressions, templates, webhooks].flatMap((subject) =>
  Object.values(subject).filter((one): one is typeof one & Declared => typeof one === 'object' && 'permission' in one),
);
