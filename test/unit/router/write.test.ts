// Goal: every record of a write gets its true outcome, and applies at most once.
// Method: a router over fake shards with scripted faults, in virtual time.
import { describe, expect, it } from 'vitest';
import type { ProposalAnswer } from '../../../src/replica/replica.js';
import type { UpsertRecord } from '../../../src/router/requests.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { commandVersion, stampCommand } from '../../../src/shared/codec/command.js';
import { seenBy } from '../../../src/shared/codec/session-token.js';
import type { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { FakeCluster, type FakeShard } from './fake-cluster.js';

const options = { timeoutMs: 10_000 };
const none = new Uint8Array(0);

const record = (id: string, metadata = none): UpsertRecord => ({
  id,
  values: Float32Array.of(1, 2),
  metadata,
});

const ids = (count: number): string[] => Array.from({ length: count }, (_, at) => `id-${at}`);
const records = (count: number): UpsertRecord[] => ids(count).map((id) => record(id));

/** Entries in all logs together. */
const totalEntries = (shards: readonly FakeShard[]): number =>
  shards.reduce((sum, shard) => sum + shard.log.length, 0);

async function errorOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    return error as FlotillaError;
  }
  throw new Error('it did not fail');
}

describe('a write', () => {
  it('goes to the shards that own its records, one entry each (M-11)', async () => {
    const cluster = new FakeCluster();
    const answer = await cluster.run(cluster.router.upsert('docs', records(50), options));
    expect(answer.outcomes).toHaveLength(50);
    expect(answer.outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
    const stored = cluster.shards.map(({ records: { size } }) => size);
    expect(stored.reduce((sum, size) => sum + size, 0)).toBe(50);
    expect(cluster.shards.map(({ log }) => log.length)).toEqual([1, 1, 1]);
  });

  it('answers in the order of the request, whatever the shards', async () => {
    const cluster = new FakeCluster();
    await cluster.run(cluster.router.upsert('docs', [record('id-3')], options));
    const { outcomes } = await cluster.run(cluster.router.delete('docs', ids(8), options));
    const existed = outcomes.map((one) => one.kind === 'applied' && one.existed);
    expect(existed).toEqual(ids(8).map((id) => id === 'id-3'));
  });

  it('that no record met the demand of names one of them', async () => {
    const cluster = new FakeCluster();
    await cluster.run(cluster.router.upsert('docs', records(2), options));
    const ifVersions = [undefined, 999n];
    const some = await cluster.run(
      cluster.router.delete('docs', ids(2), { ...options, ifVersions }),
    );
    expect(some.outcomes[1]).toMatchObject({ error: { message: 'another version' } });
    const demanding = { ...options, ifVersions: [999n] };
    const work = cluster.run(cluster.router.delete('docs', ['id-1'], demanding));
    expect((await errorOf(work)).body).toMatchObject({
      reason: 'VERSION_CONFLICT',
      field: 'ids[0]',
      message: 'ids[0] (id "id-1"): another version',
    });
  });

  it('that no record met the demand of tells what its session has seen (R13)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    await cluster.run(cluster.router.upsert('docs', [record('id-1')], options));
    const demanding = { ...options, ifVersions: [999n] };
    const work = cluster.run(cluster.router.delete('docs', ['id-1'], demanding));
    expect(seenBy((await errorOf(work)).body)).toEqual([
      { shardId: 0, ownershipVersion: 1, appliedIndex: 2 },
    ]);
  });

  it('that no log has decided tells nothing for sessions', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).ownershipVersion = 2;
    const work = cluster.router.upsert('docs', [record('id-1')], { timeoutMs: 1_000 });
    const { body } = await errorOf(cluster.run(work));
    expect(cluster.leaderOf(0).calls).toContain('propose');
    expect([seenBy(body), body.details?.session]).toEqual([[], undefined]);
  });

  it('answers nothing for nothing', async () => {
    const cluster = new FakeCluster();
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', [], options));
    expect(outcomes).toEqual([]);
  });

  it('follows the hint of a replica that does not lead, and remembers it', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [leader, other] = cluster.followersOf(0);
    cluster.shard(0).elect(leader?.nodeId ?? 0);
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    expect(cluster.replicasOf(0)[0]?.calls).toEqual(['propose']);
    expect(leader?.calls).toEqual(['propose', 'propose']);
    expect(other?.calls).toEqual([]);
    expect(cluster.environment.nowMs).toBe(0);
  });

  it('survives a leader change between two of its attempts', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const [old] = cluster.replicasOf(0);
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    cluster.shard(0).elect(0);
    const work = cluster.router.upsert('docs', records(5), options);
    await cluster.environment.advance(400);
    cluster.shard(0).elect(cluster.replicasOf(0)[2]?.nodeId ?? 0);
    const { outcomes } = await cluster.run(work);
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
    expect(old?.calls.length).toBeLessThan(20);
  });

  it('applies once when the answer is lost and it is sent again (F-22)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = ['lose-answer', 'none'];
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', records(3), options));
    expect(outcomes.map((one) => one.kind === 'applied' && one.version)).toEqual([1n, 2n, 3n]);
    expect(cluster.shard(0).log).toHaveLength(2);
    expect(cluster.shard(0).nextVersion).toBe(4n);
    const [first, second] = cluster.shard(0).log;
    expect(second?.requestKey).toEqual(first?.requestKey);
  });

  it('hands over a fresh buffer at each attempt: leaders stamp and keep theirs', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const leader = cluster.leaderOf(0);
    leader.faults = ['lose-proposal', 'none'];
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    const [first, second] = leader.buffers as [Uint8Array, Uint8Array];
    stampCommand(first, 77n);
    expect(first.buffer).not.toBe(second.buffer);
    expect(commandVersion(second)).toBe(0n);
  });

  it('keeps the outcomes of the shards that answered when another one is away', async () => {
    const cluster = new FakeCluster();
    for (const replica of cluster.replicasOf(1)) replica.faults = [{ reject: 'NO_LEADER' }];
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', records(30), options));
    const kinds = new Set(outcomes.map(({ kind }) => kind));
    expect(kinds).toEqual(new Set(['applied', 'not-applied']));
    const failed = outcomes.find((one) => one.kind === 'not-applied');
    expect(failed).toMatchObject({ error: { reason: 'SHARD_UNAVAILABLE' } });
    expect(cluster.environment.nowMs).toBeCloseTo(10_000, -2);
  });

  it('throws when nothing was applied, and says that nothing was (P-2)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).elect(0);
    const error = await errorOf(cluster.run(cluster.router.upsert('docs', records(2), options)));
    expect(error).toMatchObject({ reason: 'SHARD_UNAVAILABLE', outcome: 'not-applied' });
    expect(error.body.details).toMatchObject({ shards: '0', reason: 'NO_LEADER' });
    expect(cluster.shard(0).log).toEqual([]);
  });

  it('is unknown when the deadline passes after it was proposed (P-2)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = ['hang-after'];
    const error = await errorOf(
      cluster.run(cluster.router.upsert('docs', records(2), { timeoutMs: 3_000 })),
    );
    expect(error).toMatchObject({ outcome: 'unknown', retryable: true });
    expect(cluster.environment.nowMs).toBe(3_000);
  });

  it('stays unknown when later attempts are refused: the first may have been applied', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = ['lose-answer', { reject: 'NO_LEADER' }];
    for (const follower of cluster.followersOf(0)) follower.faults = [{ reject: 'NO_LEADER' }];
    const error = await errorOf(cluster.run(cluster.router.upsert('docs', records(2), options)));
    expect(error).toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
  });

  it('ends at once when the caller gives up, and does not wait for a hanging shard', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = ['hang'];
    const caller = new AbortController();
    const failed = errorOf(
      cluster.router.upsert('docs', records(1), { ...options, signal: caller.signal }),
    );
    await cluster.environment.advance(100);
    caller.abort();
    expect(await failed).toMatchObject({ reason: 'CANCELLED', outcome: 'unknown' });
    expect(cluster.environment.pendingTimers).toBe(0);
  });

  it('proposes nothing when no time is left', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const error = await errorOf(cluster.router.upsert('docs', records(1), { timeoutMs: 0 }));
    expect(error).toMatchObject({ reason: 'SHARD_UNAVAILABLE', outcome: 'not-applied' });
    expect(cluster.leaderOf(0).calls).toEqual([]);
  });

  it('is cut into entries, and only the entries that failed are sent again', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const metadata = new Uint8Array(LIMITS.metadataBytesMax.value);
    const large = ids(40).map((id) => record(id, metadata));
    cluster.leaderOf(0).faults = ['cut-off', 'none'];
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', large, options));
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
    const { buffers } = cluster.leaderOf(0);
    expect(buffers).toHaveLength(3 + 2);
    for (const { length } of buffers) expect(length).toBeLessThanOrEqual(1024 * 1024);
    expect(cluster.shard(0).nextVersion).toBe(41n);
  });

  it('proposes at most 16 entries at a time', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const metadata = new Uint8Array(LIMITS.metadataBytesMax.value);
    const large = ids(300).map((id) => record(id, metadata));
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', large, options));
    expect(outcomes).toHaveLength(300);
    expect(cluster.leaderOf(0).calls).toEqual(['propose', 'propose']);
    expect(cluster.leaderOf(0).buffers).toHaveLength(20);
  });

  it('waits while a shard takes no more, without bothering the other replicas (P-10)', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const busy = { reject: 'PROPOSAL_DROPPED' } as const;
    cluster.leaderOf(0).faults = [busy, busy, 'none'];
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    expect(cluster.leaderOf(0).calls).toHaveLength(3);
    expect(cluster.followersOf(0).flatMap(({ calls }) => calls)).toEqual([]);
    expect(cluster.environment.nowMs).toBeGreaterThan(10);
  });

  it('reports overload as such when it lasts', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = [{ reject: 'PROPOSAL_DROPPED' }];
    const error = await errorOf(cluster.run(cluster.router.upsert('docs', records(1), options)));
    expect(error).toMatchObject({ code: 'RESOURCE_EXHAUSTED', outcome: 'not-applied' });
  });
});

const STALE: ProposalAnswer = {
  kind: 'not-applied',
  error: { reason: 'STALE_TOPOLOGY', message: 'another table' },
};
const LOST: ProposalAnswer = {
  kind: 'unknown',
  error: { reason: 'OUTCOME_UNKNOWN', message: 'the answer was lost' },
};

describe('the key of a write', () => {
  const key: RequestKey = {
    clientId: 'sdk',
    clientStampMs: 1,
    sequence: 4,
    lowestUnanswered: 2,
  };

  it('is the caller’s where it has one, with ordinals of the request', async () => {
    const cluster = new FakeCluster();
    await cluster.run(
      cluster.router.upsert('docs', records(20), { ...options, idempotencyKey: key }),
    );
    for (const { log } of cluster.shards) expect(log[0]?.requestKey).toEqual(key);
    const ordinals = cluster.shards.flatMap(({ log }) =>
      log.flatMap(({ operations }) => operations.map(({ ordinal, id }) => [`id-${ordinal}`, id])),
    );
    for (const [expected, id] of ordinals) expect(id).toBe(expected);
  });

  it('makes a whole request that is sent again apply once (P-2)', async () => {
    const cluster = new FakeCluster();
    const send = () =>
      cluster.run(cluster.router.upsert('docs', records(20), { ...options, idempotencyKey: key }));
    const first = await send();
    expect((await send()).outcomes).toEqual(first.outcomes);
  });

  it('leaves an unknown outcome to a client that retries by itself', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.leaderOf(0).faults = ['lose-answer', 'none'];
    const retry = 'client' as const;
    const error = await errorOf(
      cluster.run(
        cluster.router.upsert('docs', records(1), { ...options, idempotencyKey: key, retry }),
      ),
    );
    expect(error).toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    expect(totalEntries(cluster.shards)).toBe(1);
    expect(cluster.environment.nowMs).toBe(0);
  });

  it('does not keep the router from finding the leader for such a client', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).elect(cluster.followersOf(0)[0]?.nodeId ?? 0);
    const retry = 'client' as const;
    const { outcomes } = await cluster.run(
      cluster.router.upsert('docs', records(1), { ...options, idempotencyKey: key, retry }),
    );
    expect(outcomes[0]?.kind).toBe('applied');
  });

  it('is needed by a client that retries by itself', async () => {
    const cluster = new FakeCluster();
    const error = await errorOf(
      cluster.router.upsert('docs', records(1), { ...options, retry: 'client' }),
    );
    expect(error).toMatchObject({ reason: 'INVALID_REQUEST', field: 'idempotencyKey' });
  });

  it('is changed when a shard forgot the router, and no earlier attempt can count', async () => {
    const cluster = new FakeCluster();
    await cluster.run(cluster.router.upsert('docs', records(20), options));
    const old = cluster.shard(0).log[0]?.requestKey.clientId ?? '';
    cluster.shard(0).forgotten.add(old);
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', records(20), options));
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
    expect(cluster.shard(0).log[1]?.requestKey.clientId).not.toBe(old);
    expect(cluster.shard(1).log[1]?.requestKey.clientId).toBe(old);
  });

  it('is not changed where it is the caller’s: an earlier request may have used it', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).forgotten.add(key.clientId);
    const error = await errorOf(
      cluster.run(cluster.router.upsert('docs', records(1), { ...options, idempotencyKey: key })),
    );
    expect(error).toMatchObject({ reason: 'SESSION_EXPIRED', outcome: 'unknown' });
    expect(cluster.leaderOf(0).calls).toHaveLength(1);
  });

  it('is not called forgotten while another shard may have applied a part (P-2)', async () => {
    for (const forgetful of [0, 1]) {
      const cluster = new FakeCluster({ shards: 2 });
      cluster.shard(forgetful).forgotten.add(key.clientId);
      cluster.leaderOf(1 - forgetful).faults = ['lose-answer', 'none'];
      const write = { ...options, idempotencyKey: key, retry: 'client' as const };
      const error = await errorOf(cluster.run(cluster.router.upsert('docs', records(20), write)));
      expect(error).toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    }
  });

  it('is not sent again for a client that retries, though another entry has to be', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    const leader = cluster.leaderOf(0);
    const propose = leader.propose.bind(leader);
    let proposals = 0;
    leader.propose = async (commands, context) => {
      if (++proposals > 1) return propose(commands, context);
      return commands.map((_, at) => (at === 0 ? STALE : LOST));
    };
    const write = { ...options, idempotencyKey: key, retry: 'client' as const };
    const many = ids(30).map((id) => record(id, new Uint8Array(60_000)));
    const { outcomes } = await cluster.run(cluster.router.upsert('docs', many, write));
    const kinds = new Set(outcomes.slice(1).map(({ kind }) => kind));
    expect(outcomes[0]?.kind).toBe('applied');
    expect([...kinds]).toEqual(['applied', 'unknown']);
    const resent = cluster.shard(0).log.flatMap(({ operations }) => operations);
    expect(resent.map(({ ordinal }) => outcomes[ordinal]?.kind)).not.toContain('unknown');
  });

  it('is not changed when an attempt may have been applied: nobody can tell', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    await cluster.run(cluster.router.upsert('docs', records(1), options));
    const old = cluster.shard(0).log[0]?.requestKey.clientId ?? '';
    cluster.leaderOf(0).faults = ['lose-answer', 'none'];
    const work = cluster.router.upsert('docs', records(1), options);
    cluster.shard(0).forgotten.add(old);
    const error = await errorOf(cluster.run(work));
    expect(error).toMatchObject({ reason: 'SESSION_EXPIRED', outcome: 'unknown' });
    expect(totalEntries(cluster.shards)).toBe(2);
  });
});

describe('a write that is wrong', () => {
  it('names the id that it writes twice (P-9)', async () => {
    const cluster = new FakeCluster();
    const twice = [record('a'), record('b'), record('a')];
    const error = await errorOf(cluster.router.upsert('docs', twice, options));
    expect(error).toMatchObject({ reason: 'DUPLICATE_ID', field: 'records[2]' });
    const deletion = await errorOf(cluster.router.delete('docs', ['a', 'a'], options));
    expect(deletion).toMatchObject({ reason: 'DUPLICATE_ID', field: 'ids[1]' });
    expect(totalEntries(cluster.shards)).toBe(0);
  });

  it('names the vector of another dimension (P-9)', async () => {
    const cluster = new FakeCluster();
    const wrong = { ...record('b'), values: new Float32Array(3) };
    const error = await errorOf(cluster.router.upsert('docs', [record('a'), wrong], options));
    expect(error).toMatchObject({ reason: 'DIMENSION_MISMATCH', field: 'records[1].values' });
    expect(totalEntries(cluster.shards)).toBe(0);
  });

  it('is told that the collection does not exist', async () => {
    const cluster = new FakeCluster();
    const error = await errorOf(cluster.router.upsert('other', records(1), options));
    expect(error).toMatchObject({ reason: 'COLLECTION_NOT_FOUND' });
  });

  it('gets a shard’s final refusal as its error', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).apply = () => ({
      kind: 'refused',
      error: { reason: 'COLLECTION_NOT_FOUND', message: 'dropped' },
    });
    const error = await errorOf(cluster.run(cluster.router.upsert('docs', records(1), options)));
    expect(error).toMatchObject({ reason: 'COLLECTION_NOT_FOUND', outcome: 'not-applied' });
  });
});

describe('a write under a changing table (M-15)', () => {
  it('waits for the newer table and is laid out anew', async () => {
    const cluster = new FakeCluster({ shards: 2 });
    const moved = cluster.document.slotTable.map(() => 1);
    cluster.shard(0).ownershipVersion = 2;
    cluster.shard(1).ownershipVersion = 2;
    const work = cluster.router.upsert('docs', records(20), options);
    await cluster.environment.advance(200);
    cluster.view.publish({
      ...cluster.document,
      epoch: cluster.document.epoch + 1,
      slotTable: moved,
      shards: cluster.document.shards.map((shard) => ({ ...shard, ownershipVersion: 2 })),
    });
    const { outcomes, epoch } = await cluster.run(work);
    expect(outcomes.every(({ kind }) => kind === 'applied')).toBe(true);
    expect(epoch).toBe(cluster.document.epoch);
    expect(cluster.shard(0).records.size).toBe(0);
    expect(cluster.shard(1).records.size).toBe(20);
  });

  it('ends at its deadline when no newer table comes', async () => {
    const cluster = new FakeCluster({ shards: 1 });
    cluster.shard(0).ownershipVersion = 2;
    const error = await errorOf(
      cluster.run(cluster.router.upsert('docs', records(1), { timeoutMs: 2_000 })),
    );
    expect(error).toMatchObject({ retryable: true, outcome: 'not-applied' });
    expect(cluster.environment.nowMs).toBeLessThanOrEqual(2_000);
  });
});

describe('a command', () => {
  const drop = { kind: 'dropCollection', collectionId: 1 } as const;

  it('goes through the log of the shard that is named', async () => {
    const cluster = new FakeCluster();
    cluster.leaderOf(2).faults = ['lose-proposal', 'none'];
    await cluster.run(cluster.router.command(2, drop, options));
    expect(cluster.leaderOf(2).calls).toEqual(['propose', 'propose']);
    expect(cluster.leaderOf(1).calls).toEqual([]);
  });

  it('fails when the shard has no leader', async () => {
    const cluster = new FakeCluster();
    cluster.shard(2).elect(0);
    const error = await errorOf(cluster.run(cluster.router.command(2, drop, options)));
    expect(error).toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
  });
});
