// Goal: a slow replica slows no reads that others may serve, at a cost of 5 % at most (D4).
// Method: replicas with scripted times, in virtual time.
import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { HedgeResult } from '../../../src/router/hooks.js';
import { SILENCE_MS } from '../../../src/router/leader-watch.js';
import type { Consistency } from '../../../src/shared/consistency.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { seededRandom } from '../../support/virtual-environment.js';
import { FakeCluster, type FakeClusterOptions } from './fake-cluster.js';

const EVENTUAL = { timeoutMs: 10_000, consistency: 'eventual' as const };
const SLOW_MS = 200;
const WARM_UP = 300;

/** One shard on three nodes that answer in 3 to 7 ms, node 1 leads; hedges are kept. */
class Reads {
  readonly hedges: HedgeResult[] = [];
  readonly cluster: FakeCluster;

  constructor(options: FakeClusterOptions = {}) {
    const hooks = { onHedge: ({ result }: { result: HedgeResult }) => this.hedges.push(result) };
    this.cluster = new FakeCluster({ shards: 1, ...options, hooks });
    this.cluster.shard(0).elect(1);
    const random = seededRandom(7);
    for (const replica of this.cluster.replicasOf(0)) {
      replica.delayMs = () => 3 + 4 * random.next();
    }
  }

  /** How long each of so many reads takes, one after the other. */
  async times(count: number): Promise<number[]> {
    const times: number[] = [];
    for (let at = 0; at < count; at++) {
      const startMs = this.cluster.environment.nowMs;
      await this.cluster.run(this.cluster.router.count('docs', EVENTUAL));
      times.push(this.cluster.environment.nowMs - startMs);
    }
    return times;
  }

  /** Hedges that were made. */
  get made(): number {
    return this.hedges.filter((result) => result !== 'denied').length;
  }

  /** How often replicas were asked. */
  get asks(): number {
    const calls = this.cluster.replicasOf(0).flatMap((replica) => replica.calls);
    return calls.filter((call) => call === 'count').length;
  }
}

function p99(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.ceil(0.99 * sorted.length) - 1] ?? 0;
}

/** The p99 of reads, with and without hedges, where node 1 is slow for a share of its answers. */
async function compare(slowShare: number) {
  const results = [];
  for (const hedgedReads of [false, true]) {
    const reads = new Reads({ hedgedReads });
    const random = seededRandom(11);
    const replica = reads.cluster.replica(0, 1);
    const { delayMs = () => 0 } = replica;
    replica.delayMs = () => (random.next() < slowShare ? SLOW_MS : delayMs());
    await reads.times(WARM_UP);
    results.push({ reads, p99Ms: p99(await reads.times(1_000)) });
  }
  const [without, hedged] = results;
  if (without === undefined || hedged === undefined) throw new Error('two runs');
  return { without, hedged };
}

describe('where one replica in three is slow', () => {
  it('for one answer in ten, the p99 falls to a tenth, for 5 % more asks (D4)', async () => {
    const { without, hedged } = await compare(0.1);
    expect(without.p99Ms).toBeCloseTo(SLOW_MS);
    expect(without.reads.hedges).toEqual([]);
    expect(hedged.p99Ms).toBeLessThan(SLOW_MS / 10);
    const reads = WARM_UP + 1_000;
    expect(hedged.reads.made).toBeLessThanOrEqual(0.05 * reads);
    expect(hedged.reads.asks).toBe(reads + hedged.reads.made);
  });

  it('always, the p99 falls as soon as that shows', async () => {
    const reads = new Reads();
    reads.cluster.replica(0, 1).delayMs = () => SLOW_MS;
    expect(p99(await reads.times(WARM_UP))).toBeCloseTo(SLOW_MS);
    expect(p99(await reads.times(1_000))).toBeLessThan(SLOW_MS / 10);
    expect(reads.made).toBeLessThanOrEqual(0.05 * (WARM_UP + 1_000));
  });

  it('always, it is hardly asked any more, and asked again once it is well', async () => {
    const reads = new Reads();
    const replica = reads.cluster.replica(0, 1);
    const { delayMs } = replica;
    replica.delayMs = () => SLOW_MS;
    await reads.times(WARM_UP);
    replica.calls.length = 0;
    await reads.times(500);
    expect(replica.calls.length).toBeLessThan(10);
    replica.delayMs = delayMs;
    await reads.cluster.environment.advance(1_000);
    await reads.times(100);
    replica.calls.length = 0;
    await reads.times(300);
    expect(replica.calls.length).toBeGreaterThan(50);
  });
});

describe('where all replicas become slow', () => {
  it('the load grows by 5 % at most (D4)', async () => {
    const reads = new Reads();
    await reads.times(WARM_UP);
    for (const replica of reads.cluster.replicasOf(0)) replica.delayMs = () => SLOW_MS;
    await reads.times(60);
    expect(reads.made).toBeGreaterThan(0);
    expect(reads.hedges).toContain('denied');
    expect(reads.asks).toBeLessThanOrEqual(1.05 * (WARM_UP + 60));
  });
});

describe('a hedged read', () => {
  /** A router beside node 1, whose replica takes a second from now on. */
  async function slowLocal(options: FakeClusterOptions = {}) {
    const reads = new Reads({ localNodeId: 1, ...options });
    // Even times: no read of these asks for a token.
    for (const replica of reads.cluster.replicasOf(0)) replica.delayMs = () => 5;
    await reads.times(100);
    const local = reads.cluster.replica(0, 1);
    local.delayMs = () => 1_000;
    reads.hedges.length = 0;
    return { reads, cluster: reads.cluster, local };
  }

  it('names the replica that won, cancels the other, and leaves nothing behind', async () => {
    const { reads, cluster, local } = await slowLocal();
    const caller = new AbortController();
    const startMs = cluster.environment.nowMs;
    const { served } = await cluster.run(
      cluster.router.count('docs', { ...EVENTUAL, signal: caller.signal }),
    );
    expect(served[0]?.nodeId).not.toBe(1);
    expect(cluster.environment.nowMs - startMs).toBeLessThan(20);
    expect(reads.hedges).toEqual(['won']);
    expect(local.contexts.at(-1)?.signal?.aborted).toBe(true);
    expect(cluster.environment.pendingTimers).toBe(0);
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
  });

  it('is answered by the first after all, where that is sooner', async () => {
    const { reads, cluster, local } = await slowLocal();
    local.delayMs = () => 10;
    for (const replica of cluster.followersOf(0)) replica.delayMs = () => 500;
    const { served } = await cluster.run(cluster.router.count('docs', EVENTUAL));
    expect(served[0]?.nodeId).toBe(1);
    expect(reads.hedges).toEqual(['lost']);
    expect(cluster.environment.pendingTimers).toBe(0);
  });

  it('ends at once with an error that every replica would give', async () => {
    const { cluster } = await slowLocal();
    for (const replica of cluster.followersOf(0)) replica.faults = [{ reject: 'INTERNAL' }];
    const startMs = cluster.environment.nowMs;
    const error = await cluster.run(
      cluster.router.count('docs', EVENTUAL).catch((thrown: FlotillaError) => thrown),
    );
    expect(error).toMatchObject({ body: { details: { reasons: 'INTERNAL' } } });
    expect(cluster.environment.nowMs - startMs).toBeLessThan(20);
    expect(cluster.environment.pendingTimers).toBe(0);
  });

  it('goes on with the first where the second fails', async () => {
    const { reads, cluster } = await slowLocal();
    for (const replica of cluster.followersOf(0)) replica.faults = [{ reject: 'REPLICA_BEHIND' }];
    const { served } = await cluster.run(cluster.router.count('docs', EVENTUAL));
    expect(served[0]?.nodeId).toBe(1);
    expect(reads.hedges).toEqual(['lost']);
  });

  it('goes on to the third where both fail', async () => {
    const { cluster, local } = await slowLocal();
    const [second, third] = cluster.followersOf(0);
    local.delayMs = () => 50;
    for (const replica of [local, second]) {
      if (replica !== undefined) replica.faults = [{ reject: 'REPLICA_BEHIND' }];
    }
    const { served } = await cluster.run(cluster.router.count('docs', EVENTUAL));
    expect(served[0]?.nodeId).toBe(third?.nodeId);
    expect(cluster.environment.pendingTimers).toBe(0);
  });

  it('is given up with the caller, on all replicas', async () => {
    const { cluster } = await slowLocal();
    for (const replica of cluster.followersOf(0)) replica.delayMs = () => 1_000;
    const caller = new AbortController();
    const work = cluster.router
      .count('docs', { ...EVENTUAL, signal: caller.signal })
      .catch((thrown: FlotillaError) => thrown);
    await cluster.environment.advance(100);
    caller.abort();
    expect(await cluster.run(work)).toMatchObject({ reason: 'CANCELLED' });
    await cluster.environment.advance(0);
    expect(cluster.environment.pendingTimers).toBe(0);
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
    const signals = cluster.replicasOf(0).map(({ contexts }) => contexts.at(-1)?.signal?.aborted);
    expect(signals.filter(Boolean)).toHaveLength(2);
  });
});

describe('no read is hedged', () => {
  const slowLeader = async (options: FakeClusterOptions, consistency: Consistency) => {
    const reads = new Reads({ localNodeId: 1, ...options });
    const { cluster } = reads;
    const read = () => cluster.router.count('docs', { timeoutMs: 10_000, consistency });
    for (let time = 0; time < 100; time++) await cluster.run(read());
    cluster.replica(0, 1).delayMs = () => 1_000;
    const startMs = cluster.environment.nowMs;
    await cluster.run(read());
    return { reads, tookMs: cluster.environment.nowMs - startMs };
  };

  it.each(['strong', 'leased'] as const)('that is for the leader (%s)', async (consistency) => {
    const { reads, tookMs } = await slowLeader({}, consistency);
    expect([Math.round(tookMs), reads.hedges]).toEqual([1_000, []]);
  });

  it('where that is switched off', async () => {
    const { reads, tookMs } = await slowLeader({ hedgedReads: false }, 'eventual');
    expect([Math.round(tookMs), reads.hedges]).toEqual([1_000, []]);
  });

  it('before it is known how long they take', async () => {
    const reads = new Reads({ localNodeId: 1 });
    await reads.times(25);
    reads.cluster.replica(0, 1).delayMs = () => 1_000;
    expect((await reads.times(1)).map(Math.round)).toEqual([1_000]);
    expect(reads.hedges).toEqual([]);
  });

  it('where there is no other replica', async () => {
    const reads = new Reads({ nodes: 1 });
    await reads.times(100);
    reads.cluster.replica(0, 1).delayMs = () => 1_000;
    expect((await reads.times(1)).map(Math.round)).toEqual([1_000]);
    expect(reads.hedges).toEqual([]);
  });

  it('but each is asked of another replica after a long silence (D3)', async () => {
    const reads = new Reads({ localNodeId: 1, hedgedReads: false });
    reads.cluster.replica(0, 1).delayMs = () => 9_000;
    const [tookMs = 0] = await reads.times(1);
    expect(tookMs).toBeGreaterThanOrEqual(SILENCE_MS);
    expect(tookMs).toBeLessThan(SILENCE_MS + 10);
    expect(await reads.times(3)).toSatisfy((times: number[]) => times.every((one) => one < 10));
  });
});
