// Goal: a write whose answer is lost is applied once, though the client sends it again (F-22, A7,
// P-2). Method: a proxy in front of a node's client port passes requests on and keeps the answers
// until the write is there; then it breaks the connection, and the client sends the write again.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { FaultProxy } from '../support/faults/fault-proxy.js';
import { acknowledged } from '../support/faults/workload.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

const NAME = 'records';
const ROUNDS = 8;

let cluster: ProcessCluster;
let proxies: FaultProxy[];
let isKeepingAnswers = false;
let direct: Flotilla;
let through: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: 2 });
  const onConnection = () => (direction: 'forth' | 'back') => ({
    isCut: isKeepingAnswers && direction === 'back',
  });
  proxies = await Promise.all(
    cluster.addresses.map((target) => FaultProxy.open({ target, onConnection })),
  );
  direct = new Flotilla(cluster.addresses);
  through = new Flotilla(
    proxies.map(({ address }) => address),
    { routing: 'proxy' },
  );
  await direct.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
});

afterAll(async () => {
  await through?.close();
  await direct?.close();
  await Promise.all((proxies ?? []).map((proxy) => proxy.close()));
  await cluster?.destroy();
});

function keepAnswers(isKept: boolean): void {
  isKeepingAnswers = isKept;
  for (const proxy of proxies) proxy.treatAgain();
}

async function versionOf(id: string): Promise<string | undefined> {
  const [found] = await direct.collection(NAME).fetch([id]);
  return found?.version;
}

it('has one version, and says that no record was there before (F-22)', async () => {
  const records = through.collection(NAME);
  for (let round = 0; round < ROUNDS; round++) {
    const id = `record-${round}`;
    // The connection is there before answers are kept: only the write's answer is lost.
    await records.count();
    keepAnswers(true);
    const writing = acknowledged(records.upsert([{ id, values: [round] }]));
    await waitUntil('the write is there', async () => (await versionOf(id)) !== undefined);
    const applied = await versionOf(id);
    keepAnswers(false);
    for (const proxy of proxies) proxy.reset();
    expect(await writing).toMatchObject({ existed: false, version: applied });
    expect(await versionOf(id)).toBe(applied);
  }
  expect(await direct.collection(NAME).count()).toBe(ROUNDS);
});

it('is not applied again after another client has deleted the record (F-22)', async () => {
  const records = through.collection(NAME);
  await records.count();
  keepAnswers(true);
  const writing = acknowledged(records.upsert([{ id: 'gone', values: [1] }]));
  await waitUntil('the write is there', async () => (await versionOf('gone')) !== undefined);
  await direct.collection(NAME).delete(['gone']);
  for (const proxy of proxies) proxy.reset();
  keepAnswers(false);
  await writing;
  expect(await versionOf('gone')).toBeUndefined();
});
