// Goal: calls go to the node that leads the shard they are about, and soon after it has changed.
// Method: the routing alone over nodes made of tables, with a clock that the test moves.
import { describe, expect, it } from 'vitest';
import {
  type Destination,
  LOOKUP_PAUSE_MS,
  ROUTES_AGE_MAX_MS,
  ROUTES_RETRY_MS,
  Routing,
  TENANTS_MAX,
} from '../../../src/client/routing.js';
import type {
  CollectionRoutes,
  NodeRoute,
  Routes,
  RoutesRequest,
} from '../../../src/shared/codec/routes-messages.js';
import { type SeenShard, UNTOLD } from '../../../src/shared/consistency.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { type Logger, silentLogger } from '../../../src/shared/logger.js';
import { slotOfKey } from '../../../src/shared/slot.js';

const NODES: readonly NodeRoute[] = [1, 2, 3].map((nodeId) => {
  return { nodeId, clientAddress: addressOf(nodeId) };
});
/** Slots go round over four shards. */
const SLOT_TABLE = Array.from({ length: LIMITS.slots.value }, (_, slot) => slot % 4);

function addressOf(nodeId: number): string {
  return `host-${nodeId}:7700`;
}

/**
 * Three nodes; shard 0 and 3 are led by node 1, shard 1 by node 2, shard 2 by node 3. Shard 0 has
 * replicas on nodes 1 and 2, shard 1 on 2 and 3, and so on round.
 */
class Scene {
  leaders = [1, 2, 3, 1];
  replicas = [
    [1, 2],
    [2, 3],
    [3, 1],
    [1, 2],
  ];
  /** Addresses that were found, and whose connections have broken since. */
  readonly broken = new Set<string>();
  /** Addresses that no call goes to now. */
  readonly down = new Set<string>();
  epoch = 4;
  nowMs = 1_000;
  found: readonly string[] = [];
  clusterId = '';
  readonly asked: string[] = [];
  readonly gone = new Set<string>();
  readonly clusterIds = new Map<string, string>();
  readonly tenants = new Map<string, number>();
  collection: CollectionRoutes | undefined = { routedBy: 'id', slotTable: SLOT_TABLE };
  nodes = NODES;
  busy = false;
  /** Lots go round in quarters: whatever is chosen among four gets its share. */
  lots = 4;
  /** What answers wait for. */
  delay: Promise<void> | undefined;
  /** Which node answers at an address, where it is not the one of its name. */
  readonly moved = new Map<string, number>();
  readonly logger: Logger = { ...silentLogger };
  readonly routing: Routing;

  constructor(given = [addressOf(1)], zone?: string) {
    const source = {
      given,
      ask: async (address: string, request: RoutesRequest) => {
        this.asked.push(address);
        await this.delay;
        return this.#answer(address, request);
      },
      isTrusted: (address: string) => given.includes(address) || !this.broken.has(address),
      isReached: (address: string) => !this.down.has(address) && !this.broken.has(address),
      setFound: (addresses: readonly string[], clusterId: string) => {
        this.found = addresses;
        this.clusterId = clusterId;
      },
    };
    let lots = 0;
    this.routing = new Routing({
      source,
      zone,
      logger: this.logger,
      nowMs: () => this.nowMs,
      random: () => (lots++ % this.lots) / this.lots,
    });
  }

  /** A call is answered, and what it has set off is over. */
  async call(destination: Destination = all()): Promise<string | undefined> {
    const address = this.routing.addressFor(destination);
    this.routing.noteAnswered();
    for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    return address;
  }

  async learn(): Promise<void> {
    await this.call();
    await this.call();
    this.asked.length = 0;
  }

  #answer(address: string, { tenant }: RoutesRequest): Routes {
    if (this.gone.has(address)) throw new FlotillaError('NODE_NOT_READY', 'it is gone');
    if (this.busy) throw new FlotillaError('DEADLINE_EXCEEDED', 'it is busy');
    const answeredBy = this.moved.get(address) ?? Number(/^host-(\d)/.exec(address)?.[1]);
    const tenantShardId = this.tenants.get(tenant);
    return {
      clusterId: this.clusterIds.get(address) ?? 'c1',
      epoch: this.epoch,
      answeredBy,
      nodes: this.nodes,
      shards: this.leaders.map((leaderNodeId, shardId) => {
        return { shardId, leaderNodeId, replicaNodeIds: this.replicas[shardId] ?? [] };
      }),
      collection: this.collection && {
        ...this.collection,
        ...(tenantShardId !== undefined && { tenantShardId }),
      },
    };
  }
}

/** That a shard has served a call, as answers tell. */
function seen(shardId: number): SeenShard {
  return { shardId, ownershipVersion: 1, appliedIndex: 5 };
}

function all(collection = 'notes', tenant = ''): Destination {
  return { collection, tenant, records: 'all' };
}

/** Ids of records of these shards, one each. */
function ids(...shardIds: number[]): Destination {
  const found = shardIds.map((shardId) => {
    for (let at = 0; ; at++) if (slotOfKey(`id-${at}`) % 4 === shardId) return { id: `id-${at}` };
  });
  return { collection: 'notes', tenant: '', records: found };
}

describe('routing', () => {
  it('asks nobody before the first call is answered, and nothing waits for it (K1)', async () => {
    const scene = new Scene();
    expect(await scene.call()).toBeUndefined();
    expect(scene.asked).toEqual([]);
    expect(await scene.call()).toBeUndefined();
    expect(scene.asked).toEqual([addressOf(1), addressOf(2), addressOf(3)]);
    expect(scene.found).toEqual([addressOf(1), addressOf(2), addressOf(3)]);
    expect(scene.clusterId).toBe('c1');
  });

  it('sends a call about one shard to the node that leads it', async () => {
    const scene = new Scene();
    await scene.learn();
    for (const [shardId, nodeId] of scene.leaders.entries()) {
      expect(await scene.call(ids(shardId))).toBe(addressOf(nodeId));
    }
    expect(scene.asked).toEqual([]);
  });

  it('sends a call about some shards to the node that leads most of them', async () => {
    const scene = new Scene();
    await scene.learn();
    expect(await scene.call(ids(0, 1, 3))).toBe(addressOf(1));
    const equals = new Set<string | undefined>();
    for (let at = 0; at < 4; at++) equals.add(await scene.call(ids(1, 2)));
    expect(equals).toEqual(new Set([addressOf(2), addressOf(3)]));
  });

  it('deals calls about all shards out to the nodes as they lead shards', async () => {
    const scene = new Scene();
    await scene.learn();
    const counts = new Map<string | undefined, number>();
    for (let at = 0; at < 40; at++) {
      const address = await scene.call(at < 20 ? all() : ids(0, 1, 2, 3));
      counts.set(address, (counts.get(address) ?? 0) + 1);
    }
    expect(counts).toEqual(
      new Map([
        [addressOf(1), 20],
        [addressOf(2), 10],
        [addressOf(3), 10],
      ]),
    );
  });

  it("sends a tenant's calls to the one shard that has them, where tenants decide", async () => {
    const scene = new Scene();
    scene.collection = { routedBy: 'tenant', slotTable: [] };
    await scene.learn();
    for (const [tenant, shardId] of [
      ['A', 1],
      ['B', 2],
    ] as const) {
      scene.routing.noteTenant(all('notes', tenant), [seen(shardId)]);
      const address = addressOf(shardId + 1);
      expect(await scene.call(all('notes', tenant))).toBe(address);
      expect(await scene.call({ ...ids(0), tenant })).toBe(address);
    }
    scene.routing.noteTenant(all('notes', 'A'), [seen(2)]);
    expect(await scene.call(all('notes', 'A'))).toBe(addressOf(3));
    expect(scene.asked).toEqual([]);
  });

  it('believes of a tenant only what tells of one shard, and where tenants decide', async () => {
    const scene = new Scene();
    await scene.learn();
    const acme = { ...ids(0), tenant: 'A' };
    scene.routing.noteTenant(acme, [seen(1)]);
    expect(await scene.call(acme)).toBe(addressOf(1));
    scene.collection = { routedBy: 'tenant', slotTable: [] };
    scene.nowMs += ROUTES_AGE_MAX_MS;
    await scene.call();
    scene.routing.noteTenant(acme, [seen(1), seen(2)]);
    scene.routing.noteTenant(acme, []);
    scene.routing.noteTenant(acme, [UNTOLD]);
    const addresses = new Set<string | undefined>();
    for (let at = 0; at < 12; at++) addresses.add(await scene.call(acme));
    expect(addresses.size).toBe(3);
  });

  it('knows from the lookup where the tenant is whose call has set it off', async () => {
    const scene = new Scene();
    scene.collection = { routedBy: 'tenant', slotTable: [] };
    scene.tenants.set('A', 1);
    await scene.call(all('notes', 'A'));
    await scene.call(all('notes', 'A'));
    expect(await scene.call(all('notes', 'A'))).toBe(addressOf(2));
  });

  it('deals calls about all tenants out, whichever shard has those of nobody', async () => {
    const scene = new Scene();
    scene.collection = { routedBy: 'tenant', slotTable: [] };
    scene.tenants.set('', 1);
    const everybody = { ...all(), tenant: undefined };
    await scene.call(everybody);
    await scene.call(everybody);
    const addresses = new Set<string | undefined>();
    for (let at = 0; at < 12; at++) addresses.add(await scene.call(everybody));
    expect(addresses).toEqual(new Set(scene.found));
  });

  it('sends what any replica may serve to one that has it, each as often', async () => {
    const scene = new Scene();
    await scene.learn();
    const servedBy = 'replicas';
    const shares = async (destination: Destination) => {
      const counts = new Map<string | undefined, number>();
      for (let at = 0; at < 16; at++) {
        const address = await scene.call({ ...destination, servedBy });
        counts.set(address, (counts.get(address) ?? 0) + 1);
      }
      return [1, 2, 3].map((nodeId) => counts.get(addressOf(nodeId)) ?? 0);
    };
    expect(await shares(ids(1))).toEqual([0, 8, 8]);
    expect(await shares(ids(2))).toEqual([8, 0, 8]);
    // Node 2 has replicas of all three.
    expect(await shares(ids(0, 1, 3))).toEqual([0, 16, 0]);
    // A shard and then a replica are chosen: not always the same ones.
    scene.lots = 7;
    expect((await shares(all())).every((share) => share > 0)).toBe(true);
    scene.gone.add(addressOf(3));
    scene.replicas = scene.replicas.map(() => []);
    scene.nowMs += ROUTES_AGE_MAX_MS;
    await scene.call();
    // Nodes of earlier versions do not tell who has replicas.
    expect(await scene.call({ ...ids(1), servedBy })).toBeUndefined();
    expect(await scene.call(ids(1))).toBe(addressOf(2));
  });

  describe('in a zone', () => {
    const relaxed = (destination: Destination): Destination => {
      return { ...destination, servedBy: 'replicas' };
    };
    /** Nodes 1 and 3 are in zone a, node 2 in b; the client is in the one that it says. */
    async function zoned(zone: string): Promise<Scene> {
      const scene = new Scene([addressOf(1), addressOf(2), addressOf(3)], zone);
      scene.nodes = NODES.map((node) => ({ ...node, zone: node.nodeId === 2 ? 'b' : 'a' }));
      await scene.learn();
      return scene;
    }
    async function addresses(scene: Scene, destination: Destination): Promise<Set<string>> {
      const found = new Set<string>();
      for (let at = 0; at < 16; at++) found.add((await scene.call(relaxed(destination))) ?? '');
      return found;
    }

    it('sends what any replica may serve to those of the zone, else to any (M-14)', async () => {
      const inA = await zoned('a');
      expect(await addresses(inA, ids(0))).toEqual(new Set([addressOf(1)]));
      expect(await addresses(inA, ids(1))).toEqual(new Set([addressOf(3)]));
      expect(await addresses(inA, ids(2))).toEqual(new Set([addressOf(1), addressOf(3)]));
      const inB = await zoned('b');
      expect(await addresses(inB, ids(0))).toEqual(new Set([addressOf(2)]));
      expect(await addresses(inB, ids(2))).toEqual(new Set([addressOf(1), addressOf(3)]));
      // What only a leader serves goes to it, wherever that is.
      expect(await inB.call(ids(0))).toBe(addressOf(1));
    });

    it('goes elsewhere while the zone is not reached, and comes back', async () => {
      const scene = await zoned('b');
      scene.down.add(addressOf(2));
      expect(await addresses(scene, ids(0))).toContain(addressOf(1));
      scene.down.clear();
      expect(await addresses(scene, ids(0))).toEqual(new Set([addressOf(2)]));
    });

    it('goes elsewhere for a while once a call there has come to nothing', async () => {
      const scene = await zoned('b');
      scene.routing.noteFailed(addressOf(2));
      expect(await addresses(scene, ids(0))).toContain(addressOf(1));
      scene.nowMs += ROUTES_RETRY_MS;
      expect(await addresses(scene, ids(0))).toEqual(new Set([addressOf(2)]));
    });

    it('knows of no zone where nodes tell none, and follows those that move', async () => {
      const scene = await zoned('b');
      scene.nodes = NODES;
      scene.nowMs += ROUTES_AGE_MAX_MS;
      await scene.call();
      expect(await addresses(scene, ids(0))).toEqual(new Set([addressOf(1), addressOf(2)]));
      scene.nodes = NODES.map((node) => ({ ...node, zone: node.nodeId === 1 ? 'b' : 'a' }));
      scene.nowMs += ROUTES_AGE_MAX_MS;
      await scene.call();
      expect(await addresses(scene, ids(0))).toEqual(new Set([addressOf(1)]));
    });
  });

  it('goes to no replica that is not reached', async () => {
    const scene = new Scene();
    scene.gone.add(addressOf(2));
    await scene.learn();
    for (let at = 0; at < 8; at++) {
      expect(await scene.call({ ...ids(1), servedBy: 'replicas' })).toBe(addressOf(3));
    }
  });

  it('asks anew who is at an address whose connection has broken (K2)', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.broken.add(addressOf(2));
    scene.gone.add(addressOf(2));
    expect(scene.routing.addressFor(ids(1))).toBeUndefined();
    scene.nowMs += LOOKUP_PAUSE_MS;
    await scene.call();
    expect(scene.asked).toContain(addressOf(2));
    expect(scene.found).toEqual([addressOf(1), addressOf(3)]);
    // As long as nobody answers there, now and then.
    scene.asked.length = 0;
    for (let waitedMs = 0; waitedMs < 1.5 * ROUTES_RETRY_MS; waitedMs += LOOKUP_PAUSE_MS) {
      scene.nowMs += LOOKUP_PAUSE_MS;
      expect(await scene.call(ids(1))).toBeUndefined();
    }
    expect(scene.asked.filter((address) => address === addressOf(2))).toHaveLength(1);
    scene.gone.delete(addressOf(2));
    scene.broken.delete(addressOf(2));
    scene.nowMs += ROUTES_RETRY_MS;
    await scene.call(ids(1));
    await scene.call(ids(1));
    expect(await scene.call(ids(1))).toBe(addressOf(2));
  });

  it('prefers no node for shards that do not answer, and keeps to the others', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.routing.noteUnled([1, 77]);
    expect(await scene.call(ids(1))).toBeUndefined();
    expect(await scene.call(ids(0))).toBe(addressOf(1));
    expect(await scene.call(ids(2))).toBe(addressOf(3));
    scene.routing.noteUnled([]);
    scene.routing.noteUnled([77]);
    expect(scene.asked).toEqual([]);
  });

  it('asks at most once in a while, however many calls fail', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.leaders = [1, 0, 3, 1];
    for (let at = 0; at < 100; at++) {
      scene.nowMs += LOOKUP_PAUSE_MS / 10;
      scene.routing.noteUnled([1]);
      await scene.call(ids(1));
    }
    expect(scene.asked.length).toBeGreaterThan(1);
    expect(scene.asked.length).toBeLessThanOrEqual(10);
  });

  it('goes by the shard key where that decides', async () => {
    const scene = new Scene();
    scene.collection = { routedBy: 'shardKey', slotTable: SLOT_TABLE };
    await scene.learn();
    const { records } = ids(1, 2);
    if (records === 'all') throw new Error('these are two');
    const [ofShard1 = { id: '' }, ofShard2 = { id: '' }] = records;
    const record = { id: ofShard1.id, shardKey: ofShard2.id };
    expect(await scene.call({ ...all(), records: [record] })).toBe(addressOf(3));
  });

  it.each([
    ['where records are not spread by slots', { routedBy: 'id', slotTable: [] } as const],
    ['where something else decides', { routedBy: undefined, slotTable: SLOT_TABLE }],
    ['of a collection that nobody knows', undefined],
  ])('goes to any leader %s', async (_, collection) => {
    const scene = new Scene();
    scene.collection = collection;
    await scene.learn();
    const seen = new Set<string | undefined>();
    for (let at = 0; at < 12; at++) seen.add(await scene.call(ids(1)));
    expect(seen).toEqual(new Set(scene.found));
    expect(scene.asked).toEqual([]);
  });

  it('learns from answers who leads now', async () => {
    const scene = new Scene();
    await scene.learn();
    const served = { shardId: 1, nodeId: 3, ownershipVersion: 1, appliedIndex: 5 };
    scene.routing.noteLeaders([served, { ...served, shardId: 77 }, { ...served, nodeId: 0 }]);
    expect(await scene.call(ids(1))).toBe(addressOf(3));
    expect(scene.asked).toEqual([]);
  });

  it('looks up again when a node is gone, and prefers no node meanwhile', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.gone.add(addressOf(2));
    scene.leaders = [1, 3, 3, 1];
    scene.routing.noteFailed(addressOf(2));
    expect(scene.routing.addressFor(ids(1))).toBeUndefined();
    scene.nowMs += LOOKUP_PAUSE_MS;
    await scene.call();
    expect(await scene.call(ids(1))).toBe(addressOf(3));
  });

  it('looks up again when an answer tells of a newer topology, once', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.routing.noteEpoch(4);
    await scene.call();
    expect(scene.asked).toEqual([]);
    scene.routing.noteEpoch(5);
    scene.nowMs += LOOKUP_PAUSE_MS;
    await scene.call();
    scene.routing.noteEpoch(5);
    scene.nowMs += LOOKUP_PAUSE_MS;
    await scene.call();
    expect(scene.asked).toHaveLength(1);
  });

  it('looks up again after a time, and what fails only after another', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.nowMs += ROUTES_AGE_MAX_MS - 1;
    await scene.call();
    expect(scene.asked).toEqual([]);
    scene.nowMs += 1;
    for (const { clientAddress } of NODES) scene.gone.add(clientAddress);
    await scene.call();
    const askedOnce = scene.asked.length;
    expect(askedOnce).toBeGreaterThan(0);
    for (let at = 0; at < 5; at++) await scene.call();
    expect(scene.asked).toHaveLength(askedOnce);
    scene.nowMs += ROUTES_RETRY_MS;
    await scene.call();
    expect(scene.asked.length).toBeGreaterThan(askedOnce);
  });

  it('leaves alone addresses that no node of the cluster answers at (K2)', async () => {
    const scene = new Scene();
    scene.gone.add(addressOf(2));
    scene.clusterIds.set(addressOf(3), 'another cluster on this machine');
    await scene.learn();
    expect(scene.found).toEqual([addressOf(1)]);
    expect(await scene.call(ids(0))).toBe(addressOf(1));
    expect(await scene.call(ids(1))).toBeUndefined();
  });

  it('looks up once at a time, however many calls fail meanwhile', async () => {
    const scene = new Scene();
    await scene.learn();
    let answer = (): void => undefined;
    scene.delay = new Promise((resolve) => {
      answer = resolve;
    });
    for (let at = 0; at < 50; at++) {
      scene.routing.noteFailed(addressOf(1 + (at % 3)));
      scene.nowMs += LOOKUP_PAUSE_MS;
      await scene.call();
    }
    expect(scene.asked).toHaveLength(1);
    answer();
    for (let at = 0; at < 60; at++) await scene.call();
    expect(await scene.call(ids(1))).toBe(addressOf(2));
    expect(scene.asked).toHaveLength(1);
  });

  it('outlives a logger that throws', async () => {
    const scene = new Scene();
    scene.logger.debug = () => {
      throw new Error('the disk of the log is full');
    };
    await scene.learn();
    expect(await scene.call(ids(1))).toBe(addressOf(2));
  });

  it('keeps a node that is only too busy to say where shards are', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.busy = true;
    scene.nowMs += ROUTES_AGE_MAX_MS;
    await scene.call();
    expect(scene.asked.length).toBeGreaterThan(0);
    expect(await scene.call(ids(1))).toBe(addressOf(2));
  });

  it('notices that an address belongs to another node now', async () => {
    const scene = new Scene([addressOf(1), addressOf(2), addressOf(3)]);
    await scene.learn();
    scene.moved.set(addressOf(2), 3).set(addressOf(3), 2);
    for (let at = 0; at < 12; at++) {
      scene.nowMs += ROUTES_AGE_MAX_MS;
      await scene.call();
    }
    expect(await scene.call(ids(1))).toBe(addressOf(3));
    expect(await scene.call(ids(2))).toBe(addressOf(2));
  });

  it('lets go of nodes that have left the cluster', async () => {
    const scene = new Scene();
    await scene.learn();
    scene.nodes = NODES.slice(0, 2);
    scene.epoch = 5;
    scene.nowMs += ROUTES_AGE_MAX_MS;
    await scene.call();
    expect(scene.found).toEqual([addressOf(1), addressOf(2)]);
  });

  it('keeps the addresses of the user where nodes advertise others', async () => {
    const scene = new Scene(['host-1:1', 'host-2:1', 'host-3:1']);
    await scene.learn();
    expect(scene.found).toEqual(['host-1:1', 'host-2:1', 'host-3:1']);
    expect(await scene.call(ids(1))).toBe('host-2:1');
  });

  it('asks nobody for tenants, however many there are, and forgets the oldest (M-20)', async () => {
    const scene = new Scene();
    scene.collection = { routedBy: 'tenant', slotTable: [] };
    await scene.learn();
    const round = async (tenants: number) => {
      for (let at = 0; at < tenants; at++) {
        const destination = all('notes', `t-${at}`);
        scene.routing.addressFor(destination);
        scene.routing.noteTenant(destination, [seen(at % 3)]);
      }
      await scene.call();
    };
    await round(5_000);
    await round(2_000);
    expect(scene.asked).toEqual([]);
    expect(await scene.call(all('notes', 't-1999'))).toBe(addressOf(2));
    await round(TENANTS_MAX + 1);
    const addresses = new Set<string | undefined>();
    for (let at = 0; at < 12; at++) addresses.add(await scene.call(all('notes', 't-0')));
    expect(addresses.size).toBe(3);
    expect(await scene.call(all('notes', 't-1'))).toBe(addressOf(2));
    expect(scene.asked).toEqual([]);
  });

  it('remembers a bounded number of collections, and asks for some of them at once', async () => {
    const scene = new Scene();
    await scene.learn();
    for (let at = 0; at < 5_000; at++) scene.routing.addressFor(all(`nothing-${at}`));
    for (let turn = 0; turn < 2_000; turn++) await Promise.resolve();
    expect(scene.asked.length).toBeGreaterThan(0);
    expect(scene.asked.length).toBeLessThanOrEqual(64);
    scene.asked.length = 0;
    await scene.call();
    expect(scene.asked).toHaveLength(1);
  });
});
