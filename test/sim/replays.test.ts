// Goal: what the full-stack simulator has found once is not found again.
// Method: one script a bug, on a cluster that is made for it; the oracles judge as in every run.
import { describe, expect, it } from 'vitest';
import { COMPACTION_DEFAULTS } from '../../src/replica/log-compaction.js';
import { World } from './kit/world.js';
import { keyOf, TENANT_COLLECTION } from './stack/address.js';
import { damageDisk } from './stack/damage.js';
import { drawParameters, type StackParameters } from './stack/parameters.js';
import { runStack } from './stack/run-stack.js';
import type { Stack } from './stack/stack.js';
import { SCRIPTED_TENANCY } from './stack/tenants.js';

const KEY = 'key-1';

const SETTINGS: StackParameters['settings'] = {
  shards: 1,
  replicationFactor: 3,
  virtualNodes: 8,
  electionTimeoutMs: 300,
  leases: false,
};

/** Three nodes on an even network, logs that are cut after a few entries. */
const SMALL_LOGS: Partial<StackParameters> = {
  nodes: 3,
  settings: SETTINGS,
  network: { delayMinMs: 0.5, delayMeanMs: 0.5 },
  clocks: [{}, {}, {}],
  compaction: { ...COMPACTION_DEFAULTS, thresholdEntries: 4, trailingEntries: 0 },
  tenancy: undefined,
  searchCacheBytes: 0,
};

const LONG_LOGS: Partial<StackParameters> = {
  ...SMALL_LOGS,
  compaction: { ...COMPACTION_DEFAULTS, thresholdEntries: 10_000 },
};

/** What the seed draws, without what was drawn for it later: bad disks, easy reads, tenants. */
function withSoundDisks(seed: number): Partial<StackParameters> {
  const { faults, workload } = drawParameters(new World(seed).fork('parameters'));
  const reads = {
    workload: { ...workload, relaxed: 0, questions: 1_001, partial: 0 },
    readDelayMaxMs: 0,
    searchCacheBytes: 0,
  };
  const none = { 'io-error': 0, damage: 0, 'stale-topology': 0 };
  return {
    ...reads,
    tenancy: undefined,
    faults: { ...faults, weights: { ...faults.weights, ...none } },
  };
}

/** Leaders of shard 0 come and go: each begins with an entry that carries no command. */
async function fillWithoutCommands({ world, wire, processes }: Stack, times: number) {
  const [first] = processes;
  if (first === undefined) throw new Error('no node runs');
  for (let time = 0; time < times; time++) {
    await world.settle(
      wire.call(first, 5_000, ({ admin }, options) =>
        admin.changeLeader('transfer', { kind: 'shard', shardId: 0 }, 0, options),
      ),
    );
    await world.run({ untilMs: world.nowMs + 200 });
  }
}

/** Takes shard 0 away from a node, and returns the moment that the topology lists it no more. */
async function removeReplica(stack: Stack, nodeId: number): Promise<void> {
  const { world, wire, processes } = stack;
  const [first] = processes;
  if (first === undefined) throw new Error('no node runs');
  const name = { kind: 'shard', shardId: 0 } as const;
  await world.settle(
    wire.call(first, 5_000, ({ admin }, options) =>
      admin.changeReplicas('remove', name, nodeId, options),
    ),
  );
  for (let time = 0; time < 2_000; time++) {
    const status = await world.settle(
      wire.call(first, 5_000, ({ admin }, options) => admin.status(options)),
    );
    const [shard] = status.shards;
    if (shard?.change === undefined && shard?.replicas.every((one) => one.nodeId !== nodeId)) {
      return;
    }
    await world.run({ untilMs: world.nowMs + 1 });
  }
  throw new Error(`node ${nodeId} keeps its replica`);
}

/** Gives a tenant to a shard, and returns when that is done. */
async function assign({ world, wire, processes }: Stack, tenant: string, shardId: number) {
  const [first] = processes;
  if (first === undefined) throw new Error('no node runs');
  const action = { kind: 'assignTenant', tenant, shardId } as const;
  await world.settle(
    wire.call(first, 5_000, ({ admin }, options) => admin.changeTenants(action, 'me', options)),
  );
}

describe('bugs of the past', () => {
  it.each([1, 2, 3, 4])('a group of one survives a loss of power (seed %i, M12)', async (seed) => {
    const report = await runStack(seed, {
      parameters: { ...SMALL_LOGS, disk: { syncMaxMs: 20, writeMaxMs: 1 } },
      script: async (stack) => {
        const { world, machines } = stack;
        const client = stack.client('scribe');
        await world.settle(client.write('upsert', [KEY]));
        await removeReplica(stack, 1);
        await removeReplica(stack, 2);
        for (const machine of machines) machine.crash('machine');
        for (const machine of machines) machine.start();
      },
    });
    expect(report.finding).toBeUndefined();
  });

  it('seed 3017 at 12,000 steps: a group shrinks to one, the power goes (M12)', async () => {
    const parameters = withSoundDisks(3017);
    expect((await runStack(3017, { steps: 12_000, parameters })).finding).toBeUndefined();
  });

  it('seed 300 at 12,000 steps: a configuration change was read as a version', async () => {
    const parameters = withSoundDisks(300);
    expect((await runStack(300, { steps: 12_000, parameters })).finding).toBeUndefined();
  });

  it('versions go on above a log without commands, though the clocks went back', async () => {
    const report = await runStack(1, {
      parameters: SMALL_LOGS,
      script: async (stack) => {
        const { world, machines } = stack;
        const client = stack.client('scribe');
        for (const machine of machines) machine.jumpWall(60_000);
        await world.settle(client.write('upsert', [KEY]));
        await world.settle(client.write('delete', [KEY]));
        await fillWithoutCommands(stack, 8);
        for (const machine of machines) {
          machine.crash('machine');
          machine.mendWall();
          machine.start();
        }
        await stack.reaches(20_000, () => machines.every(({ process }) => process?.isReady));
        await world.settle(client.write('upsert', [KEY]));
      },
    });
    expect(report.finding).toBeUndefined();
  });

  it('a log that cannot be read ends the node, and not a replica for ever (S6)', async () => {
    const report = await runStack(1, {
      parameters: LONG_LOGS,
      script: async (stack) => {
        const { world, machines, watch } = stack;
        const client = stack.client('scribe');
        const [first, second, third] = machines;
        await world.settle(client.write('upsert', [KEY]));
        third?.crash('machine');
        for (let write = 0; write < 5; write++) await world.settle(client.write('upsert', [KEY]));
        // Nothing of the log is in memory when the leader sends it to the one that was away.
        for (const machine of [first, second]) machine?.crash('machine');
        for (const machine of [first, second]) machine?.start();
        await stack.reaches(20_000, () => [first, second].every((one) => one?.process?.isReady));
        for (const machine of [first, second]) machine?.disk.failNext('read');
        third?.start();
        await stack.reaches(20_000, () => watch.found.poisoned > 0);
      },
    });
    expect(report.finding).toBeUndefined();
    expect(report.disks.poisoned).toBeGreaterThan(0);
  });

  it('a graph that cannot be written keeps no snapshot from being installed (H5)', async () => {
    const report = await runStack(1, {
      parameters: { ...SMALL_LOGS, checkpoints: { insertsMin: 1, closingInsertsMin: 1 } },
      script: async (stack) => {
        const { world, machines, watch } = stack;
        const client = stack.client('scribe');
        const [, , third] = machines;
        if (third === undefined) throw new Error('no machine');
        third.crash('process');
        for (let write = 0; write < 12; write++) {
          await world.settle(client.write('upsert', [`key-${write}`]));
          await stack.reaches(100, () => false);
        }
        // The first snapshot that comes takes the second generation of the store.
        third.disk.failNext('write', '/graphs-2/');
        third.start();
        await stack.reaches(20_000, () => watch.installs > 0 && !third.disk.isToFail('write'));
      },
    });
    expect(report.finding).toBeUndefined();
    expect(report.installs).toBeGreaterThan(0);
    expect(report.disks.failedWrites).toBe(1);
  });

  it('a log store that fails ends a node on which no group runs (S6)', async () => {
    const { faults } = drawParameters(new World(1).fork('parameters'));
    const report = await runStack(1, {
      parameters: {
        ...SMALL_LOGS,
        faults: { ...faults, weights: { ...faults.weights, damage: 1 } },
      },
      script: async (stack) => {
        const { world, machines, wire, watch } = stack;
        const [first, , third] = machines;
        if (first?.process === undefined || third === undefined) throw new Error('no node runs');
        await world.settle(stack.client('scribe').write('upsert', [KEY]));
        third.crash('process');
        const how = { store: 'log', how: 'batches' } as const;
        const damage = await damageDisk(third.disk, how, world.fork('damage'));
        watch.damaged(third.nodeId, damage?.groups ?? []);
        third.start();
        await stack.reaches(20_000, () => third.process?.isReady === true);
        // There is no room for the log of a new replica, and nobody else who writes.
        third.disk.isFull = true;
        await world.settle(
          wire.call(first.process, 5_000, ({ admin }, options) =>
            admin.changeReplicas('reset', { kind: 'shard', shardId: 0 }, 3, options),
          ),
        );
        await stack.reaches(20_000, () => watch.found.poisoned > 0);
      },
    });
    expect(report.finding).toBeUndefined();
    expect(report.disks.poisoned).toBeGreaterThan(0);
  });

  it('a tenant moves to a shard that was never so late: its versions grow (O6)', async () => {
    const report = await runStack(1, {
      parameters: { ...LONG_LOGS, settings: { ...SETTINGS, shards: 2 }, tenancy: SCRIPTED_TENANCY },
      script: async (stack) => {
        const { world, machines } = stack;
        const client = stack.client('scribe');
        const key = keyOf({ collection: TENANT_COLLECTION, tenant: 'acme' }, KEY);
        await assign(stack, 'acme', 0);
        for (const machine of machines) machine.jumpWall(60_000);
        await world.settle(client.write('upsert', [key]));
        await world.settle(client.write('delete', [key]));
        for (const machine of machines) machine.mendWall();
        await assign(stack, 'acme', 1);
        await world.settle(client.write('upsert', [key]));
        expect(client.counts).toMatchObject({ ok: 3, failed: 0, unknown: 0 });
      },
    });
    expect(report.finding).toBeUndefined();
    expect(report.tenants.ownerships).toBeGreaterThan(2);
  });
});
