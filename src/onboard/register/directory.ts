/** What the Azure CLI tells of a directory, read: only what we use is looked at, and it must have the expected form. */
import { z } from 'zod';
import { isError } from '../../base/error.ts';
import { Secret } from '../../base/secret.ts';
import { type Az, isMissing } from './az.ts';
import type { Argv } from './az-commands.ts';
import { registerError } from './errors.ts';

export const account = z.object({
  environmentName: z.string(),
  tenantId: z.string(),
  user: z.object({ name: z.string() }),
});

const access = z.array(
  z.object({
    resourceAppId: z.string(),
    resourceAccess: z.array(z.object({ id: z.string(), type: z.enum(['Scope', 'Role']) })),
  }),
);

export const application = z.object({
  appId: z.string(),
  displayName: z.string(),
  isFallbackPublicClient: z.boolean().nullish(),
  publicClient: z.object({ redirectUris: z.array(z.string()) }).nullish(),
  requiredResourceAccess: access.nullish(),
  signInAudience: z.string().nullish(),
});
export type DirectoryApplication = z.infer<typeof application>;

export const servicePrincipal = z.object({
  id: z.string(),
  appId: z.string(),
  accountEnabled: z.union([z.boolean(), z.string()]).nullish(),
  appRoles: z.array(z.object({ id: z.string(), value: z.string().nullish() })).nullish(),
  oauth2PermissionScopes: z.array(z.object({ id: z.string(), value: z.string().nullish() })).nullish(),
});
export type ServicePrincipal = z.infer<typeof servicePrincipal>;

/** The new password is a secret from here on. */
export const newCredential = z.object({ password: z.string().transform((text) => new Secret(text)) });

export const assignments = z.object({
  value: z.array(z.object({ appRoleId: z.string(), resourceId: z.string() })),
});

export const grants = z.array(z.object({ consentType: z.string().nullish(), scope: z.string().nullish() }));

export const federatedCredentials = z.array(z.object({ issuer: z.string(), subject: z.string() }));

/** Runs a command and reads its answer. @throws as {@link Az.run}, register.az-garbled */
export async function ask<T>(az: Az, argv: Argv, form: z.ZodType<T>, signal?: AbortSignal): Promise<T> {
  const parsed = form.safeParse(await az.run(argv, signal));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw registerError(
    'register.az-garbled',
    `az ${argv.slice(0, 3).join(' ')} answered without ${issue?.path.join('.') ?? 'what was asked for'}`,
  );
}

/** As {@link ask}, undefined when the directory has no such thing. */
export async function find<T>(az: Az, argv: Argv, form: z.ZodType<T>, signal?: AbortSignal): Promise<T | undefined> {
  try {
    return await ask(az, argv, form, signal);
  } catch (error) {
    if (isError(error) && isMissing(error)) return undefined;
    throw error;
  }
}
