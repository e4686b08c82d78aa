// Goal: a node that hears late of changes of the topology serves its clients all the same.
// Method: a script for the whole stack: a tenant moves while the node is kept from that news.
import { describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { keyOf, type Space, TENANT_COLLECTION } from './address.js';
import type { Process } from './machine.js';
import type { StackParameters } from './parameters.js';
import { runStack } from './run-stack.js';
import type { Stack } from './stack.js';
import { SCRIPTED_TENANCY } from './tenants.js';

const SPACE: Space = { collection: TENANT_COLLECTION, tenant: 'acme' };
const KEY = keyOf(SPACE, 'key-1');

/** Three nodes on an even network, two shards, tenants whom nobody but the script moves. */
const PARAMETERS: Partial<StackParameters> = {
  nodes: 3,
  settings: {
    shards: 2,
    replicationFactor: 3,
    virtualNodes: 8,
    electionTimeoutMs: 300,
    leases: false,
  },
  network: { delayMinMs: 0.5, delayMeanMs: 0.5 },
  clocks: [{}, {}, {}],
  answerLoss: 0,
  tenancy: SCRIPTED_TENANCY,
  searchCacheBytes: 0,
};

/** Gives the tenant to a shard, by way of this node, and returns when that is done. */
async function assign({ world, wire }: Stack, process: Process, shardId: number): Promise<void> {
  const action = { kind: 'assignTenant', tenant: SPACE.tenant, shardId } as const;
  await world.settle(
    wire.call(process, 5_000, ({ admin }, options) => admin.changeTenants(action, 'me', options)),
  );
}

/** The epoch by which a node routes. */
function epochOf({ admin }: ReturnType<Process['endpoints']>): number {
  return admin.routes({ collection: '', tenant: '' }).epoch;
}

describe('a node whose pushes of the topology do not come', () => {
  it('learns from others when shards refuse it, and its clients are served', async () => {
    const report = await runStack(1, {
      parameters: PARAMETERS,
      script: async (stack) => {
        const { world, machines, watch, staleTopology } = stack;
        const leaderNodeId = watch.leaderOf(TOPOLOGY_GROUP_ID);
        const leader = machines.find(({ nodeId }) => nodeId === leaderNodeId);
        const held = machines.find(({ nodeId }) => nodeId !== leaderNodeId);
        const process = defined(leader?.process, 'the leader of the topology');
        const late = defined(held?.process, 'a node that follows it');
        await assign(stack, process, 0);
        staleTopology.begin(defined(held, 'its machine').host);
        await assign(stack, process, 1);
        const epochBefore = epochOf(late.endpoints());
        expect(epochBefore).toBeLessThan(epochOf(process.endpoints()));

        const { workload } = stack.parameters;
        const client = stack.client('scribe', workload, undefined, () => [late]);
        await world.settle(client.write('upsert', [KEY]));
        await world.settle(client.fetch([KEY]));
        expect(client.counts).toMatchObject({ ok: 2, failed: 0, unknown: 0 });
        expect(epochOf(late.endpoints())).toBeGreaterThan(epochBefore);
        expect(staleTopology.withheld).toBeGreaterThan(0);
      },
    });
    expect(report.finding).toBeUndefined();
    expect(report.tenants.staleWrites).toBeGreaterThan(0);
  });
});
