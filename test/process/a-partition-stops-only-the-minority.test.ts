// Goal: a leader that is cut off acknowledges nothing and serves no read, the others go on without
// it, and what it refused has not happened (F-6, P-2, P-4, P-5). Method: three processes; the
// leader is cut off from the others but not from clients.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import { ClusterView } from '../support/faults/cluster-view.js';
import { openPartitionableNetwork } from '../support/faults/partitions.js';
import { acknowledged } from '../support/faults/workload.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

const NAME = 'records';
const ROUNDS = 3;

let cluster: ProcessCluster;
let view: ClusterView;
let everyone: Flotilla;

beforeAll(async () => {
  cluster = await ProcessCluster.start({ shards: 1, network: openPartitionableNetwork });
  view = new ClusterView(cluster);
  everyone = new Flotilla(cluster.addresses);
  await everyone.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
});

afterAll(async () => {
  await everyone?.close();
  await view?.close();
  await cluster?.destroy();
});

function cutOff(nodeId: number): number[] {
  const others = cluster.nodeIds.filter((other) => other !== nodeId);
  for (const other of others) {
    cluster.network.disturb(nodeId, other, { isCut: true });
    cluster.network.disturb(other, nodeId, { isCut: true });
  }
  return others;
}

async function storedValue(client: Flotilla, id: string): Promise<number | undefined> {
  const [found] = await client.collection(NAME).fetch([id]);
  return found?.values?.[0];
}

/** What became of a call, in the words of the error. */
async function outcomeOf(call: Promise<unknown>): Promise<'ok' | 'not-applied' | 'unknown'> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    return isFlotillaError(error) ? error.outcome : 'unknown';
  }
}

it('and heals without a trace of what was refused (F-6)', async () => {
  for (let round = 1; round <= ROUNDS; round++) {
    await acknowledged(everyone.collection(NAME).upsert([{ id: 'shared', values: [round] }]));
    const leader = await view.leaderOf(0);
    const others = cutOff(leader);
    const minority = new Flotilla(cluster.clientAddress(leader), {
      routing: 'proxy',
      timeoutMs: 3_000,
    });
    const majority = new Flotilla(
      others.map((other) => cluster.clientAddress(other)),
      { routing: 'proxy' },
    );
    const lonely = minority.collection(NAME);
    const write = outcomeOf(lonely.upsert([{ id: `lonely-${round}`, values: [round] }]));

    await waitUntil('the majority goes on', async () => {
      await majority.collection(NAME).upsert([{ id: 'shared', values: [-round] }]);
      return true;
    });
    // Begun after the majority went on: any answer but the new value would be stale.
    const reads = Array.from({ length: 5 }, () => outcomeOf(storedValue(minority, 'shared')));
    expect(await Promise.all(reads)).not.toContain('ok');
    const outcome = await write;
    expect(outcome).not.toBe('ok');

    cluster.network.heal();
    await view.level();
    const healed = new Flotilla(cluster.clientAddress(leader), { routing: 'proxy' });
    expect(await storedValue(healed, 'shared')).toBe(-round);
    if (outcome === 'not-applied') {
      expect(await storedValue(healed, `lonely-${round}`)).toBeUndefined();
    }
    await Promise.all([minority, majority, healed].map((client) => client.close()));
  }
});
