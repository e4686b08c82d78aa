// Goal: whatever replicas do, calls end in their time, and well where a majority is well (F-20).
// Method: random faults of three nodes, in virtual time.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Router } from '../../../src/router/router.js';
import type { Consistency } from '../../../src/shared/consistency.js';
import { type FlotillaError, toFlotillaError } from '../../../src/shared/errors.js';
import { FakeCluster } from './fake-cluster.js';

const SHARDS = [0, 1];
const NODES = [1, 2, 3];
const NOWHERE = 99;
const EVERYTHING = { values: true, metadata: true };
const QUERY = { limit: 3, includeValues: false, includeMetadata: false };
const RECORDS = ['a', 'b', 'c', 'd', 'e'].map((id) => ({
  id,
  values: Float32Array.of(1, 1),
  metadata: new Uint8Array(0),
}));
const KEY = { clientId: 'c', clientStampMs: 1, sequence: 1, lowestUnanswered: 1 };

/**
 * `down`: no link leads there. `paused`: nothing is ever answered. `slow`: answers take a tenth of
 * the call's time.
 */
type Health = 'well' | 'down' | 'paused' | 'slow';
type Operation = 'count' | 'fetch' | 'search' | 'scroll' | 'barrier' | 'upsert' | 'delete';

interface Case {
  readonly health: readonly Health[];
  /** The node that leads both shards when the call begins. */
  readonly leader: number;
  /** What part of the call's time passes before another one leads, where that one cannot. */
  readonly electionShare: number;
  readonly localNodeId: number;
  readonly operation: Operation;
  readonly consistency: Consistency;
  readonly retry: 'router' | 'client';
  readonly timeoutMs: number;
}

const health = fc.constantFrom<Health>('well', 'well', 'down', 'paused', 'slow');
const relaxed = fc.constantFrom<Consistency>('eventual', { boundedMs: 100 }, { session: [] });
const cases: fc.Arbitrary<Case> = fc.record({
  health: fc.tuple(health, health, health),
  leader: fc.constantFrom(...NODES),
  electionShare: fc.double({ min: 0, max: 0.2, noNaN: true }),
  localNodeId: fc.constantFrom(...NODES, NOWHERE),
  operation: fc.constantFrom<Operation>(
    'count',
    'fetch',
    'search',
    'scroll',
    'barrier',
    'upsert',
    'delete',
  ),
  consistency: fc.oneof(fc.constantFrom<Consistency>('strong', 'leased'), relaxed),
  retry: fc.constantFrom('router' as const, 'client' as const),
  timeoutMs: fc.constantFrom(400, 1_000, 3_000, 10_000, 60_000),
});

function isServing(one: Health | undefined): boolean {
  return one === 'well' || one === 'slow';
}

/** The nodes of a case; the others elect a leader where the one there was cannot go on. */
function clusterOf({ health, leader, electionShare, localNodeId, timeoutMs }: Case): FakeCluster {
  // The node of the router runs: nobody could ask it otherwise.
  const runs = isServing(health[localNodeId - 1]);
  const cluster = new FakeCluster({
    shards: SHARDS.length,
    localNodeId: runs ? localNodeId : NOWHERE,
  });
  const serving = NODES.filter((nodeId) => isServing(health[nodeId - 1]));
  for (const shardId of SHARDS) {
    const shard = cluster.shard(shardId);
    shard.elect(leader);
    for (const nodeId of NODES) afflict(cluster, shardId, nodeId, health[nodeId - 1], timeoutMs);
    if (serving.length < 2) shard.elect(0);
    else if (!serving.includes(leader)) {
      const next = serving[shardId % serving.length] ?? 0;
      cluster.environment.scheduler.after(electionShare * timeoutMs, () => shard.elect(next));
    }
  }
  return cluster;
}

function afflict(
  cluster: FakeCluster,
  shardId: number,
  nodeId: number,
  health: Health | undefined,
  timeoutMs: number,
): void {
  const replica = cluster.replica(shardId, nodeId);
  if (health === 'paused') replica.stop();
  if (health === 'slow') replica.delayMs = () => timeoutMs / 10;
  if (health === 'down') {
    replica.faults = [{ reject: 'SHARD_UNAVAILABLE' }];
    replica.status = () => Promise.reject(new Error('no link'));
  }
}

function callOf(router: Router, one: Case): Promise<unknown> {
  const { operation, timeoutMs, consistency, retry } = one;
  const read = { timeoutMs, consistency, retry };
  const write = { timeoutMs, idempotencyKey: KEY, retry };
  const ids = RECORDS.map(({ id }) => id);
  switch (operation) {
    case 'count':
      return router.count('docs', read);
    case 'fetch':
      return router.fetch('docs', ids, EVERYTHING, read);
    case 'search': {
      const target = { kind: 'vector' as const, values: Float32Array.of(0, 0) };
      return router.search('docs', [{ ...QUERY, target }], read);
    }
    case 'scroll':
      return router.scroll('docs', QUERY, read);
    case 'barrier':
      return router.barrier(0, { timeoutMs });
    case 'upsert':
      return router.upsert('docs', RECORDS, write);
    case 'delete':
      return router.delete('docs', ids, write);
  }
}

/** Whether enough nodes serve for the call to succeed. */
function isPossible({ health, operation, consistency }: Case): boolean {
  const serving = health.filter(isServing).length;
  const isRead = !['barrier', 'upsert', 'delete'].includes(operation);
  const isRelaxed = consistency !== 'strong' && consistency !== 'leased';
  return serving >= (isRead && isRelaxed ? 1 : 2);
}

/** Applies to writes that a router which leaves retries to its client may give up early. */
function isLeftToClient({ operation, retry }: Case): boolean {
  return retry === 'client' && (operation === 'upsert' || operation === 'delete');
}

async function outcomeOf(one: Case) {
  const cluster = clusterOf(one);
  const error = await cluster.run(
    callOf(cluster.router, one).then(() => undefined, toFlotillaError),
  );
  return { cluster, error, tookMs: cluster.environment.nowMs };
}

function checkError(error: FlotillaError): void {
  expect(['UNAVAILABLE', 'DEADLINE_EXCEEDED']).toContain(error.code);
  expect(error.retryable).toBe(true);
}

describe('with any nodes down, paused or slow', () => {
  it('every call ends in its time, and well where enough nodes are well (F-20, D3)', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async (one) => {
        const { error, tookMs } = await outcomeOf(one);
        expect(tookMs).toBeLessThanOrEqual(one.timeoutMs + 1e-6);
        if (error !== undefined) checkError(error);
        if (isPossible(one) && !isLeftToClient(one)) expect(error?.message).toBeUndefined();
      }),
      { numRuns: 400 },
    );
  });

  it('a write that is said not to have happened never does (P-2)', async () => {
    const writes = cases.map((one) => ({ ...one, operation: 'upsert' as const }));
    await fc.assert(
      fc.asyncProperty(writes, async (one) => {
        const { cluster, error } = await outcomeOf(one);
        await cluster.environment.advance(2 * one.timeoutMs);
        const written = SHARDS.reduce((sum, at) => sum + cluster.shard(at).records.size, 0);
        if (error?.outcome === 'not-applied') expect(written).toBe(0);
      }),
      { numRuns: 100 },
    );
  });
});

describe('with one of three replicas in trouble', () => {
  const troubles = ['down', 'paused', 'slow'] as const;
  const operations = ['count', 'fetch', 'search', 'scroll', 'upsert', 'delete'] as const;
  const levels: Consistency[] = ['strong', 'leased', 'eventual', { boundedMs: 100 }];

  it.each(
    troubles.flatMap((trouble) => operations.map((operation) => [trouble, operation] as const)),
  )('any of them %s, %s succeeds in half of its time (F-7, F-20)', async (trouble, operation) => {
    for (const consistency of levels) {
      for (const sick of NODES) {
        const health = NODES.map((nodeId) => (nodeId === sick ? trouble : 'well'));
        const localNodeId = (sick % 3) + 1;
        const common = { health, leader: 1, electionShare: 0.1, localNodeId };
        const one = {
          ...common,
          operation,
          consistency,
          retry: 'router' as const,
          timeoutMs: 1_000,
        };
        const { error, tookMs } = await outcomeOf(one);
        expect(error).toBeUndefined();
        expect(tookMs).toBeLessThanOrEqual(500);
      }
    }
  });
});
