// Goal: the client sends calls again when, and only when, that is safe and of use.
// Method: servers with backends that fail on command, and the keys that they receive.
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Flotilla } from '../../../src/client/index.js';
import { attemptDeadlineMs, checkedRetry, type RetryPlan } from '../../../src/client/retry.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { WriteOutcome } from '../../../src/shared/types.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';
import { TcpProxy } from '../transport/tcp-proxy.js';

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

  it('go on for as long as they have time, however many attempts that takes', async () => {
    failWith(...Array<ErrorReason>(40).fill('NO_LEADER'));
    const patient = harness.client({ retry: { waitMinMs: 1, waitMaxMs: 2 } });
    expect(await patient.collection('notes').count({ timeoutMs: 60_000 })).toBe(0);
    expect(harness.backend.calls).toHaveLength(41);
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

describe('the retry budget of a client', () => {
  const thrifty = (budgetShare: number) =>
    harness.client({ retry: { ...retry, budgetShare, budgetPerSecond: 0 } }).collection('notes');

  it('keeps repeats to a share of all calls where the cluster is busy (D1)', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('TOO_MANY_REQUESTS', 'busy');
    };
    const records = thrifty(0.2);
    const calls = Array.from({ length: 50 }, (_, at) =>
      failureOf(at % 2 === 0 ? records.count() : records.upsert([RECORD])),
    );
    const errors = await Promise.all(calls);
    expect(harness.backend.calls.length).toBeGreaterThan(50);
    expect(harness.backend.calls.length).toBeLessThanOrEqual(60);
    const spent = errors.filter(({ body }) => body.details?.retryBudget === 'spent');
    expect(spent.length).toBeGreaterThan(30);
    for (const error of errors) {
      expect(error).toMatchObject({ reason: 'TOO_MANY_REQUESTS', retryable: true });
    }
    expect(spent[0]?.message).toContain('the retry budget is spent');
  });

  it('is not asked where nobody has begun to work on the call (D1)', async () => {
    const records = thrifty(0);
    failWith('NO_LEADER', 'NODE_NOT_READY', 'COLLECTION_NOT_READY');
    expect(await records.upsert([RECORD])).toMatchObject({ appliedCount: 1 });
    let times = 0;
    harness.backend.before = () => {
      const details = { untouched: 'true' };
      if (++times < 3) throw new FlotillaError('SHARD_UNAVAILABLE', 'alone', { details });
    };
    expect(await records.count()).toBe(1);
  });

  it('is asked where the connection broke under a read (D1)', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('NODE_NOT_READY', 'broken', { details: { unanswered: 'true' } });
    };
    expect(await failureOf(thrifty(0).count())).toMatchObject({ reason: 'NODE_NOT_READY' });
    expect(harness.backend.calls).toHaveLength(1);
  });

  it('leaves a write unknown whose answer was lost (P-2)', async () => {
    failWith('OUTCOME_UNKNOWN');
    const error = await failureOf(thrifty(0).upsert([RECORD]));
    expect(error).toMatchObject({ reason: 'OUTCOME_UNKNOWN', outcome: 'unknown' });
    expect(harness.backend.calls).toHaveLength(1);
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

  it('go on under a new name before shards forget one that takes very long', async () => {
    const records = notes();
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let first = true;
    harness.backend.before = async () => {
      if (!first) return;
      first = false;
      await held;
    };
    const slow = records.delete(['slow']);
    await waitUntil('the slow one has arrived', () => harness.backend.calls.length === 1);
    const remembered = LIMITS.sessionRequestsMax.value;
    for (let i = 0; i < remembered / 64; i++) {
      await Promise.all(Array.from({ length: 64 }, () => records.delete(['quick'])));
    }
    release();
    await slow;
    const { clientId, sequence = 0 } = harness.backend.writes.at(-1)?.idempotencyKey ?? {};
    const beside = harness.backend.writes.filter(
      ({ idempotencyKey }) => idempotencyKey?.clientId === clientId,
    );
    expect(sequence).toBe(1);
    expect(beside.length).toBeLessThanOrEqual(remembered / 2);
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

describe('what cannot be sent', () => {
  const upsert = (changes: object) => notes().upsert([{ ...RECORD, ...changes }]);
  const record = 'records[0]';

  it.each<[string, string, () => Promise<unknown>]>([
    ['an id that is a number', `${record}.id`, () => upsert({ id: 7 })],
    ['no vector', `${record}.values`, () => upsert({ values: undefined })],
    ['a vector of null', `${record}.values[1]`, () => upsert({ values: [1, null, 3, 4] })],
    ['a vector with a hole', `${record}.values[0]`, () => upsert({ values: Array(4) })],
    ['a date in metadata', `${record}.metadata`, () => upsert({ metadata: { a: new Date() } })],
    ['metadata of null', `${record}.metadata`, () => upsert({ metadata: null })],
    ['a timeout of NaN', 'timeoutMs', () => notes().upsert([RECORD], { timeoutMs: Number.NaN })],
    ['no time', 'timeoutMs', () => notes().count({ timeoutMs: 0 })],
  ])('is named: %s (P-9)', async (_what, field, send) => {
    const error = await failureOf(send());
    expect(error).toMatchObject({ field, code: 'INVALID_ARGUMENT', outcome: 'not-applied' });
    expect(harness.backend.calls).toEqual([]);
  });

  it('but a call may wait for ever, as far as it goes', async () => {
    for (const timeoutMs of [Number.POSITIVE_INFINITY, Number.MAX_SAFE_INTEGER, 2 ** 31]) {
      expect(await notes().count({ timeoutMs })).toBe(0);
    }
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

describe('an attempt', () => {
  const plan = { addresses: 2, attemptsMax: 5, budget: { isSpent: false } };

  it.each([1, 100, 999, 1_000, 1_001, 1_999, 60_000])(
    'keeps time for another address of a call of %d ms (F-20)',
    (timeoutMs) => {
      vi.useFakeTimers({ toFake: ['Date'] });
      try {
        const deadlineMs = Date.now() + timeoutMs;
        const whole = { ...checkedRetry(), ...plan, deadlineMs } as RetryPlan;
        const keptMs = deadlineMs - attemptDeadlineMs(whole, 1);
        expect(keptMs / timeoutMs).toBeGreaterThan(0.39);
        expect(attemptDeadlineMs(whole, 2)).toBe(deadlineMs);
      } finally {
        vi.useRealTimers();
      }
    },
  );
});

/** A client of two nodes that has called both; then the connection to the first stands still. */
async function firstStandsStill() {
  const other = await startHarness();
  const proxy = await TcpProxy.open(Number(harness.address.split(':')[1]));
  const both = new Flotilla([proxy.address, other.address], { retry });
  const records = both.collection('notes');
  for (let i = 0; i < 2; i++) await records.count();
  proxy.hold();
  return {
    other,
    records,
    [Symbol.asyncDispose]: async (): Promise<void> => {
      proxy.close();
      await both.close();
      await other[Symbol.asyncDispose]();
    },
  };
}

describe('several addresses', () => {
  it('take turns, and a node that is gone does not matter', async () => {
    await using other = await startHarness();
    await using both = new Flotilla([harness.address, other.address], { retry, routing: 'proxy' });
    const records = both.collection('notes');
    for (let i = 0; i < 6; i++) await records.count();
    expect([harness.backend.calls.length, other.backend.calls.length]).toEqual([3, 3]);
    await harness.server.close(0);
    for (let i = 0; i < 6; i++) await records.upsert([RECORD]);
    expect(other.backend.calls).toHaveLength(9);
  });

  it('are passed by where a connection is accepted, but never answered', async () => {
    // So behaves a node that is stopped, and much like it one behind a firewall.
    await using silent = await silentServer();
    await using both = new Flotilla([silent.address, harness.address], { retry });
    const records = both.collection('notes');
    for (let i = 0; i < 4; i++) await records.upsert([RECORD], { timeoutMs: 8_000 });
    expect(harness.backend.calls).toHaveLength(4);
  });

  it('are left by calls under way when their node stops (F-4)', async () => {
    await using pair = await firstStandsStill();
    const { other, records } = pair;
    await records.upsert([RECORD], { timeoutMs: 20_000 });
    for (let i = 0; i < 3; i++) await records.count();
    expect([harness.backend.calls.length, other.backend.calls.length]).toEqual([1, 5]);
  });

  it('have time left for one another, whatever the first of them does', async () => {
    await using pair = await firstStandsStill();
    const { other, records } = pair;
    // Shorter than it takes to find out that the connection is dead.
    await records.upsert([RECORD], { timeoutMs: 2_500 });
    expect(other.backend.writes).toHaveLength(1);
  });

  it('are passed by while they owe an answer', async () => {
    await using pair = await firstStandsStill();
    const { other, records } = pair;
    const abort = new AbortController();
    const waiting = failureOf(records.count({ timeoutMs: 60_000, signal: abort.signal }));
    await waitUntil('calls go to the other only', async () => {
      const before = other.backend.calls.length;
      for (let i = 0; i < 4; i++) await records.count({ timeoutMs: 2_100 });
      return other.backend.calls.length === before + 4;
    });
    abort.abort();
    expect((await waiting).reason).toBe('CANCELLED');
  });

  it('are named as a way out to the nodes, for reads too', async () => {
    await using other = await startHarness();
    await using both = new Flotilla([harness.address, other.address], { retry, routing: 'proxy' });
    await both.collection('notes').count();
    expect(harness.backend.lastOptions).toMatchObject({ retry: 'client' });
    await notes().count();
    expect(harness.backend.lastOptions).toMatchObject({ retry: 'router' });
  });

  it('say that nothing was sent when the only one cannot be reached in time (P-2)', async () => {
    await using silent = await silentServer();
    await using one = new Flotilla(silent.address, { retry });
    const error = await failureOf(one.collection('notes').upsert([RECORD], { timeoutMs: 100 }));
    expect(error).toMatchObject({ reason: 'NODE_NOT_READY', outcome: 'not-applied' });
    const giveUp = new AbortController();
    const aborted = failureOf(one.status({ signal: giveUp.signal }));
    giveUp.abort();
    expect((await aborted).reason).toBe('CANCELLED');
    const cutShort = failureOf(one.status());
    await one.close();
    expect((await cutShort).reason).toBe('CANCELLED');
  });

  it('are used again once a node is back', async () => {
    const address = harness.server.address;
    await using other = await startHarness();
    await using both = new Flotilla([address, other.address], { retry });
    await both.status();
    await harness.server.close(0);
    for (let i = 0; i < 4; i++) await both.status();
    expect(other.backend.calls).toHaveLength(4);
    await using back = await startHarness({ address });
    await waitUntil('the node is asked again', async () => {
      await both.status();
      return back.backend.calls.length > 0;
    });
  });

  it('fail with an error that says so when nobody is there', async () => {
    await harness.server.close(0);
    const error = await failureOf(notes().upsert([RECORD]));
    expect(error).toMatchObject({ code: 'UNAVAILABLE', retryable: true, outcome: 'not-applied' });
    const where = `No node is reached at ${harness.address} (`;
    expect(error.message.startsWith(where), error.message).toBe(true);
  });

  it('say that an address is not that of clients, such as the one of peers', async () => {
    const other = new Server();
    const bind = promisify(other.bindAsync.bind(other));
    const port = await bind('127.0.0.1:0', ServerCredentials.createInsecure());
    await using astray = new Flotilla(`127.0.0.1:${port}`);
    const error = await failureOf(astray.status());
    other.forceShutdown();
    expect(error.reason).toBe('UNIMPLEMENTED');
    const where = `What answers at 127.0.0.1:${port} does not take this call (`;
    expect(error.message.startsWith(where), error.message).toBe(true);
    expect(error.message).toContain('listen.client');
  });

  it('a closed client takes no calls', async () => {
    const closed = client();
    await closed.close();
    await closed.close();
    expect((await failureOf(closed.status())).reason).toBe('CANCELLED');
  });
});

/** Accepts connections and says nothing. */
async function silentServer(): Promise<AsyncDisposable & { readonly address: string }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).resume());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
