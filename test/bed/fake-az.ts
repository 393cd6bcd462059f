/** A folder with an executable `az` in it, to be put in front of PATH, and the directory that it administers. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface FakeDirectory {
  tenantId: string;
  cloud: string;
  signedOut: boolean;
  mayNotRegister: boolean;
  mayNotConsent: boolean;
  /** Taken by the next applications and secrets; random ones after that. */
  nextAppIds: string[];
  nextSecrets: string[];
  applications: {
    id: string;
    appId: string;
    displayName: string;
    requiredResourceAccess: { resourceAppId: string; resourceAccess: { id: string; type: string }[] }[];
    [more: string]: unknown;
  }[];
  principals: {
    id: string;
    appId: string;
    accountEnabled: boolean;
    appRoles: { id: string; value: string }[];
    oauth2PermissionScopes: { id: string; value: string }[];
  }[];
  assignments: { principalId: string; resourceId: string; appRoleId: string }[];
  grants: { clientId: string; consentType: string; scope: string }[];
  federated: { issuer: string; subject: string; audiences: string[] }[];
  /** What was made and uploaded. */
  secrets: string[];
  certificates: string[];
  /** Arguments of every call, for looking for what must not be there. */
  calls: string[][];
}

export interface FakeAz {
  /** To be put in front of PATH. */
  readonly env: Readonly<Record<'PATH' | 'FAKE_AZ', string>>;
  directory(): FakeDirectory;
  change(change: Partial<FakeDirectory>): void;
}

const TENANT = 'c0117050-5a4d-4b0c-8e57-00000000c0de';
const role = (id: string, value: string): { id: string; value: string } => ({ id, value });

/** A directory with Exchange Online in it. SMTP.SendAsApp has another id than our table says, as it may in reality. */
export function installFakeAz(folder: string): FakeAz {
  const state: FakeDirectory = {
    tenantId: TENANT,
    cloud: 'AzureCloud',
    signedOut: false,
    mayNotRegister: false,
    mayNotConsent: false,
    nextAppIds: [],
    nextSecrets: [],
    applications: [],
    principals: [
      {
        id: 'ec5a0000-0000-4000-8000-000000000001',
        appId: '00000002-0000-0ff1-ce00-000000000000',
        accountEnabled: true,
        appRoles: [
          role('5e5addcd-3e8d-4e90-baf5-964efab2b20a', 'IMAP.AccessAsApp'),
          role('cb842b43-da6e-4506-86fe-bb12199c656d', 'POP.AccessAsApp'),
          role('aaaaaaaa-8703-45b3-9eae-527a64c00995', 'SMTP.SendAsApp'),
        ],
        oauth2PermissionScopes: [],
      },
      {
        id: '96af0000-0000-4000-8000-000000000002',
        appId: '00000003-0000-0000-c000-000000000000',
        accountEnabled: true,
        appRoles: [],
        oauth2PermissionScopes: [
          role('652390e4-393a-48de-9484-05f9b1212954', 'IMAP.AccessAsUser.All'),
          role('d7b7f2d9-0f45-4ea1-9d42-e50810c06991', 'POP.AccessAsUser.All'),
          role('258f6531-6087-4cc4-bb90-092c5fb3ed3f', 'SMTP.Send'),
          role('e383f46e-2787-4529-855e-0e479a3ffac0', 'Mail.Send'),
          role('37f7f235-527c-4136-accd-4a02d197296e', 'openid'),
          role('14dad69e-099b-42c9-810b-d002981feec1', 'profile'),
          role('7427e0e9-2fba-42fe-b0c0-848c9e6a8182', 'offline_access'),
        ],
      },
    ],
    assignments: [],
    grants: [],
    federated: [],
    secrets: [],
    certificates: [],
    calls: [],
  };
  const bin = join(folder, 'bin');
  const file = join(folder, 'directory.json');
  mkdirSync(bin, { recursive: true });
  writeFileSync(file, JSON.stringify(state));
  const program = join(import.meta.dirname, 'fake-az-program.ts');
  writeFileSync(
    join(bin, 'az'),
    `#!/bin/sh\nexec '${process.execPath}' --disable-warning=ExperimentalWarning '${program}' "$@"\n`,
  );
  chmodSync(join(bin, 'az'), 0o755);
  const directory = (): FakeDirectory => JSON.parse(readFileSync(file, 'utf8')) as FakeDirectory;
  return {
    env: { PATH: `${bin}:${process.env['PATH'] ?? ''}`, FAKE_AZ: file },
    directory,
    change: (change) => writeFileSync(file, JSON.stringify({ ...directory(), ...change })),
  };
}
