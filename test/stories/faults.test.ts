/**
 * Every fault of the sandbox's tenant, seen by mail programs on each protocol and by `postern check`: the cause and the remedy are
 * those of the catalogue, and no fault of the provider looks like a wrong password. docs/faults.md is made from the run:
 * POSTERN_WRITE_DOCS=1 writes it, otherwise it is compared.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { asError } from '../../src/base/error.ts';
import { catalogue } from '../../src/oauth/catalogue/catalogue.ts';
import { describeRow, diagnose, findRow, stepText } from '../../src/oauth/catalogue/diagnose.ts';
import { evidenceIn } from '../../src/oauth/catalogue/evidence.ts';
import type { CatalogueRow } from '../../src/oauth/catalogue/schema.ts';
import { type Fault, type FaultId, faults } from '../../src/sandbox/index.ts';
import { type Protocol, PROTOCOLS } from '../../src/store/protocols.ts';
import { type FaultBed, type Met, PATIENCE_MS, startFaultBed } from '../bed/fault-bed.ts';
import { faultPage, type SeenFault } from '../bed/fault-page.ts';

let bed: FaultBed;
const seen: SeenFault[] = [];
before(async () => {
  bed = await startFaultBed();
});
after(async () => {
  await bed?.close();
});

/** How a fault is looked at, where what its row says of itself does not decide it. */
interface Plan {
  /** Row of the catalogue; several where the system decides which word comes. Computed from the fault's effect when absent. */
  readonly rows?: readonly string[];
  /** What a check finds where that is another row than the one for a message of a program. */
  readonly checked?: string;
  /** `nothing`: harmless to these programs, and `check` says so. */
  readonly check?: 'row' | 'nothing' | 'note';
  readonly mailbox?: 'person' | 'robot' | 'nameless';
  readonly protocols?: readonly Protocol[];
  /** Door that a network fault is limited to. */
  readonly place?: 'authority' | Protocol;
  readonly value?: number;
  /** How often it bites; a session that is cut again and again is another matter. */
  readonly times?: number;
  readonly timeoutMs?: number;
  /** Set at the mail server's door only: at the authority's it would be met before. */
  readonly atMail?: true;
  /** Nobody gets as far: looked at while consenting. */
  readonly atConsent?: boolean;
}

const CUT = ['network.reset', 'network.closed', 'network.silent', 'network.unreachable'];
const PLANS: Partial<Record<FaultId, Plan>> = {
  'access-token-short-lived': { rows: ['imap.token-expired'], check: 'nothing' },
  'refresh-token-lost': { rows: CUT },
  'wrong-audience': { rows: ['token.audience'] },
  'role-missing': { rows: ['token.role'], mailbox: 'robot' },
  'scope-missing': { rows: ['token.scope'] },
  'authority-unavailable': { rows: ['provider.down'] },
  'authority-garbled': { rows: ['provider.garbled'] },
  'access-token-expired': { rows: ['imap.token-expired'], protocols: ['imap'], times: 1 },
  'imap-connection-closed': { rows: ['imap.closed'], times: 1 },
  'imap-disabled': { rows: ['imap.sign-in-refused'] },
  'imap-not-connected': { rows: ['imap.not-connected'] },
  'imap-throttled': { rows: ['imap.throttled'] },
  'imap-server-unavailable': { rows: ['imap.unavailable'] },
  'imap-server-bug': { rows: ['imap.unavailable'] },
  'imap-malformed-bodystructure': { rows: ['imap.malformed-structure'] },
  imap4rev2: { rows: ['imap.rev2'], check: 'note', protocols: ['imap'] },
  'imap-uidvalidity-changed': { rows: ['imap.uidvalidity'], check: 'nothing' },
  'imap-message-unretrievable': { rows: ['imap.unretrievable'] },
  'imap-size-estimated': { rows: ['imap.size-estimated'] },
  'pop3-disabled': { rows: ['pop3.sign-in-refused'], protocols: ['pop3'] },
  'pop3-temporary': { rows: ['pop3.unavailable'], protocols: ['pop3'] },
  'pop3-in-use': { rows: ['pop3.in-use'], protocols: ['pop3'] },
  'pop3-connection-closed': { rows: ['pop3.closed'], protocols: ['pop3'] },
  // A check writes an envelope to the mailbox itself: whoever does not exist there is no recipient.
  'smtp-recipient-unknown': { checked: 'graph.mailbox-missing' },
  'smtp-message-lost': { rows: ['network.closed'], check: 'nothing', protocols: ['smtp'] },
  'smtp-lost-beside-copy': { rows: ['network.closed'], check: 'nothing', protocols: ['smtp'] },
  'smtp-reply-lost': { rows: ['network.closed'], check: 'nothing', protocols: ['smtp'] },
  'connection-refused': { rows: ['network.refused'] },
  'connection-dropped': { rows: CUT },
  'connection-silent': { rows: ['network.silent'], place: 'imap', protocols: ['imap'] },
  'connection-cut': { rows: ['network.reset'], check: 'nothing' },
  'connection-reset': { rows: CUT, value: 40 },
  'connection-half-open': { rows: ['network.silent'], place: 'imap', protocols: ['imap'] },
  'connection-slow': { rows: ['network.slow'], value: 60, place: 'imap', protocols: ['imap'], timeoutMs: 30_000 },
  'dns-failure': { rows: ['network.name-unknown', 'network.dns-silent'], mailbox: 'nameless' },
  'graph-message-lost': { rows: ['network.reset'] },
  'graph-reply-lost': { rows: ['network.reset'] },
  'tls-failure': { rows: ['tls.failed'], atMail: true },
  'certificate-expired': { rows: ['tls.certificate-expired'], atMail: true },
  'certificate-wrong-name': { rows: ['tls.certificate-name'], atMail: true },
  'certificate-untrusted': { rows: ['tls.unknown-ca'], atMail: true },
};

function rowsOf(fault: Fault, plan: Plan): readonly string[] {
  const { effect } = fault;
  if (plan.rows) return plan.rows;
  if (effect.type === 'refusal') return [findRow({ aadsts: [effect.aadsts] })?.id ?? 'unknown'];
  if (effect.type === 'reply') return [findRow(evidenceIn(effect.text))?.id ?? 'unknown'];
  if (effect.type === 'graph') return [findRow({ graph: effect.code })?.id ?? 'unknown'];
  const codes = effect.type === 'answer' ? /AADSTS(\d+)/.exec(effect.body)?.[1] : undefined;
  return codes === undefined ? ['unknown'] : [findRow({ aadsts: [Number(codes)] })?.id ?? 'unknown'];
}

const rowById = (id: string): CatalogueRow | undefined => catalogue().errors.find((row) => row.id === id);
const ascii = (text: string): string =>
  text
    .replaceAll('’', "'")
    .replaceAll(/[“”]/g, '"')
    .replace(/[^\x20-\x7e]+/g, ' ');

/** The row whose cause a reply of ours tells, or that of a reply of the provider's which was passed through. */
function knownIn(line: string): string | undefined {
  const told = catalogue().errors.find(({ cause }) =>
    cause.split('{host}').every((piece) => ascii(line).includes(ascii(piece).trim())),
  );
  return told?.id ?? findRow(evidenceIn(line))?.id;
}

/** What RFC 5530, 3206 and 4954 make programs ask for a password upon. */
const LOOKS_LIKE_A_WRONG_PASSWORD = /\[AUTHENTICATIONFAILED\]|^-ERR \[AUTH\]|^535/;

function planOf(fault: Fault): Plan {
  const given = PLANS[fault.id] ?? {};
  const protocols =
    given.protocols ??
    (fault.stage === 'imap' || fault.stage === 'pop3' || fault.stage === 'smtp' ? [fault.stage] : PROTOCOLS);
  const { effect } = fault;
  if (effect.type === 'refusal' && !effect.at.includes('refresh'))
    return { ...given, protocols, atConsent: effect.at.includes('sign-in') || effect.at.includes('code') };
  const needsCredential = effect.type === 'refusal' && fault.bites.includes('that has a credential');
  // A reply after sign-in comes when a message is really sent, which a check does not do.
  const late = effect.type === 'reply' && (effect.at === 'done' || effect.at === 'data');
  return {
    protocols,
    ...(needsCredential ? { mailbox: 'robot' as const } : {}),
    ...(late ? { check: 'nothing' as const } : {}),
    ...given,
  };
}

// What nobody sees while it happens is tested by what is kept and arrives: test/interop/proof.test.ts.
for (const fault of faults.filter(({ stage, unseen }) => stage !== 'graph' && unseen !== true)) {
  test(`${fault.id}: ${fault.title}`, async () => {
    const plan = planOf(fault);
    const rows = rowsOf(fault, plan);
    for (const id of rows) assert.ok(rowById(id), `the catalogue has ${id}`);
    await bed.settle();
    const mailbox = bed.mailboxes[plan.mailbox ?? 'person'];
    const order = (protocol: Protocol): void => {
      bed.sandbox.faults.set(fault.id, {
        ...(plan.place === undefined ? {} : { protocol: plan.place }),
        ...(plan.atMail === true ? { protocol } : {}),
        ...(plan.value === undefined ? {} : { value: plan.value }),
        ...(plan.times === undefined ? {} : { times: plan.times }),
      });
    };
    if (plan.atConsent === true) {
      order('imap');
      const error = await bed.consent();
      assert.ok(error, 'the consent fails');
      const found = diagnose(error);
      assert.ok(rows.includes(found.id), `${found.id}: ${error.code}: ${error.message}`);
      seen.push({ fault, row: rowById(found.id)!, programs: {}, command: 'mailbox add' });
      return;
    }
    const programs: Partial<Record<Protocol, Met>> = {};
    for (const protocol of plan.protocols ?? PROTOCOLS) {
      order(protocol);
      programs[protocol] = await bed.program(mailbox, protocol);
      await bed.settle();
    }
    order(plan.protocols?.[0] ?? 'imap');
    const report = await bed.check(mailbox, {
      protocols: plan.protocols ?? PROTOCOLS,
      timeoutMs: plan.timeoutMs ?? PATIENCE_MS,
      // A loaded machine must not look like a slow server.
      slowMs: plan.timeoutMs === undefined ? 60_000 : 500,
      fetch: plan.timeoutMs === undefined,
    });
    const found =
      report.findings.find(({ outcome }) => outcome === 'failed') ??
      report.findings.find(({ outcome }) => outcome === 'warning');
    const foundId = found?.diagnosis?.id;
    const lines = report.findings
      .filter(({ outcome }) => outcome !== 'ok')
      .map(({ step, says, diagnosis }) => `${step}: ${says} (${diagnosis?.id})`);
    if (plan.check === 'nothing') assert.equal(found, undefined, lines.join('\n'));
    else if (plan.check === 'note') {
      const notes = report.findings.flatMap(({ notes: more = [] }) => more);
      assert.ok(
        rows.some((id) => notes.includes(rowById(id)!.cause)),
        notes.join('\n'),
      );
    } else {
      const wanted = plan.checked === undefined ? rows : [plan.checked];
      assert.ok(
        foundId !== undefined && wanted.includes(foundId),
        `${foundId ?? 'nothing'} instead of ${wanted.join(' or ')}\n${lines.join('\n')}`,
      );
      assert.equal(report.first?.remedy.length, describeRow(rowById(foundId)!, { access: 'own' }).remedy.length);
    }
    for (const [protocol, met] of Object.entries(programs)) {
      if (met.type !== 'reply') continue;
      assert.doesNotMatch(met.line, LOOKS_LIKE_A_WRONG_PASSWORD, `${protocol}: ${met.line}`);
      const known = knownIn(met.line);
      assert.ok(known !== undefined, `${protocol} says nothing the catalogue knows: ${met.line}`);
    }
    const explained = plan.check === 'nothing' || plan.checked !== undefined;
    seen.push({
      fault,
      row: rowById(explained ? rows[0]! : (foundId ?? rows[0]!))!,
      programs,
      command: explained ? 'explain' : 'check',
    });
  });
}

for (const fault of faults.filter(({ stage }) => stage === 'graph')) {
  test(`${fault.id}: ${fault.title}`, async () => {
    await bed.settle();
    bed.sandbox.faults.set(fault.id);
    const met = await bed.graphCode().catch((error: unknown) => diagnose(asError(error)).id);
    const row = rowById(met) ?? findRow(evidenceIn(met));
    assert.ok(row, met);
    assert.ok(rowsOf(fault, PLANS[fault.id] ?? {}).includes(row.id), `${met}: ${row.id}`);
    seen.push({ fault, row, programs: {}, command: 'explain' });
  });
}

test('docs/faults.md says what was seen', () => {
  const path = join(resolve(import.meta.dirname, '../..'), 'docs/faults.md');
  const page = faultPage(
    faults.flatMap(({ id }) => seen.filter(({ fault }) => fault.id === id)),
    (row) => describeRow(row).remedy.map(stepText),
  );
  if (process.env['POSTERN_WRITE_DOCS'] === '1') writeFileSync(path, page);
  assert.equal(
    readFileSync(path, 'utf8'),
    page,
    'made by: POSTERN_WRITE_DOCS=1 node --test test/stories/faults.test.ts',
  );
});
