// Goal: when two nodes do not see one another and a third sees both, writes go on at each of them
// and terms stay put (F-7, E4 to E7, S-08). Method: three processes; a leader and another node are
// cut from one another while clients write, half of them to that other node only.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { openPartitionableNetwork } from '../support/faults/partitions.js';
import { ProcessCluster } from '../support/process-cluster.js';

const NAME = 'records';
const SHARDS = 2;
/** One election when the cut comes; another where the first winner is the one that is cut. */
const ELECTIONS_MAX = 2;
const WRITERS = 24;
/** Of each writer, one after another. */
const WRITES = 4;
const FAR = 2;
/** Calls that land on a node which does not see the leader go by way of the one that does. */
const TIMEOUT_MS = 3_000;
const SUCCEEDED_SHARE_MIN = 0.95;

let cluster: ProcessCluster;
let view: ClusterView;
let client: Flotilla;
/** Knows only the node that is cut from the leaders. */
let farClient: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: SHARDS, network: openPartitionableNetwork });
  view = new ClusterView(cluster);
  client = new Flotilla(cluster.addresses);
  farClient = new Flotilla(cluster.clientAddress(FAR), { routing: 'proxy' });
  await client.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
});

afterAll(async () => {
  await client?.close();
  await farClient?.close();
  await view?.close();
  await cluster?.destroy();
});

/** The ids of the writes that were acknowledged. They last for several election timeouts. */
async function write(label: string, through: readonly Flotilla[]): Promise<string[]> {
  const acknowledged: string[] = [];
  const writer = async (number: number): Promise<void> => {
    for (let at = 0; at < WRITES; at++) {
      const id = `${label}-${number}-${at}`;
      const options = { timeoutMs: TIMEOUT_MS };
      const records = (through[number % through.length] ?? client).collection(NAME);
      const call = records.upsert([{ id, values: [at] }], options);
      const { appliedCount } = await call.catch(() => ({ appliedCount: 0 }));
      if (appliedCount === 1) acknowledged.push(id);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
  return acknowledged;
}

async function lead(nodeId: number): Promise<void> {
  for (let shardId = 0; shardId < SHARDS; shardId++) {
    if ((await view.leaderOf(shardId)) === nodeId) continue;
    await view.client.transferLeadership({ shardId, nodeId });
    await view.leaderOf(shardId, [nodeId]);
  }
}

it.each([
  { leader: 1, ways: 'both ways' },
  { leader: 3, ways: 'one way' },
])('cut from leader $leader $ways: writes go on and no term runs away (F-7)', async (cut) => {
  const { leader, ways } = cut;
  await lead(leader);
  const before = await view.terms();
  cluster.network.disturb(leader, FAR, { isCut: true });
  if (ways === 'both ways') cluster.network.disturb(FAR, leader, { isCut: true });
  const acknowledged = await write(`${leader}-${FAR}`, [client, farClient]);
  cluster.network.heal();
  await view.level();
  expect(acknowledged.length / (WRITERS * WRITES)).toBeGreaterThan(SUCCEEDED_SHARE_MIN);
  const found = await client.collection(NAME).fetch(acknowledged);
  expect(found.map(({ id }) => id)).toEqual(acknowledged);
  const elections = (await view.terms()).map((term, at) => term - (before[at] ?? 0));
  expect(Math.max(...elections)).toBeLessThanOrEqual(ELECTIONS_MAX);
});
