// Goal: deadlines, cancelling, limits, credentials, errors and closing work as documented.
// Method: a backend that hangs or fails on command, behind the real server and client.
import { connect, type Socket } from 'node:net';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { API } from '../../src/shared/codec/public-api.js';
import { ERRORS, type ErrorReason } from '../../src/shared/error-codes.js';
import { FlotillaError } from '../../src/shared/errors.js';
import type { GiveUpSignal } from '../../src/shared/give-up.js';
import type { WriteOutcome } from '../../src/shared/types.js';
import { waitUntil } from '../support/wait-until.js';
import { failureOf, type Harness, startHarness } from './harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness({ inflightMax: 2 });
});
afterEach(() => harness[Symbol.asyncDispose]());

const GOOD = [1, 2, 3, 4];
const notes = () => harness.client().collection('notes');

/** Makes each call wait until it is released; tells whether its signal was aborted. */
function holdCalls() {
  const held: { release: () => void; readonly signal: GiveUpSignal }[] = [];
  harness.backend.before = (_call, { signal }) =>
    new Promise<void>((resolve) => held.push({ release: resolve, signal }));
  return held;
}

describe('errors', () => {
  it.each(Object.keys(ERRORS) as ErrorReason[])('%s comes back whole', async (reason) => {
    const details = { leaderNodeId: '3', note: 'ä' };
    harness.backend.before = () => {
      throw new FlotillaError(reason, `what happened: ${reason} – §1`, {
        field: 'records[3].values',
        limit: 'idBytesMax',
        details,
      });
    };
    const error = await failureOf(notes().count());
    expect(error.body).toEqual({
      reason,
      message: `what happened: ${reason} – §1`,
      field: 'records[3].values',
      limit: { name: 'idBytesMax', value: 512 },
      details,
    });
    const { code, retryable, outcome } = ERRORS[reason];
    expect({ code: error.code, retryable: error.retryable, outcome: error.outcome }).toEqual({
      code,
      retryable,
      outcome,
    });
  });

  it('a bug of the backend is INTERNAL, and a message without end is cut', async () => {
    harness.backend.before = () => {
      throw new TypeError('x'.repeat(100_000));
    };
    const error = await failureOf(notes().count());
    expect(error.reason).toBe('INTERNAL');
    expect(error.message.length).toBeLessThan(2_000);
  });

  it('half a surrogate pair in a message, even one made by cutting it, harms nobody', async () => {
    for (const message of ['\ud800', `${'x'.repeat(1_019)}${'\u{1f600}'.repeat(9)}`]) {
      harness.backend.before = () => {
        throw new FlotillaError('NO_LEADER', message);
      };
      expect((await failureOf(notes().count())).reason).toBe('NO_LEADER');
    }
  });

  it('a write that applied nothing is an error, unknown when a part is unknown (P-2)', async () => {
    const lost: WriteOutcome = {
      kind: 'unknown',
      error: { reason: 'OUTCOME_UNKNOWN', message: 'the leader went away' },
    };
    const refused: WriteOutcome = {
      kind: 'not-applied',
      error: { reason: 'NO_LEADER', message: 'shard 2 has no leader' },
    };
    const two = [
      { id: 'a', values: GOOD },
      { id: 'b', values: GOOD },
    ];
    harness.backend.outcomes = () => [refused, lost];
    expect(await failureOf(notes().upsert(two))).toMatchObject({ reason: 'OUTCOME_UNKNOWN' });
    harness.backend.outcomes = () => [refused, refused];
    expect(await failureOf(notes().upsert(two))).toMatchObject({ reason: 'NO_LEADER' });
    harness.backend.outcomes = ([first = lost]) => [first, refused];
    expect(await notes().upsert(two)).toMatchObject({
      appliedCount: 1,
      outcomes: [
        { id: 'a', kind: 'applied' },
        { id: 'b', kind: 'not-applied', reason: 'NO_LEADER', message: 'shard 2 has no leader' },
      ],
    });
  });
});

describe('deadlines and cancelling', () => {
  it('hands on what is left of the deadline, less a reserve for the answer', async () => {
    await notes().count({ timeoutMs: 60_000 });
    const { timeoutMs } = harness.backend.lastOptions ?? { timeoutMs: 0 };
    expect(timeoutMs).toBeGreaterThan(30_000);
    expect(timeoutMs).toBeLessThan(60_000);
  });

  it('aborts the backend when the deadline passes', async () => {
    // The call has to be there before its time is over: the connection is made before.
    await notes().count();
    const held = holdCalls();
    const error = await failureOf(notes().count({ timeoutMs: 1_000 }));
    expect(error).toMatchObject({ reason: 'DEADLINE_EXCEEDED', outcome: 'unknown' });
    await waitUntil('the backend is aborted', () => held[0]?.signal.aborted === true);
  });

  it('aborts the backend when the caller gives up', async () => {
    const held = holdCalls();
    const giveUp = new AbortController();
    const counted = failureOf(notes().count({ signal: giveUp.signal }));
    await waitUntil('the call is held', () => held.length === 1);
    giveUp.abort();
    expect((await counted).reason).toBe('CANCELLED');
    await waitUntil('the backend is aborted', () => held[0]?.signal.aborted === true);
    expect((await failureOf(notes().count({ signal: giveUp.signal }))).reason).toBe('CANCELLED');
    expect(held).toHaveLength(1);
  });

  it('ends calls without a deadline at the default, though the backend hangs', async () => {
    await using short = await startHarness({ defaultTimeoutMs: 40 });
    const signals: GiveUpSignal[] = [];
    short.backend.before = (_call, { signal }) => {
      signals.push(signal);
      return new Promise(() => undefined);
    };
    const client = new Client(short.address, credentials.createInsecure());
    const { path, encodeRequest, decodeResponse } = API.count;
    const error = await new Promise<ServiceError | null>((resolve) => {
      const request = { collection: 'notes' };
      client.makeUnaryRequest(path, encodeRequest, decodeResponse, request, resolve);
    });
    client.close();
    expect(error?.message).toContain('DEADLINE_EXCEEDED');
    expect(signals[0]?.aborted).toBe(true);
  });
});

describe('limits of the node', () => {
  it('refuses calls above the limit, and takes calls again afterwards', async () => {
    const held = holdCalls();
    const slow = [notes().count(), notes().count()];
    await waitUntil('two calls are held', () => held.length === 2);
    expect(await failureOf(notes().count())).toMatchObject({
      reason: 'TOO_MANY_REQUESTS',
      code: 'RESOURCE_EXHAUSTED',
      outcome: 'not-applied',
    });
    harness.backend.before = () => undefined;
    for (const { release } of held) release();
    expect(await Promise.all(slow)).toEqual([0, 0]);
    expect(await notes().count()).toBe(0);
  });

  it('refuses calls whose bytes come on top of too many, until others end (P-10)', async () => {
    await using small = await startHarness({ inflightBytesMax: 64 * 1024 });
    const held: (() => void)[] = [];
    small.backend.before = () => new Promise((resolve) => held.push(resolve));
    const count = (name: string) => small.client().collection(name).count();
    const upsert = () =>
      small
        .client()
        .collection('notes')
        .upsert(
          Array.from({ length: 1_000 }, (_, at) => ({ id: `record-number-${at}`, values: GOOD })),
        );
    const first = upsert();
    await waitUntil('the first is held', () => held.length === 1);
    expect(await failureOf(upsert())).toMatchObject({
      reason: 'TOO_MANY_REQUESTS',
      outcome: 'not-applied',
    });
    const counted = count('notes');
    await waitUntil('a small one is let in', () => held.length === 2);
    for (const release of held) release();
    expect(await Promise.all([first, counted])).toMatchObject([{ appliedCount: 1_000 }, 1_000]);
    small.backend.before = () => undefined;
    expect(await upsert()).toMatchObject({ appliedCount: 1_000 });
  });

  it('counts a call once, however it ends', async () => {
    const held = holdCalls();
    for (let i = 0; i < 5; i++) await failureOf(notes().count({ timeoutMs: 20 }));
    for (const { release } of held) release();
    await waitUntil('nothing is in flight', async () =>
      (await harness.metrics.registry.metrics()).includes('flotilla_requests_in_flight 0'),
    );
  });
});

describe('credentials', () => {
  it('an authenticator sees every call before its service does', async () => {
    const paths: string[] = [];
    await using guarded = await startHarness({
      authenticator: {
        authenticate: async (metadata, path) => {
          paths.push(path);
          if (metadata.get('authorization')[0] === 'Bearer good') return;
          throw new FlotillaError('UNAUTHENTICATED', 'no valid key');
        },
      },
    });
    const refused = await failureOf(guarded.client().collection('notes').count());
    expect(refused).toMatchObject({ reason: 'UNAUTHENTICATED', message: 'no valid key' });
    const client = new Client(guarded.address, credentials.createInsecure());
    const { path, encodeRequest, decodeResponse } = API.count;
    const headers = new Metadata();
    headers.set('authorization', 'Bearer good');
    const answer = await new Promise((resolve, reject) => {
      const request = { collection: 'notes' };
      client.makeUnaryRequest(
        path,
        encodeRequest,
        decodeResponse,
        request,
        headers,
        (error, value) => (error ? reject(error) : resolve(value)),
      );
    });
    client.close();
    expect(answer).toMatchObject({ count: 0 });
    expect(paths).toEqual([path, path]);
    expect(guarded.backend.calls).toEqual(['count']);
  });
});

describe('closing', () => {
  it('lets calls in flight finish, and takes no more', async () => {
    const held = holdCalls();
    const counted = notes().count();
    await waitUntil('the call is held', () => held.length === 1);
    const closed = harness.server.close(60_000);
    await waitUntil('no more connections', () => refuses(harness.address));
    held[0]?.release();
    expect(await counted).toBe(0);
    await closed;
    await harness.server.close();
  });

  it('cuts calls that do not finish, and silent connections', async () => {
    holdCalls();
    const counted = failureOf(notes().count());
    const silent = await connectTo(harness.address);
    silent.resume();
    const ended = new Promise<void>((resolve) => silent.once('close', () => resolve()));
    await waitUntil('the call arrived', () => harness.backend.calls.length === 1);
    await harness.server.close(20);
    expect(await counted).toMatchObject({ code: 'UNAVAILABLE' });
    await ended;
  });

  it('bytes that are no HTTP/2 end their own connection only', async () => {
    const stray = await connectTo(harness.address);
    const ended = new Promise<void>((resolve) => stray.once('close', () => resolve()));
    stray.resume();
    stray.end('GET / HTTP/1.1\r\n\r\n');
    await ended;
    expect(await notes().count()).toBe(0);
  });

  it('an address in use is an error of the start', async () => {
    await expect(startHarness({ address: harness.address })).rejects.toThrow('EADDRINUSE');
  });
});

function connectTo(address: string): Promise<Socket> {
  const [host, port] = address.split(':');
  return new Promise((resolve, reject) => {
    const socket = connect({ host: host ?? '', port: Number(port) }, () => resolve(socket));
    socket.on('error', reject);
  });
}

async function refuses(address: string): Promise<boolean> {
  try {
    (await connectTo(address)).destroy();
    return false;
  } catch {
    return true;
  }
}
