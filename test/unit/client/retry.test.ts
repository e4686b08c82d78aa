// Goal: the client sends calls again when, and only when, that is safe and of use.
// Method: servers with backends that fail on command, and the keys that they receive.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Flotilla } from '../../../src/client/index.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness[Symbol.asyncDispose]());

const RECORD = { id: 'a', values: [1, 2, 3, 4] };
const retry = { attemptsMax: 5, waitMinMs: 1, waitMaxMs: 2 };
const client = () => harness.client({ retry });
const notes = () => client().collection('notes');

/** Fails the next calls with these, one each, then lets all pass. */
function failWith(...reasons: ErrorReason[]): void {
  harness.backend.before = () => {
    const reason = reasons.shift();
    if (reason !== undefined) throw new FlotillaError(reason, `failed with ${reason}`);
  };
}

const failed = (kind: 'not-applied' | 'unknown', reason: ErrorReason): WriteOutcome => ({
  kind,
  error: { reason, message: reason },
});

describe('reads', () => {
  it('are sent again while the error may pass', async () => {
    failWith('NO_LEADER', 'SHARD_UNAVAILABLE', 'TOO_MANY_REQUESTS');
    expect(await notes().count()).toBe(0);
    expect(harness.backend.calls).toHaveLength(4);
  });

  it('are not sent again after an error that stays', async () => {
    failWith('RECORD_NOT_FOUND');
    expect(await failureOf(notes().search({ id: 'x', k: 1 }))).toMatchObject({
      reason: 'RECORD_NOT_FOUND',
    });
    expect(harness.backend.calls).toHaveLength(1);
  });

  it('end with the last error when the attempts are spent', async () => {
    failWith(...Array<ErrorReason>(9).fill('NO_LEADER'));
    expect((await failureOf(notes().count())).reason).toBe('NO_LEADER');
    expect(harness.backend.calls).toHaveLength(5);
  });

  it('end at the deadline although attempts are left', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('NO_LEADER', 'still none');
    };
    const many = harness.client({ retry: { attemptsMax: 1_000_000, waitMinMs: 5, waitMaxMs: 5 } });
    const error = await failureOf(many.collection('notes').count({ timeoutMs: 100 }));
    expect(['NO_LEADER', 'DEADLINE_EXCEEDED']).toContain(error.reason);
  });
});

describe('writes', () => {
  it('repeat their idempotency key, and tell the cluster who retries', async () => {
    let times = 0;
    harness.backend.outcomes = (outcomes) => {
      times++;
      return times < 3 ? [failed('unknown', 'OUTCOME_UNKNOWN')] : outcomes;
    };
    expect(await notes().upsert([RECORD])).toMatchObject({ appliedCount: 1 });
    const keys = harness.backend.writes.map((write) => write.idempotencyKey);
    expect(keys).toHaveLength(3);
    expect(new Set(keys.map((key) => JSON.stringify(key))).size).toBe(1);
    expect(keys[0]).toMatchObject({ sequence: 1, lowestUnanswered: 1 });
    expect(harness.backend.writes[0]?.retry).toBe('client');
  });

  it('count on, and say which are still unanswered', async () => {
    const records = notes();
    await records.upsert([RECORD]);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const arrived = new Promise<void>((resolve) => {
      harness.backend.outcomes = (outcomes) => {
        resolve();
        return outcomes;
      };
    });
    let first = true;
    harness.backend.before = async () => {
      if (!first) return;
      first = false;
      await held;
    };
    const slow = records.delete(['b']);
    await records.upsert([RECORD]);
    await arrived;
    release();
    await slow;
    await records.upsert([RECORD]);
    const keys = harness.backend.writes.map((write) => write.idempotencyKey);
    expect(new Set(keys.map((key) => key?.clientId)).size).toBe(1);
    expect(keys.map((key) => [key?.sequence, key?.lowestUnanswered])).toEqual([
      [1, 1],
      [3, 2],
      [2, 2],
      [4, 4],
    ]);
  });

  it('say "unknown" when an earlier attempt may have been applied (P-2)', async () => {
    failWith('OUTCOME_UNKNOWN', ...Array<ErrorReason>(4).fill('NO_LEADER'));
    expect(await failureOf(notes().upsert([RECORD]))).toMatchObject({
      reason: 'OUTCOME_UNKNOWN',
      outcome: 'unknown',
    });
    failWith('OUTCOME_UNKNOWN', 'COLLECTION_NOT_FOUND');
    expect(await failureOf(notes().upsert([RECORD]))).toMatchObject({ outcome: 'unknown' });
    failWith(...Array<ErrorReason>(5).fill('NO_LEADER'));
    expect(await failureOf(notes().upsert([RECORD]))).toMatchObject({ outcome: 'not-applied' });
  });

  it('go on for the records that failed, and keep what is known of each', async () => {
    const records = ['a', 'b', 'c'].map((id) => ({ ...RECORD, id }));
    let times = 0;
    harness.backend.outcomes = ([a, b, c]) => {
      times++;
      if (a === undefined || b === undefined || c === undefined) throw new Error('three records');
      if (times === 1) {
        return [a, failed('unknown', 'OUTCOME_UNKNOWN'), failed('not-applied', 'NO_LEADER')];
      }
      if (times === 2) {
        return [failed('not-applied', 'NO_LEADER'), failed('not-applied', 'NO_LEADER'), c];
      }
      return [a, failed('not-applied', 'NO_LEADER'), failed('not-applied', 'NO_LEADER')];
    };
    const { appliedCount, outcomes } = await notes().upsert(records);
    expect(times).toBe(5);
    expect(appliedCount).toBe(2);
    expect(outcomes.map(({ kind }) => kind)).toEqual(['applied', 'unknown', 'applied']);
    expect(outcomes[0]).toMatchObject({ version: '1' });
  });

  it('doubt what a later attempt has not applied after a lost answer (P-2)', async () => {
    failWith('OUTCOME_UNKNOWN');
    harness.backend.outcomes = ([a]) =>
      a === undefined ? [] : [a, failed('not-applied', 'COLLECTION_NOT_FOUND')];
    const { outcomes } = await notes().upsert([RECORD, { ...RECORD, id: 'b' }]);
    expect(outcomes).toMatchObject([
      { kind: 'applied' },
      { kind: 'unknown', reason: 'COLLECTION_NOT_FOUND' },
    ]);
  });

  it('take a new name also when only some shards have forgotten the client', async () => {
    const records = notes();
    harness.backend.outcomes = ([a]) =>
      a === undefined ? [] : [a, failed('unknown', 'SESSION_EXPIRED')];
    await records.upsert([RECORD, { ...RECORD, id: 'b' }]);
    harness.backend.outcomes = (outcomes) => outcomes;
    await records.upsert([RECORD]);
    const [first, second] = harness.backend.writes.map((write) => write.idempotencyKey);
    expect(second?.clientId).not.toBe(first?.clientId);
  });

  it('take a new name when the shards have forgotten the client, unless sent before', async () => {
    const records = notes();
    failWith('SESSION_EXPIRED');
    expect(await records.upsert([RECORD])).toMatchObject({ appliedCount: 1 });
    failWith('OUTCOME_UNKNOWN', 'SESSION_EXPIRED');
    expect(await failureOf(records.upsert([RECORD]))).toMatchObject({
      reason: 'SESSION_EXPIRED',
      outcome: 'unknown',
    });
    await records.upsert([RECORD]);
    const clientIds = harness.backend.writes.map((write) => write.idempotencyKey?.clientId);
    expect(new Set(clientIds).size).toBe(2);
  });
});

describe('administration', () => {
  it('creating is repeated, dropping only while it certainly has not happened', async () => {
    failWith('OUTCOME_UNKNOWN');
    await client().createCollection({ name: 'new', dimension: 2 });
    failWith('NO_LEADER');
    await client().dropCollection('new');
    failWith('OUTCOME_UNKNOWN');
    expect(await failureOf(client().dropCollection('notes'))).toMatchObject({
      reason: 'OUTCOME_UNKNOWN',
    });
    expect(harness.backend.calls).toEqual([
      'createCollection',
      'createCollection',
      'dropCollection',
      'dropCollection',
      'dropCollection',
    ]);
  });
});

describe('several addresses', () => {
  it('take turns, and a node that is gone does not matter', async () => {
    await using other = await startHarness();
    await using both = new Flotilla([harness.address, other.address], { retry });
    const records = both.collection('notes');
    for (let i = 0; i < 6; i++) await records.count();
    expect([harness.backend.calls.length, other.backend.calls.length]).toEqual([3, 3]);
    await harness.server.close(0);
    for (let i = 0; i < 6; i++) await records.upsert([RECORD]);
    expect(other.backend.calls).toHaveLength(9);
  });

  it('fail with an error that says so when nobody is there', async () => {
    await harness.server.close(0);
    const error = await failureOf(notes().upsert([RECORD]));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, outcome: 'not-applied' });
  });

  it('a closed client takes no calls', async () => {
    const closed = client();
    await closed.close();
    await closed.close();
    expect((await failureOf(closed.status())).reason).toBe('CANCELLED');
  });
});
