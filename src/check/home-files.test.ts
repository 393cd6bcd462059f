/** What check says of the files of an installation. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { certificates } from '../../test/bed/fake-provider.ts';
import { judgeCertificate } from './home-files.ts';
import type { InstallationFacts } from './home-facts.ts';

test('A102: what resembles a temporary file beside the key of the certificate is named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-tls-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const pair = await (await certificates()).issue();
  const certificatePath = join(folder, 'server.pem');
  const certificateKeyPath = join(folder, 'server.key');
  writeFileSync(certificatePath, pair.cert);
  writeFileSync(certificateKeyPath, pair.key);
  const facts = { certificatePath, certificateKeyPath, certificateNames: [], ownCertificate: false };
  const judged = () => judgeCertificate(facts as unknown as InstallationFacts, Date.now());
  const before = judged().notes;
  writeFileSync(`${certificateKeyPath}.new-2026`, 'x');
  assert.equal(before, undefined);
  assert.match(judged().notes?.join() ?? '', /server\.key\.new-2026/);
});
