// Goal: a node holds the replicas that the topology gives it, whatever it held and however it died.
// Method: documents one after the other, also old ones; engines that fail; starts in between.
import { describe, expect, it } from 'vitest';
import type { CommandResult, Engine } from '../../../src/engine/engine.js';
import { ShardReplicas } from '../../../src/node/shard-replicas.js';
import { ReplicaHost } from '../../../src/replica/host.js';
import type { ShardReplica } from '../../../src/replica/replica.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import type { TopologyCommand, TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { replicaGroup } from '../../../src/topology/replica-group.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';
import { seed } from '../topology/topology-fixtures.js';

const GENESIS = initialTopology(seed(4, 6, 3));
const NODE_ID = 1;
const STATUS = { epoch: 1, timeoutMs: 1_000 };

/** A node's disk and log, and what runs on them. */
class World {
  readonly disk = new MemoryDisk();
  readonly environment = new VirtualEnvironment({ disk: this.disk });
  logStore = new MemoryLogStore({ storeId: `store-${NODE_ID}`, incarnation: 1 });
  /** What the engines of a directory reject `open` with. */
  readonly failing = new Map<string, Error>();
  /** How often the engine of a directory was opened. */
  readonly tries = new Map<string, number>();
  /** What a look at the newest topology does; it may publish, or throw. */
  refresh: () => void = () => undefined;
  /** Why a replica cannot be replaced. */
  obstacle: FlotillaError | undefined;
  readonly closed: string[] = [];
  readonly replaced: [number, number][] = [];
  opened = new Map<number, ShardReplica>();
  view = new TopologyHolder();
  readonly #failsOnce = new Set<string>();
  #host: ReplicaHost | undefined;
  #replicas: ShardReplicas | undefined;

  async start(document: TopologyDocument = GENESIS): Promise<void> {
    const { environment, logStore } = this;
    this.view = new TopologyHolder();
    this.view.publish(document);
    this.opened = new Map();
    const host = new ReplicaHost({
      environment,
      logStore,
      timing: deriveTiming(1_000),
      logger: silentLogger,
      send: () => undefined,
      onFault: (groupId, error) => this.#replicas?.noteFault(groupId, error),
    });
    this.#host = host;
    this.#replicas = new ShardReplicas({
      nodeId: NODE_ID,
      genesis: GENESIS,
      view: this.view,
      host,
      logStore,
      environment,
      logger: silentLogger,
      refreshView: async () => this.refresh(),
      replaceLost: async (groupId, replicaId) => {
        this.replaced.push([groupId, replicaId]);
        if (this.obstacle !== undefined) throw this.obstacle;
      },
      directory: 'shards',
      createEngine: (_genesis, directory) => this.#engine(directory),
      opened: (groupId, replica) => void this.opened.set(groupId, replica),
      removed: (groupId) => void this.opened.delete(groupId),
    });
    await environment.settle(this.#replicas.open());
    await this.settle();
  }

  /** Stops, and opens the log store anew as another process would. */
  async stop(): Promise<void> {
    await this.environment.settle(defined(this.#replicas, 'replicas').close());
    await this.environment.settle(defined(this.#host, 'a host').close());
    await this.environment.settle(this.logStore.close());
    this.logStore = this.logStore.reopen();
  }

  async publish(document: TopologyDocument): Promise<void> {
    this.view.publish(document);
    await this.settle();
  }

  async settle(): Promise<void> {
    await this.environment.advance(500);
  }

  async faultOf(groupId: number): Promise<string | undefined> {
    const replica = defined(this.opened.get(groupId), `group ${groupId}`);
    return (await this.environment.settle(replica.status(STATUS))).fault;
  }

  /** The next engine of a directory does not open; the one after it does. */
  failOnce(directory: string, error: Error): void {
    this.failing.set(directory, error);
    this.#failsOnce.add(directory);
  }

  /** Stops the replica as its engine would. */
  async fail(groupId: number, error: FlotillaError): Promise<void> {
    defined(this.#host?.group(groupId), 'the group').fail(error);
    await this.environment.settle(Promise.resolve());
  }

  heldId(groupId: number): number | undefined {
    return this.logStore.groups().find((one) => one.groupId === groupId)?.replicaId;
  }

  #engine(directory: string): Engine {
    const fail = (): Promise<never> => Promise.reject(new Error('a broken store'));
    return {
      open: async () => {
        this.tries.set(directory, (this.tries.get(directory) ?? 0) + 1);
        const error = this.failing.get(directory);
        if (this.#failsOnce.delete(directory)) this.failing.delete(directory);
        if (error !== undefined) throw error;
        await this.disk.writeFile(`${directory}/data`, new Uint8Array(1));
        return { appliedIndex: 0, lastVersion: 0n };
      },
      apply: async (entries): Promise<CommandResult[]> => entries.map(() => ({ kind: 'done' })),
      close: async () => void this.closed.push(directory),
      search: async () => [],
      fetch: async () => [],
      count: async () => 0,
      scroll: async () => ({ records: [] }),
      tenants: async () => [],
      explain: fail,
      expired: async () => [],
      contents: fail,
      stats: async () => ({ appliedIndex: 0, ownershipVersion: 1, collections: [], sessions: 0 }),
      writeSnapshot: fail,
      installSnapshot: fail,
    };
  }
}

function applied(document: TopologyDocument, ...commands: TopologyCommand[]): TopologyDocument {
  return commands.reduce((now, one) => applyTopologyCommand(now, one).document, document);
}

/** Carries a group's change to its end. */
function finished(document: TopologyDocument, groupId: number): TopologyDocument {
  const change = replicaGroup(document, groupId)?.change;
  if (change === undefined) return document;
  return finished(applied(document, { kind: 'advanceReplicaChange', groupId, change }), groupId);
}

const mine = GENESIS.shards.filter(({ replicas }) =>
  replicas.some(({ nodeId }) => nodeId === NODE_ID),
);
const [held] = mine;
const groupId = defined(held, 'a shard of this node').groupId;
const shardId = groupId - 1;
const ownId = defined(
  held?.replicas.find(({ nodeId }) => nodeId === NODE_ID),
  'own replica',
).replicaId;
const foreign = defined(
  GENESIS.shards.find((shard) => !mine.includes(shard)),
  'a shard of others',
);

describe('at the start', () => {
  it('all replicas of the node open; one whose engine fails only says why', async () => {
    const world = new World();
    world.failing.set(`shards/${shardId}`, new Error('a broken store'));
    await world.start();
    expect([...world.opened.keys()].sort()).toEqual(mine.map((shard) => shard.groupId));
    expect(await world.faultOf(groupId)).toContain('a broken store');
    const others = mine.filter((shard) => shard.groupId !== groupId);
    for (const shard of others) expect(await world.faultOf(shard.groupId)).toBeUndefined();
    expect(world.closed).toContain(`shards/${shardId}`);
    await world.stop();
  });

  it('a node with another store than the document begins nothing (S-44)', async () => {
    const world = new World();
    world.logStore = new MemoryLogStore({ storeId: 'wiped', incarnation: 1 });
    await world.start();
    expect(world.logStore.groups()).toEqual([]);
    expect(await world.faultOf(groupId)).toMatch(/flotilla replica reset --shard \d+ --node 1/);
    await world.stop();
  });
});

describe('a reset', () => {
  const resetting = applied(GENESIS, { kind: 'resetReplica', groupId, replicaId: ownId });

  it('begins anew in a directory of its own, and keeps the old one until it is over', async () => {
    const world = new World();
    await world.start();
    await world.publish(resetting);
    expect(world.heldId(groupId)).toBe(4);
    expect(await world.faultOf(groupId)).toBeUndefined();
    expect(await world.disk.list('shards')).toEqual(
      expect.arrayContaining([`${shardId}`, `${shardId}.4`]),
    );
    await world.publish(finished(resetting, groupId));
    expect(await world.disk.list('shards')).not.toContain(`${shardId}`);
    expect(await world.disk.list('shards')).toContain(`${shardId}.4`);
    await world.stop();
  });

  it('is found again by a node that was stopped in between, at any document', async () => {
    const over = finished(resetting, groupId);
    for (const [first, second] of [
      [GENESIS, resetting],
      [resetting, resetting],
      [resetting, over],
    ] as const) {
      const world = new World();
      await world.start(first);
      await world.stop();
      await world.start(second);
      // At each start the old documents come first, in order, and then the newest.
      await world.publish(over);
      expect(world.heldId(groupId)).toBe(4);
      expect(await world.faultOf(groupId)).toBeUndefined();
      await world.stop();
    }
  });

  it('that was taken back while the node was away costs it nothing', async () => {
    const world = new World();
    await world.start();
    await world.stop();
    // The node sees the reset again, and what became of it only when it asks.
    const given = applied(resetting, { kind: 'cancelReplicaChange', groupId });
    world.refresh = () => world.view.publish(finished(given, groupId));
    await world.start(resetting);
    expect(world.heldId(groupId)).toBe(ownId);
    expect(await world.faultOf(groupId)).toBeUndefined();
    await world.stop();
  });

  it('waits for a look at the newest topology, however often that fails', async () => {
    const world = new World();
    await world.start();
    let failures = 3;
    world.refresh = () => {
      if (failures-- > 0) throw new FlotillaError('NO_LEADER', 'nobody leads the topology');
    };
    await world.publish(resetting);
    expect(world.heldId(groupId)).toBe(ownId);
    await world.environment.advance(2_000);
    expect(world.heldId(groupId)).toBe(4);
    await world.stop();
  });

  it('that is given up leaves a replica that says what helps', async () => {
    const world = new World();
    await world.start();
    await world.publish(resetting);
    const given = applied(resetting, { kind: 'cancelReplicaChange', groupId });
    await world.publish(given);
    await world.publish(finished(given, groupId));
    expect(world.heldId(groupId)).toBeUndefined();
    expect(await world.disk.list('shards')).not.toContain(`${shardId}.4`);
    expect(await world.disk.list('shards')).toContain(`${shardId}`);
    await world.stop();
    await world.start(finished(given, groupId));
    expect(await world.faultOf(groupId)).toContain('flotilla replica reset');
    const again = applied(finished(given, groupId), {
      kind: 'resetReplica',
      groupId,
      replicaId: ownId,
    });
    await world.publish(again);
    expect(world.heldId(groupId)).toBe(5);
    expect(await world.faultOf(groupId)).toBeUndefined();
    await world.stop();
  });
});

describe('a replica that is added and removed', () => {
  const added = applied(GENESIS, {
    kind: 'addReplica',
    groupId: foreign.groupId,
    nodeId: NODE_ID,
  });
  const there = finished(added, foreign.groupId);
  const gone = finished(
    applied(there, { kind: 'removeReplica', groupId: foreign.groupId, replicaId: 4 }),
    foreign.groupId,
  );

  it('comes, stays over restarts, and goes with its data', async () => {
    const world = new World();
    await world.start();
    expect(world.heldId(foreign.groupId)).toBeUndefined();
    await world.publish(added);
    expect(world.heldId(foreign.groupId)).toBe(4);
    await world.publish(there);
    await world.stop();
    await world.start(there);
    expect(await world.faultOf(foreign.groupId)).toBeUndefined();
    await world.publish(gone);
    expect(world.heldId(foreign.groupId)).toBeUndefined();
    expect(world.opened.has(foreign.groupId)).toBe(false);
    expect(await world.disk.list('shards')).not.toContain(`${foreign.shardId}.4`);
    await world.stop();
  });

  it('is not begun again by a start that sees all documents once more (M8)', async () => {
    const world = new World();
    await world.start();
    await world.publish(added);
    await world.publish(gone);
    await world.stop();
    await world.start();
    for (const document of [added, there]) {
      await world.publish(document);
      expect(world.heldId(foreign.groupId)).toBeUndefined();
    }
    await world.publish(gone);
    expect(world.opened.has(foreign.groupId)).toBe(false);
    await world.stop();
  });

  it('survives documents from before it was added', async () => {
    const world = new World();
    await world.start();
    await world.publish(added);
    await world.publish(there);
    await world.stop();
    await world.start(GENESIS);
    await world.publish(added);
    expect(world.heldId(foreign.groupId)).toBe(4);
    await world.stop();
    await world.start(GENESIS);
    expect(world.heldId(foreign.groupId)).toBe(4);
    await world.stop();
  });
});

describe('a replica whose store fails', () => {
  const path = `shards/${shardId}`;
  const poisoned = new FlotillaError('STORE_POISONED', 'no space left on device');

  it('is opened again after growing pauses, and says when (P-10, F-10, S-48)', async () => {
    const world = new World();
    await world.start();
    world.failing.set(path, poisoned);
    await world.fail(groupId, poisoned);
    await world.environment.advance(100);
    const fault = await world.faultOf(groupId);
    expect(fault).toMatch(/STORE_POISONED: no space left.*try 1 comes at \d{4}-/);
    await world.environment.advance(300_000);
    const tries = defined(world.tries.get(path), 'tries');
    // Five minutes of pauses of at most 30 s, and not one a second.
    expect(tries).toBeGreaterThan(10);
    expect(tries).toBeLessThan(30);
    world.failing.clear();
    await world.environment.advance(30_000);
    expect(await world.faultOf(groupId)).toBeUndefined();
    await world.stop();
  });

  it('is opened again when the first opening failed', async () => {
    const world = new World();
    world.failing.set(path, poisoned);
    await world.start();
    expect(await world.faultOf(groupId)).toContain('try 1');
    world.failing.clear();
    await world.environment.advance(2_000);
    expect(await world.faultOf(groupId)).toBeUndefined();
    await world.stop();
  });

  it('stays out after a broken invariant, and after damage to something else', async () => {
    const world = new World();
    await world.start();
    await world.fail(groupId, new FlotillaError('INTERNAL', 'a broken invariant'));
    await world.environment.advance(60_000);
    expect(await world.faultOf(groupId)).toBe('a broken invariant');
    const [, other] = mine;
    const second = defined(other, 'a second shard').groupId;
    await world.fail(second, new FlotillaError('LOG_DAMAGED', 'entry 7 is not in the database'));
    await world.environment.advance(60_000);
    expect(await world.faultOf(second)).toMatch(/LOG_DAMAGED: entry 7.*flotilla replica reset/);
    expect(world.replaced).toEqual([]);
    await world.stop();
  });

  it('is left alone once the node is stopping', async () => {
    const world = new World();
    await world.start();
    world.failing.set(path, poisoned);
    await world.fail(groupId, poisoned);
    await world.environment.advance(100);
    const before = world.tries.get(path);
    await world.stop();
    await world.environment.advance(60_000);
    expect(world.tries.get(path)).toBe(before);
  });
});

describe('a replica whose state is lost', () => {
  const path = `shards/${shardId}`;
  const damaged = new FlotillaError('LOG_DAMAGED', 'a record is damaged');

  /** The log no longer reaches back to its beginning. */
  async function worldWithCutLog(): Promise<World> {
    const world = new World();
    await world.start();
    await world.stop();
    const entries = [1, 2, 3].map((index) => ({
      index,
      term: 1,
      type: 'EntryNormal' as const,
      data: new Uint8Array(0),
    }));
    const hardState = { term: 1, vote: 0, commit: 3 };
    await world.environment.settle(
      world.logStore.write({ groupId, entries, hardState, mustSync: true }),
    );
    await world.environment.settle(
      world.logStore.write({ groupId, entries: [], compactedIndex: 2, mustSync: true }),
    );
    return world;
  }

  it('begins anew with a log that has everything (P-8)', async () => {
    const world = new World();
    await world.start();
    await world.stop();
    await world.disk.writeFile(`${path}/rest`, new Uint8Array(1));
    world.failOnce(path, damaged);
    await world.start();
    expect(await world.faultOf(groupId)).toBeUndefined();
    expect(world.replaced).toEqual([]);
    await world.stop();
  });

  it('is replaced where its log does not reach back, and asks until it is (P-8, M8)', async () => {
    const world = await worldWithCutLog();
    world.failing.set(path, damaged);
    world.obstacle = new FlotillaError('QUORUM_AT_RISK', 'only one voter answers');
    await world.start();
    expect(world.opened.get(groupId)).toBeDefined();
    await world.environment.advance(20_000);
    expect(world.replaced.length).toBeGreaterThan(2);
    expect(world.replaced[0]).toEqual([groupId, ownId]);
    expect(await world.faultOf(groupId)).toContain('only one voter answers');
    world.obstacle = undefined;
    await world.environment.advance(30_000);
    const asked = world.replaced.length;
    await world.environment.advance(60_000);
    expect(world.replaced.length).toBe(asked);
    await world.publish(applied(GENESIS, { kind: 'resetReplica', groupId, replicaId: ownId }));
    expect(world.heldId(groupId)).toBe(4);
    expect(await world.faultOf(groupId)).toBeUndefined();
    await world.stop();
  });

  it('counts a state that is behind the beginning of its log as lost', async () => {
    const world = await worldWithCutLog();
    await world.start();
    await world.environment.advance(2_000);
    expect(await world.faultOf(groupId)).toContain('the log begins after 2');
    expect(world.replaced).toEqual([[groupId, ownId]]);
    await world.stop();
  });
});
