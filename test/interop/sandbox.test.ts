/** Real mail programs against the sandbox tenant, started as anybody would start it. */
import { after, before } from 'node:test';
import { type SandboxGateway, startSandboxGateway } from '../bed/sandbox-gateway.ts';
import { exercise } from './exercise.ts';
import { tenantView } from './tenant-view.ts';

let gateway: SandboxGateway;
let view: Awaited<ReturnType<typeof tenantView>>;

before(async () => {
  gateway = await startSandboxGateway();
  view = await tenantView(gateway.facts, gateway.caPem);
});
after(async () => {
  await view?.close();
  await gateway?.stop();
});

exercise(() => ({ ...view, door: gateway.door, log: () => gateway.output().slice(-4000) }), false, ['tls']);
