// Goal: with a cache, searches are as fresh as asked for, see own writes, and one tenant's only.
// Method: a router with a cache over fake shards whose local replicas fall behind, in virtual time;
// property-based against all writes with the times of their acknowledgements.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SearchAnswer, SearchRequestQuery } from '../../../src/router/requests.js';
import { Router } from '../../../src/router/router.js';
import type { Consistency } from '../../../src/shared/consistency.js';
import { FakeCluster, type FakeClusterOptions } from './fake-cluster.js';

const TENANTS = ['', 'acme'] as const;
const LOCAL_NODE = 2;
const LEADER_NODE = 1;
const QUERY: SearchRequestQuery = {
  target: { kind: 'vector', values: Float32Array.of(0, 0) },
  limit: 1_000,
  includeValues: false,
  includeMetadata: false,
};

interface Acknowledged {
  readonly id: string;
  readonly tenant: string;
  readonly atMs: number;
  readonly isOwn: boolean;
  /** Whether the router has read the log that far since. */
  isHeard: boolean;
}

/** A router with a cache on node 2, another one without, and all that was acknowledged. */
class Scene {
  readonly cluster: FakeCluster;
  readonly other: Router;
  readonly writes: Acknowledged[] = [];
  hits = 0;
  misses = 0;
  #heldSinceMs: number | undefined;
  #hasClaimedAll = false;

  constructor(options: FakeClusterOptions = {}) {
    this.cluster = new FakeCluster({
      shards: 2,
      nodes: 3,
      localNodeId: LOCAL_NODE,
      searchCacheBytes: 1_000_000,
      hooks: {
        onCacheLookup: ({ isHit }) => {
          if (isHit) this.hits++;
          else this.misses++;
        },
      },
      ...options,
    });
    const { view, environment } = this.cluster;
    this.other = new Router({
      view,
      environment,
      replicas: ({ shardId }, { nodeId }) => this.cluster.replica(shardId, nodeId),
    });
    for (const shard of this.cluster.shards) shard.elect(LEADER_NODE);
    for (const { shardId } of this.cluster.document.shards) {
      for (const replica of this.cluster.replicasOf(shardId)) replica.ageMs = () => 0;
      this.#local(shardId).ageMs = () => this.nowMs - (this.#heldSinceMs ?? this.nowMs);
    }
  }

  get nowMs(): number {
    return this.cluster.environment.nowMs;
  }

  async write(tenant: string, isOwn: boolean): Promise<void> {
    const router = isOwn ? this.cluster.router : this.other;
    const id = `r${this.writes.length}`;
    const record = { id, values: Float32Array.of(1, 1), metadata: new Uint8Array(0) };
    await this.cluster.run(router.upsert('docs', [record], { timeoutMs: 5_000, tenant }));
    this.writes.push({ id, tenant, atMs: this.nowMs, isOwn, isHeard: isOwn });
  }

  async search(tenant: string, consistency: Consistency, query = QUERY): Promise<SearchAnswer> {
    const options = { timeoutMs: 5_000, tenant, consistency };
    const work = this.cluster.router.search('docs', [query], options);
    const answer = await this.cluster.run(work);
    if (consistency === 'strong') for (const write of this.writes) write.isHeard = true;
    return answer;
  }

  /** The replicas on the router's node fall behind. See `FakeReplica.holdBack`. */
  hold(claimsAll: boolean): void {
    this.#heldSinceMs = this.nowMs;
    this.#hasClaimedAll ||= claimsAll;
    for (const { shardId } of this.cluster.document.shards) {
      this.#local(shardId).holdBack(claimsAll);
    }
  }

  /**
   * Whether the router has to show the write to whoever reads it now: its own in any case, another
   * that it has read where no index has claimed more than was shown.
   */
  mustShow({ isOwn, isHeard }: Acknowledged): boolean {
    if (this.#heldSinceMs !== undefined) return false;
    return isOwn || (isHeard && !this.#hasClaimedAll);
  }

  catchUp(): void {
    this.#heldSinceMs = undefined;
    for (const { shardId } of this.cluster.document.shards) this.#local(shardId).catchUp();
  }

  shardOf(id: string): number {
    return this.cluster.shards.findIndex(({ records }) => records.has(id));
  }

  searchesAsked(): number {
    return this.cluster.document.shards
      .flatMap(({ shardId }) => this.cluster.replicasOf(shardId))
      .flatMap(({ calls }) => calls.filter((call) => call === 'search')).length;
  }

  #local(shardId: number) {
    return this.cluster.replica(shardId, LOCAL_NODE);
  }
}

const idsOf = (answer: SearchAnswer): string[] => (answer.results[0] ?? []).map(({ id }) => id);

const tenant = fc.constantFrom(...TENANTS);
const step = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.oneof(fc.nat(40), fc.nat(900)),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('write' as const), tenant, isOwn: fc.boolean() }),
  },
  fc.record({ kind: fc.constant('hold' as const) }),
  fc.record({ kind: fc.constant('catchUp' as const) }),
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('search' as const),
      tenant,
      consistency: fc.constantFrom<Consistency>(
        'eventual',
        'eventual',
        'eventual',
        { boundedMs: 100 },
        { boundedMs: 700 },
        'strong',
      ),
    }),
  },
);

const steps = fc.array(step, { minLength: 20, maxLength: 60 });

function checkAnswer(
  scene: Scene,
  { tenant: asker, consistency }: { readonly tenant: string; readonly consistency: Consistency },
  answer: SearchAnswer,
): void {
  const seen = new Set(idsOf(answer));
  for (const { tenant: owner } of answer.results[0] ?? []) expect(owner).toBe(asker);
  const ages = new Map(answer.served.map(({ shardId, ageMs = Infinity }) => [shardId, ageMs]));
  if (typeof consistency === 'object' && 'boundedMs' in consistency) {
    expect(Math.max(...ages.values())).toBeLessThanOrEqual(consistency.boundedMs);
  }
  for (const write of scene.writes) {
    if (write.tenant !== asker || seen.has(write.id)) continue;
    const sinceMs = scene.nowMs - write.atMs;
    const what = `${write.id} was acknowledged ${sinceMs} ms ago and is not there`;
    expect(consistency, what).not.toBe('strong');
    expect(sinceMs, what).toBeLessThanOrEqual(ages.get(scene.shardOf(write.id)) ?? Infinity);
    expect(scene.mustShow(write), what).toBe(false);
  }
}

describe('a router with a cache', () => {
  it('breaks no bound, tells true ages, sees own writes, keeps tenants apart', async () => {
    let hits = 0;
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (all, claimsAll) => {
        const scene = new Scene();
        for (const one of all) {
          if (one.kind === 'wait') await scene.cluster.environment.advance(one.ms);
          else if (one.kind === 'write') await scene.write(one.tenant, one.isOwn);
          else if (one.kind === 'hold') scene.hold(claimsAll);
          else if (one.kind === 'catchUp') scene.catchUp();
          else checkAnswer(scene, one, await scene.search(one.tenant, one.consistency));
        }
        hits += scene.hits;
      }),
      { numRuns: 120 },
    );
    expect(hits).toBeGreaterThan(100);
  });

  it('asks no shard for what it keeps, and every shard where it may not use it (V1)', async () => {
    const scene = new Scene();
    await scene.write('', true);
    await scene.cluster.environment.advance(10);
    await scene.search('', 'eventual');
    expect(scene.searchesAsked()).toBe(2);
    const kept = await scene.search('', { boundedMs: 50 });
    expect(scene.searchesAsked()).toBe(2);
    expect(kept).toMatchObject({ degraded: false, shards: { total: 2, ok: 2, failed: [] } });
    const seen = { session: kept.served };
    for (const level of ['strong', 'leased', seen] as const) {
      const before = scene.searchesAsked();
      await scene.search('', level);
      expect(scene.searchesAsked() - before).toBeGreaterThanOrEqual(2);
    }
    expect([scene.hits, scene.misses]).toEqual([1, 1]);
  });

  it('shows a write through it at once, in the same millisecond (V3)', async () => {
    const scene = new Scene();
    await scene.write('', true);
    await scene.cluster.environment.advance(10);
    await scene.search('', 'eventual');
    await scene.write('', true);
    expect(idsOf(await scene.search('', 'eventual')).sort()).toEqual(['r0', 'r1']);
  });

  it('counts the vector of a query by id among what an answer is made of (V3)', async () => {
    const scene = new Scene();
    await scene.write('', true);
    await scene.cluster.environment.advance(10);
    const byId = { ...QUERY, target: { kind: 'record' as const, id: 'r0' } };
    await scene.search('', 'eventual', byId);
    await scene.search('', 'eventual', byId);
    expect([scene.hits, scene.misses]).toEqual([1, 1]);
    expect(scene.searchesAsked()).toBe(2);
  });

  it('keeps no answer with a shard missing (V4, M-53)', async () => {
    const scene = new Scene();
    await scene.write('', true);
    await scene.cluster.environment.advance(10);
    for (const replica of scene.cluster.replicasOf(1)) replica.faults = [{ reject: 'NO_LEADER' }];
    const options = { timeoutMs: 2_000, consistency: 'eventual', allowPartial: true } as const;
    const search = () => scene.cluster.run(scene.cluster.router.search('docs', [QUERY], options));
    expect((await search()).degraded).toBe(true);
    for (const replica of scene.cluster.replicasOf(1)) replica.heal();
    expect((await search()).degraded).toBe(false);
    expect(scene.hits).toBe(0);
  });

  it('keeps nothing where it has no memory for it', async () => {
    const scene = new Scene({ searchCacheBytes: 0 });
    await scene.write('', true);
    await scene.cluster.environment.advance(10);
    for (let time = 0; time < 3; time++) await scene.search('', 'eventual');
    expect(scene.searchesAsked()).toBe(6);
    expect([scene.hits, scene.misses]).toEqual([0, 0]);
  });
});
