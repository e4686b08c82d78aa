// Goal: whatever goes wrong, an outcome is true, nothing applies twice, and nothing hangs.
// Method: random faults and leader changes under a write; the shards' logs are the judge.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import { FakeCluster, type Fault } from './fake-cluster.js';

const RECORDS = 24;
const TIMEOUT_MS = 6_000;
const KEY: RequestKey = { clientId: 'c', clientStampMs: 1, sequence: 1, lowestUnanswered: 1 };

const fault: fc.Arbitrary<Fault> = fc.constantFrom<Fault>(
  'none',
  'none',
  'hang',
  'hang-after',
  'lose-answer',
  'lose-proposal',
  'cut-off',
  { reject: 'NO_LEADER' },
  { reject: 'SHARD_UNAVAILABLE' },
  { reject: 'PROPOSAL_DROPPED' },
  { reject: 'NOT_LEADER', leaderNodeId: 2 },
  { reject: 'OUTCOME_UNKNOWN' },
  { reject: 'INTERNAL' },
);

const scenario = fc.record({
  /** By shard and replica: what each does to its next calls. */
  faults: fc.array(fc.array(fault, { minLength: 1, maxLength: 4 }), {
    minLength: 6,
    maxLength: 6,
  }),
  /** Leader changes: after how long, which shard, which node (0 for none). */
  elections: fc.array(
    fc.record({
      afterMs: fc.integer({ min: 1, max: 1_500 }),
      shardId: fc.nat({ max: 1 }),
      nodeId: fc.nat({ max: 3 }),
    }),
    { maxLength: 5 },
  ),
  retry: fc.constantFrom('router' as const, 'client' as const),
});

/** What the log says of a record: its version where it was applied. */
function appliedVersion(cluster: FakeCluster, ordinal: number): bigint | undefined {
  const key = `${KEY.clientId}/${KEY.sequence}/${ordinal}`;
  for (const { results } of cluster.shards) {
    const outcome = results.get(key);
    if (outcome?.kind === 'applied') return outcome.version;
  }
  return undefined;
}

function check(cluster: FakeCluster, outcome: WriteOutcome, ordinal: number): void {
  const version = appliedVersion(cluster, ordinal);
  if (outcome.kind === 'applied') expect(version).toBe(outcome.version);
  if (outcome.kind === 'not-applied') expect(version).toBeUndefined();
}

describe('a write under faults', () => {
  it('tells the truth about every record within its deadline (P-2, F-22)', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ faults, elections, retry }) => {
        const cluster = new FakeCluster({ shards: 2 });
        const replicas = [...cluster.replicasOf(0), ...cluster.replicasOf(1)];
        for (const [at, replica] of replicas.entries()) replica.faults = [...(faults[at] ?? [])];
        for (const { afterMs, shardId, nodeId } of elections) {
          cluster.environment.scheduler.after(afterMs, () => cluster.shard(shardId).elect(nodeId));
        }
        // Large enough that each shard's part takes several entries.
        const metadata = new Uint8Array(LIMITS.metadataBytesMax.value * 2);
        const records = Array.from({ length: RECORDS }, (_, at) => ({
          id: `id-${at}`,
          values: Float32Array.of(at, 0),
          metadata,
        }));
        const work = cluster.router
          .upsert('docs', records, { timeoutMs: TIMEOUT_MS, idempotencyKey: KEY, retry })
          .then(
            ({ outcomes }) => outcomes,
            (error: { outcome: 'not-applied' | 'unknown' }) => error.outcome,
          );
        const answer = await cluster.run(work);
        expect(cluster.environment.nowMs).toBeLessThanOrEqual(TIMEOUT_MS);
        const outcomes: readonly WriteOutcome[] = typeof answer === 'string' ? [] : answer;
        outcomes.forEach((outcome, at) => {
          check(cluster, outcome, at);
        });
        if (answer === 'not-applied') {
          for (let at = 0; at < RECORDS; at++) expect(appliedVersion(cluster, at)).toBeUndefined();
        }
        const versions = cluster.shards.map((shard) => Number(shard.nextVersion) - 1);
        const results = cluster.shards.map((shard) => shard.results.size);
        expect(versions).toEqual(results);
      }),
      { numRuns: 120 },
    );
  });
});
