// Goal: a node says that it is ready when every shard serves, and says at once what is missing.
// Method: shards that a test makes serve or fail, in virtual time.
import { describe, expect, it } from 'vitest';
import { Readiness } from '../../../src/node/readiness.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

function setup(shardIds: readonly number[] | undefined) {
  const environment = new VirtualEnvironment();
  const world = { shardIds, failing: new Set<number>(), probes: 0 };
  const changes: boolean[] = [];
  const readiness = new Readiness({
    environment,
    shards: () =>
      world.shardIds?.map((shardId) => ({
        shardId,
        groupId: shardId + 1,
        ownershipVersion: 1,
        replicas: [],
        nextReplicaId: 1,
        resets: [],
      })),
    probe: async (shardId) => {
      world.probes++;
      if (world.failing.has(shardId)) throw new FlotillaError('NO_LEADER', 'nobody leads');
    },
    onChange: (ready) => changes.push(ready),
  });
  return { environment, world, readiness, changes };
}

describe('readiness', () => {
  it('comes when the node has joined and every shard serves', async () => {
    const { environment, world, readiness, changes } = setup(undefined);
    let first = 0;
    void readiness.firstReady.then(() => first++);
    readiness.start();
    await environment.advance(1_000);
    expect(readiness.missing).toEqual(['the node has not joined a cluster yet']);
    world.shardIds = [0, 1];
    world.failing.add(1);
    await environment.advance(1_000);
    expect(readiness.ready).toBe(false);
    expect(readiness.missing).toEqual(['shard 1 does not serve: nobody leads']);
    expect([changes, first]).toEqual([[], 0]);
    world.failing.clear();
    await environment.advance(200);
    expect(readiness.ready).toBe(true);
    expect([changes, first]).toEqual([[true], 1]);
  });

  it('goes and comes back with the shards, and tells of each change once', async () => {
    const { environment, world, readiness, changes } = setup([0, 1]);
    readiness.start();
    await environment.advance(5_000);
    world.failing.add(0);
    await environment.advance(5_000);
    world.failing.clear();
    await environment.advance(5_000);
    expect(changes).toEqual([true, false, true]);
  });

  it('ends with close: not ready, and no probe any more', async () => {
    const { environment, world, readiness, changes } = setup([0]);
    readiness.start();
    await environment.advance(100);
    readiness.close();
    expect(readiness.missing).toEqual(['the node is stopping']);
    const { probes } = world;
    await environment.advance(10_000);
    expect([world.probes, changes]).toEqual([probes, [true, false]]);
    expect(environment.pendingTimers).toBe(0);
  });

  it('leaves no timer behind when it is closed before the first probe is answered', async () => {
    const { environment, readiness } = setup(undefined);
    readiness.start();
    readiness.close();
    await environment.advance(10_000);
    expect(environment.pendingTimers).toBe(0);
    expect(readiness.missing).toEqual(['the node is stopping']);
  });
});
