// Goal: a call visits the replicas of its shard in the order in which they are likely to serve it.
// Method: tours over nodes in a few zones, what is known of them told by hand; and by chance.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BehindReplicas } from '../../../src/router/behind-replicas.js';
import { Leaders } from '../../../src/router/leaders.js';
import { ReplicaTour } from '../../../src/router/replica-tour.js';
import { SlowNodes } from '../../../src/router/slow-nodes.js';
import { UnreachedNodes } from '../../../src/router/unreached-nodes.js';

const SHARD = 0;
/** Replicas are on nodes 1 to 5. */
const REPLICAS = [1, 2, 3, 4, 5].map((nodeId) => ({ nodeId, replicaId: 10 + nodeId }));

/** What a router knows, and the tours of its relaxed reads. */
class Scene {
  localNodeId: number | undefined = 9;
  near: ReadonlySet<number> = new Set();
  lot = 0;
  readonly leaders = new Leaders();
  readonly #clock = { wallMs: () => 0, monotonicMs: () => 0 };
  readonly unreached = new UnreachedNodes(this.#clock);
  readonly slow = new SlowNodes(this.#clock);
  readonly behind = new BehindReplicas(this.#clock);

  tour({ mayAskAny = true, isFresh = false } = {}): ReplicaTour {
    return new ReplicaTour({
      shardId: SHARD,
      mayAskAny,
      random: { next: () => this.lot, uuid: () => '' },
      leaders: this.leaders,
      unreached: this.unreached,
      slow: this.slow,
      near: this.near,
      behind: isFresh ? this.behind : undefined,
      localNodeId: this.localNodeId,
    });
  }

  /** The nodes of a whole round, and why each is asked. */
  round(options?: { mayAskAny?: boolean; isFresh?: boolean }): { nodes: number[]; why: string[] } {
    const tour = this.tour(options);
    const nodes: number[] = [];
    const why: string[] = [];
    for (let stop = tour.next(REPLICAS); stop !== undefined; stop = tour.next(REPLICAS)) {
      nodes.push(stop.replica.nodeId);
      why.push(stop.choice);
    }
    return { nodes, why };
  }

  /** Who comes first, for each lot. */
  firsts(): { nodes: number[]; why: Set<string | undefined> } {
    const nodes = new Set<number>();
    const why = new Set<string | undefined>();
    for (this.lot = 0; this.lot < 1; this.lot += 0.05) {
      const stop = this.tour().next(REPLICAS);
      nodes.add(stop?.replica.nodeId ?? 0);
      why.add(stop?.choice);
    }
    return { nodes: [...nodes].sort((a, b) => a - b), why };
  }
}

describe('a read that any replica may serve', () => {
  it('goes to this node, then to its zone, then to the others, the leader first (M-14)', () => {
    const scene = new Scene();
    scene.localNodeId = 3;
    scene.near = new Set([3, 4, 5]);
    scene.leaders.remember(SHARD, 2);
    expect(scene.round()).toEqual({
      nodes: [3, 4, 5, 2, 1],
      why: ['local', 'next', 'next', 'leader', 'next'],
    });
    scene.leaders.remember(SHARD, 5);
    expect(scene.round()).toEqual({
      nodes: [3, 5, 4, 1, 2],
      why: ['local', 'leader', 'next', 'next', 'next'],
    });
  });

  it('is dealt out among those in the zone where none is on this node (M-14)', () => {
    const scene = new Scene();
    scene.near = new Set([2, 4, 9]);
    expect(scene.firsts()).toEqual({ nodes: [2, 4], why: new Set(['near']) });
  });

  it.each([
    ['all are in one zone', [1, 2, 3, 4, 5, 9]],
    ['none is in the zone', [9]],
  ])('is dealt out among all where %s', (_, near) => {
    const scene = new Scene();
    scene.near = new Set(near);
    expect(scene.firsts()).toEqual({ nodes: [1, 2, 3, 4, 5], why: new Set(['any']) });
    scene.leaders.remember(SHARD, 3);
    scene.lot = 0;
    expect(scene.round().nodes).toEqual([1, 3, 2, 4, 5]);
  });

  it('passes a slow zone by, and comes back to it', () => {
    const scene = new Scene();
    scene.near = new Set([2, 9]);
    scene.slow.noteSilent(2);
    expect(scene.firsts()).toEqual({ nodes: [1, 3, 4, 5], why: new Set(['any']) });
    scene.slow.noteTimely(2);
    expect(scene.firsts().nodes).toEqual([2]);
  });

  it.each(['silent', 'unlinked'] as const)('prefers no zone that is %s', (how) => {
    const scene = new Scene();
    scene.near = new Set([2, 9]);
    scene.unreached.mark(2, how);
    expect(scene.firsts().nodes).toEqual(expect.arrayContaining([1, 3, 4, 5]));
    scene.unreached.clear(2);
    expect(scene.firsts().nodes).toEqual([2]);
  });

  it('goes to the leader after a replica that was behind, out of the zone too', () => {
    const scene = new Scene();
    scene.near = new Set([1, 2, 9]);
    scene.leaders.remember(SHARD, 4);
    const tour = scene.tour({ isFresh: true });
    expect(tour.next(REPLICAS)?.replica.nodeId).toBe(1);
    expect(tour.peek(REPLICAS)?.replica.nodeId).toBe(2);
    scene.behind.noteBehind(SHARD, 1);
    expect(tour.next(REPLICAS)).toMatchObject({ replica: { nodeId: 4 }, choice: 'leader' });
  });

  it('visits each replica once, those of the zone before all others', () => {
    const someNodes = fc.subarray([1, 2, 3, 4, 5, 9]);
    const lot = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    const node = fc.constantFrom(1, 2, 3, 4, 5, 9);
    fc.assert(
      fc.property(someNodes, lot, node, node, (zone, lots, localNodeId, leaderNodeId) => {
        const scene = new Scene();
        scene.near = new Set([localNodeId, ...zone]);
        scene.lot = lots;
        scene.localNodeId = localNodeId;
        scene.leaders.remember(SHARD, leaderNodeId);
        const { nodes } = scene.round();
        expect([...nodes].sort((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
        const isNear = nodes.map((nodeId) => scene.near.has(nodeId));
        expect(isNear).toEqual([...isNear].sort((a, b) => Number(b) - Number(a)));
        if (localNodeId !== 9) expect(nodes[0]).toBe(localNodeId);
      }),
    );
  });
});

describe('a call for the leader', () => {
  it('takes no notice of zones', () => {
    const scene = new Scene();
    scene.near = new Set([4, 5, 9]);
    scene.leaders.remember(SHARD, 2);
    expect(scene.round({ mayAskAny: false }).nodes).toEqual([2, 1, 3, 4, 5]);
  });
});
