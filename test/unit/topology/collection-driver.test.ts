// Goal: a collection that is being created or dropped gets to its end, whoever leads meanwhile.
// Method: three topology groups in virtual time; shards that take commands, fail, or hang.
import { describe, expect, it } from 'vitest';
import type { Command } from '../../../src/shared/codec/command.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { CollectionDriver } from '../../../src/topology/collection-driver.js';
import type { CollectionEntry, TopologyCommand } from '../../../src/topology/document.js';
import { TopologyCluster, type TopologyNode } from './topology-cluster.js';
import { config } from './topology-fixtures.js';

const SOON = { timeoutMs: 5_000 };

interface Proposed {
  readonly byNode: number;
  readonly shardId: number;
  readonly command: Command;
}

class Shards {
  readonly proposed: Proposed[] = [];
  /** Set by tests: what a shard does with a command. */
  behave: (shardId: number) => Promise<void> = async () => undefined;
  readonly drivers: CollectionDriver[];

  constructor(cluster: TopologyCluster) {
    this.drivers = cluster.nodes.map(
      ({ nodeId, view, topology }) =>
        new CollectionDriver({
          view,
          topology,
          environment: cluster.environment,
          logger: silentLogger,
          proposeToShard: (shardId, command) => {
            this.proposed.push({ byNode: nodeId, shardId, command });
            return this.behave(shardId);
          },
        }),
    );
  }

  kinds(): string[] {
    return this.proposed.map(({ shardId, command }) => `${command.kind} ${shardId}`).sort();
  }
}

async function change(cluster: TopologyCluster, command: TopologyCommand): Promise<void> {
  const { topology } = await cluster.leader();
  const result = await cluster.environment.settle(topology.propose(command, SOON));
  expect(result.kind).toBe('ok');
}

const collectionsOf = ({ view }: TopologyNode): readonly CollectionEntry[] =>
  view.current()?.collections ?? [];

async function until(cluster: TopologyCluster, condition: () => boolean): Promise<void> {
  for (let at = 0; !condition(); at++) {
    if (at > 2_000) throw new Error('still waiting');
    await cluster.environment.advance(20);
  }
}

const create: TopologyCommand = { kind: 'beginCreateCollection', config: config('notes') };
const drop: TopologyCommand = { kind: 'beginDropCollection', collectionId: 1 };

describe('the driver', () => {
  it('puts a creation and a drop through every shard, then through the topology', async () => {
    const cluster = await TopologyCluster.start();
    const shards = new Shards(cluster);
    await change(cluster, create);
    const isActive = (node: TopologyNode): boolean => collectionsOf(node)[0]?.state === 'active';
    await until(cluster, () => cluster.nodes.every(isActive));
    const all = [0, 1, 2, 3];
    expect(shards.kinds()).toEqual(all.map((shardId) => `createCollection ${shardId}`));
    const { command } = shards.proposed[0] as Proposed;
    expect(command).toMatchObject({ collectionId: 1, config: config('notes') });

    shards.proposed.length = 0;
    await change(cluster, drop);
    await until(cluster, () => cluster.nodes.every((node) => collectionsOf(node).length === 0));
    expect(shards.kinds()).toEqual(all.map((shardId) => `dropCollection ${shardId}`));
    expect(new Set(shards.proposed.map(({ byNode }) => byNode)).size).toBe(1);
    for (const driver of shards.drivers) driver.close();
    await cluster.close();
  });

  it('tries again while a shard fails, and is not done before it has applied', async () => {
    const cluster = await TopologyCluster.start();
    const shards = new Shards(cluster);
    shards.behave = async (shardId) => {
      if (shardId === 2) throw new FlotillaError('SHARD_UNAVAILABLE', 'no quorum');
    };
    await change(cluster, create);
    await cluster.environment.advance(10_000);
    const leader = await cluster.leader();
    expect(collectionsOf(leader)).toMatchObject([{ state: 'creating' }]);
    const attempts = shards.proposed.filter(({ shardId }) => shardId === 2).length;
    expect(attempts).toBeGreaterThan(5);
    expect(attempts).toBeLessThan(50);
    shards.behave = async () => undefined;
    await until(cluster, () => collectionsOf(leader)[0]?.state === 'active');
    for (const driver of shards.drivers) driver.close();
    await cluster.close();
  });

  it('drives one change of a collection at a time, several collections together', async () => {
    const cluster = await TopologyCluster.start();
    const shards = new Shards(cluster);
    let hang: () => void = () => undefined;
    const hanging = new Promise<void>((resolve) => {
      hang = resolve;
    });
    shards.behave = () => hanging;
    await change(cluster, create);
    await change(cluster, { kind: 'beginCreateCollection', config: config('others') });
    await cluster.environment.advance(10_000);
    expect(shards.proposed).toHaveLength(8);
    hang();
    const leader = await cluster.leader();
    await until(cluster, () => collectionsOf(leader).every(({ state }) => state === 'active'));
    expect(shards.proposed).toHaveLength(8);
    for (const driver of shards.drivers) driver.close();
    await cluster.close();
  });

  it('of the next leader goes on where the last one stopped', async () => {
    const cluster = await TopologyCluster.start();
    const shards = new Shards(cluster);
    const old = await cluster.leader();
    shards.behave = () => new Promise(() => undefined);
    await change(cluster, create);
    await until(cluster, () => cluster.nodes.every((node) => collectionsOf(node).length === 1));
    expect(new Set(shards.proposed.map(({ byNode }) => byNode))).toEqual(new Set([old.nodeId]));
    cluster.isolate(old.nodeId);
    shards.behave = async () => undefined;
    shards.proposed.length = 0;
    const others = cluster.nodes.filter((node) => node !== old);
    await until(cluster, () => others.every((node) => collectionsOf(node)[0]?.state === 'active'));
    expect(shards.kinds()).toHaveLength(4);
    cluster.heal();
    await until(cluster, () => collectionsOf(old)[0]?.state === 'active');
    for (const driver of shards.drivers) driver.close();
    await cluster.close();
  });

  it('does nothing any more once it is closed', async () => {
    const cluster = await TopologyCluster.start();
    const shards = new Shards(cluster);
    for (const driver of shards.drivers) driver.close();
    await change(cluster, create);
    await cluster.environment.advance(5_000);
    expect(shards.proposed).toEqual([]);
    await cluster.close();
  });
});
