// Goal: when two nodes do not see one another and a third sees both, writes go on and terms stay
// put (F-7, E4 to E7, S-08). Method: three processes; a pair is cut both ways, another one way,
// while clients write.
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
/** A call that lands on a node which does not see the leader is held up; then another is asked. */
const TIMEOUT_MS = 3_000;
/** Of the calls: a third lands there, and some of them twice. */
const SUCCEEDED_SHARE_MIN = 0.5;

let cluster: ProcessCluster;
let view: ClusterView;
let client: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: SHARDS, network: openPartitionableNetwork });
  view = new ClusterView(cluster);
  client = new Flotilla(cluster.addresses);
  await client.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
});

afterAll(async () => {
  await client?.close();
  await view?.close();
  await cluster?.destroy();
});

/** The ids of the writes that were acknowledged. They last for several election timeouts. */
async function write(label: string): Promise<string[]> {
  const acknowledged: string[] = [];
  const writer = async (number: number): Promise<void> => {
    for (let at = 0; at < WRITES; at++) {
      const id = `${label}-${number}-${at}`;
      const options = { timeoutMs: TIMEOUT_MS };
      const call = client.collection(NAME).upsert([{ id, values: [at] }], options);
      const { appliedCount } = await call.catch(() => ({ appliedCount: 0 }));
      if (appliedCount === 1) acknowledged.push(id);
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, number) => writer(number)));
  return acknowledged;
}

it.each([
  { a: 1, b: 2, ways: 'both ways' },
  { a: 3, b: 2, ways: 'one way' },
])('cut between $a and $b, $ways: writes go on and no term runs away (F-7)', async (cut) => {
  const { a, b, ways } = cut;
  const before = await view.terms();
  cluster.network.disturb(a, b, { isCut: true });
  if (ways === 'both ways') cluster.network.disturb(b, a, { isCut: true });
  const acknowledged = await write(`${a}-${b}`);
  cluster.network.heal();
  await view.level();
  expect(acknowledged.length / (WRITERS * WRITES)).toBeGreaterThan(SUCCEEDED_SHARE_MIN);
  const found = await client.collection(NAME).fetch(acknowledged);
  expect(found.map(({ id }) => id)).toEqual(acknowledged);
  const elections = (await view.terms()).map((term, at) => term - (before[at] ?? 0));
  expect(Math.max(...elections)).toBeLessThanOrEqual(ELECTIONS_MAX);
});
