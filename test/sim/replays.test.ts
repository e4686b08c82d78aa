// Goal: what the full-stack simulator has found once is not found again.
// Method: one script a bug, on a cluster that is made for it; the oracles judge as in every run.
import { describe, expect, it } from 'vitest';
import type { StackParameters } from './stack/parameters.js';
import { runStack } from './stack/run-stack.js';
import type { Stack } from './stack/stack.js';

const KEY = 'key-1';

/** Three nodes on an even network, logs that are cut after a few entries. */
const SMALL_LOGS: Partial<StackParameters> = {
  nodes: 3,
  settings: {
    shards: 1,
    replicationFactor: 3,
    virtualNodes: 8,
    electionTimeoutMs: 300,
    leases: false,
  },
  network: { delayMinMs: 0.5, delayMeanMs: 0.5 },
  clocks: [{}, {}, {}],
  compaction: { thresholdEntries: 4, thresholdBytes: 64 * 1024 * 1024, trailingEntries: 0 },
};

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
    expect((await runStack(3017, { steps: 12_000 })).finding).toBeUndefined();
  });

  it('seed 300 at 12,000 steps: a configuration change was read as a version', async () => {
    expect((await runStack(300, { steps: 12_000 })).finding).toBeUndefined();
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
});
