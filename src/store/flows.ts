/** How an application gets tokens: {@link Flow} in `types.ts`. */

export const FLOWS = [
  'authorization-code',
  'device-code',
  'client-secret',
  'certificate',
  'federated',
  'managed-identity',
  'service-account',
] as const;
