// Goal: calls over a stream end as unary calls do, whatever becomes of the stream (C1, C2, C3).
// Method: nodes that do with the stream what the test says; the client's connections before them.
import { Client, credentials, status as Status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { Address, STREAMED_REQUEST_BYTES_MAX } from '../../../src/client/address.js';
import { BATCH_BYTES_TARGET, type CallError, CallStream } from '../../../src/client/call-stream.js';
import { type AttemptOptions, Connections } from '../../../src/client/connections.js';
import { Flotilla } from '../../../src/client/index.js';
import { API } from '../../../src/shared/codec/public-api.js';
import { TIMEOUT_MS_MAX } from '../../../src/shared/deadline.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { failureOf, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';
import { TcpProxy } from '../transport/tcp-proxy.js';
import {
  countOf,
  type ScriptedNode,
  type ScriptedStream,
  startScriptedNode,
} from './scripted-node.js';

const REQUEST = { collection: 'notes' };
const inTime = (more: Partial<AttemptOptions> = {}): AttemptOptions => ({
  deadlineMs: Date.now() + 60_000,
  writes: false,
  ...more,
});

function connectionsTo({ address }: { readonly address: string }) {
  const connections = new Connections([address]);
  return {
    count: async (options: Partial<AttemptOptions> = {}) =>
      (await connections.attempt(API.count, REQUEST, inTime(options))).count,
    close: () => connections.close(),
    [Symbol.dispose]: () => connections.close(),
  };
}

const callsOf = ({ streams }: ScriptedNode) => streams.flatMap((stream) => stream.calls);
const never = (): void => undefined;

describe('a stream of calls', () => {
  it('carries what is called in one turn in one message, in order', async () => {
    await using node = await startScriptedNode();
    using client = connectionsTo(node);
    await client.count();
    const many = Array.from({ length: 64 }, () => client.count());
    expect(await Promise.all(many)).toEqual(Array(64).fill(7));
    const [stream] = node.streams;
    expect(stream?.batches.map(({ calls }) => calls.length)).toEqual([1, 64]);
    expect(stream?.calls.map(({ id }) => id)).toEqual(Array.from({ length: 65 }, (_, i) => i + 1));
    expect(node.unary).toEqual([]);
  });

  it('tells path, headers and what is left of the deadline', async () => {
    await using node = await startScriptedNode();
    using client = connectionsTo(node);
    await client.count({ headers: [['flotilla-retries', 'client']] });
    const [call] = callsOf(node);
    expect(call).toMatchObject({ path: API.count.path, headers: [['flotilla-retries', 'client']] });
    expect(call?.timeoutMs).toBeGreaterThan(30_000);
    expect(call?.timeoutMs).toBeLessThanOrEqual(60_000);
    expect(API.count.decodeRequest(call?.request ?? Buffer.alloc(0))).toMatchObject(REQUEST);
  });

  it('gives each call the answer of its own, in whatever order they come', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        const wanted = id === 1 ? [1] : id === 4 ? [4, 2, 3] : [];
        stream.answer(...wanted.map((which) => ({ id: which, response: countOf(which) })));
      },
    });
    using client = connectionsTo(node);
    await client.count();
    const three = [client.count(), client.count(), client.count()];
    expect(await Promise.all(three)).toEqual([2, 3, 4]);
  });

  it('puts an answer together that comes in pieces, between those of others', async () => {
    const whole = countOf(2 ** 40);
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        if (id === 1) stream.answer({ id, response: countOf(1) });
        if (id !== 3) return;
        stream.answer({ id: 2, response: whole.subarray(0, 2), more: true });
        stream.answer({ id: 3, response: countOf(5) });
        stream.answer({ id: 2, response: whole.subarray(2) });
      },
    });
    using client = connectionsTo(node);
    await client.count();
    expect(await Promise.all([client.count(), client.count()])).toEqual([2 ** 40, 5]);
  });

  it('drops answers to calls that nobody knows', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        stream.answer({ id: id + 1_000 }, { id: 0 }, { id, response: countOf(3) }, { id });
      },
    });
    using client = connectionsTo(node);
    expect(await client.count()).toEqual(3);
    expect(await client.count()).toEqual(3);
  });
});

describe('a call that is given up', () => {
  it('ends at once, and the node is told: cancelled', async () => {
    await using node = await startScriptedNode({ onCall: never });
    using client = connectionsTo(node);
    const abort = new AbortController();
    const counted = failureOf(client.count({ signal: abort.signal }));
    await waitUntil('it has arrived', () => callsOf(node).length === 1);
    abort.abort();
    expect((await counted).reason).toBe('CANCELLED');
    await waitUntil('the node is told', () => node.streams[0]?.cancelled.length === 1);
    expect(node.streams[0]?.cancelled).toEqual([1]);
  });

  it('ends at its deadline, although the node is silent', async () => {
    await using node = await startScriptedNode({ onCall: never });
    using client = connectionsTo(node);
    const error = await failureOf(client.count({ deadlineMs: Date.now() + 40 }));
    expect(error).toMatchObject({ reason: 'DEADLINE_EXCEEDED', outcome: 'unknown' });
    await waitUntil('the node is told', () => node.streams[0]?.cancelled.length === 1);
  });

  it('before it was sent is never sent', async () => {
    await using node = await startScriptedNode();
    using client = connectionsTo(node);
    await client.count();
    const abort = new AbortController();
    const counted = failureOf(client.count({ signal: abort.signal }));
    const after = client.count();
    await Promise.resolve();
    abort.abort();
    expect((await counted).reason).toBe('CANCELLED');
    await after;
    expect(callsOf(node).map(({ id }) => id)).toEqual([1, 3]);
    expect(node.streams[0]?.cancelled).toEqual([]);
  });
});

describe('the end of a stream', () => {
  const ends = (deed: (node: ScriptedNode) => void) => async (writes: boolean) => {
    await using node = await startScriptedNode({ onCall: never });
    using client = connectionsTo(node);
    const lost = Array.from({ length: 64 }, () => failureOf(client.count({ writes })));
    await waitUntil('all have arrived', () => callsOf(node).length === 64);
    deed(node);
    const errors = await Promise.all(lost);
    return [...new Set(errors.map(({ reason, outcome }) => `${reason} ${outcome}`))];
  };
  const inOrder = ends(({ streams }) => streams[0]?.grpc.end());
  const endsWith = (code: Status) =>
    ends(({ streams }) => streams[0]?.grpc.emit('error', { code, details: 'broken' }));
  const broken = endsWith(Status.UNAVAILABLE);

  const cut = ends((node) => void node[Symbol.asyncDispose]());

  it('in order says that nothing unanswered was begun, writes included (C2)', async () => {
    expect(await inOrder(false)).toEqual(['NODE_NOT_READY not-applied']);
    expect(await inOrder(true)).toEqual(['NODE_NOT_READY not-applied']);
  });

  it('in any other way leaves writes unknown, and reads may go elsewhere (C3, P-2)', async () => {
    expect(await broken(false)).toEqual(['NODE_NOT_READY not-applied']);
    expect(await broken(true)).toEqual(['OUTCOME_UNKNOWN unknown']);
    expect(await cut(false)).toEqual(['NODE_NOT_READY not-applied']);
    expect(await cut(true)).toEqual(['OUTCOME_UNKNOWN unknown']);
  });

  it.each([
    Status.CANCELLED,
    Status.INTERNAL,
    Status.INVALID_ARGUMENT,
    Status.DEADLINE_EXCEEDED,
    Status.RESOURCE_EXHAUSTED,
    Status.NOT_FOUND,
  ])('with code %i says nothing of a single call: it is a break (C3)', async (code) => {
    expect(await endsWith(code)(false)).toEqual(['NODE_NOT_READY not-applied']);
    expect(await endsWith(code)(true)).toEqual(['OUTCOME_UNKNOWN unknown']);
  });

  /** What the first call has got, one that was sent, and one that was not, when the stream ends. */
  const endUnder = async (end: (stream: ScriptedStream) => void, isServed: boolean) => {
    const max = LIMITS.streamCallsMax.value;
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        if (id === 1 && isServed) stream.answer({ id, response: countOf(1) });
      },
    });
    using client = connectionsTo(node);
    if (isServed) await client.count();
    const before = callsOf(node).length;
    const calls = Array.from({ length: max + 1 }, () => failureOf(client.count({ writes: true })));
    await waitUntil('all but one have arrived', () => callsOf(node).length === before + max);
    const [stream] = node.streams;
    if (stream !== undefined) end(stream);
    const errors = await Promise.all(calls);
    return [errors[0], errors.at(-1)].map((one) => `${one?.reason} ${one?.outcome}`);
  };
  const failing = (code: Status) => (stream: ScriptedStream) =>
    void stream.grpc.emit('error', { code, details: 'broken' });

  it.each([
    Status.INTERNAL,
    Status.UNAVAILABLE,
    Status.UNAUTHENTICATED,
    Status.PERMISSION_DENIED,
    Status.UNIMPLEMENTED,
  ])(
    'with code %i, in the middle, is a break; what was not sent has not happened (C3)',
    async (code) => {
      expect(await endUnder(failing(code), true)).toEqual([
        'OUTCOME_UNKNOWN unknown',
        'NODE_NOT_READY not-applied',
      ]);
    },
  );

  it.each([Status.UNAUTHENTICATED, Status.PERMISSION_DENIED])(
    'with code %i, before anything was answered, refuses what was sent on it',
    async (code) => {
      expect(await endUnder(failing(code), false)).toEqual([
        'UNAUTHENTICATED not-applied',
        'NODE_NOT_READY not-applied',
      ]);
    },
  );

  it('that is announced lets calls that wait for their turn go elsewhere (C2)', async () => {
    const max = LIMITS.streamCallsMax.value;
    await using node = await startScriptedNode({ onCall: never });
    using client = connectionsTo(node);
    const sent = Array.from({ length: max }, () => client.count());
    const waiting = failureOf(client.count({ writes: true }));
    await waitUntil('all but one have arrived', () => callsOf(node).length === max);
    const [stream] = node.streams;
    stream?.announceEnd();
    expect(await waiting).toMatchObject({ reason: 'NODE_NOT_READY', outcome: 'not-applied' });
    for (const { id } of callsOf(node)) stream?.answer({ id, response: countOf(1) });
    expect(await Promise.all(sent)).toEqual(Array(max).fill(1));
  });

  it('is followed by a new stream for later calls', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        if (node.streams.length > 1) stream.answer({ id, response: countOf(2) });
        else stream.grpc.end();
      },
    });
    using client = connectionsTo(node);
    await failureOf(client.count());
    expect(await client.count()).toEqual(2);
    expect(node.streams).toHaveLength(2);
  });

  it('is announced by a node that stops: later calls take another, none is lost', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        if (stream === node.streams[0]) stream.announceEnd();
        else stream.answer({ id, response: countOf(2) });
      },
    });
    using client = connectionsTo(node);
    const first = client.count();
    await waitUntil('a second stream is used', async () => {
      if (node.streams.length === 0) return false;
      await Promise.race([client.count(), first]);
      return node.streams.length > 1;
    });
    const [old] = node.streams;
    expect(old?.isCancelled).toBe(false);
    for (const { id } of old?.calls ?? []) old?.answer({ id, response: countOf(1) });
    expect(await first).toEqual(1);
    await waitUntil('the old one is given up', () => old?.isCancelled === true);
  });

  it('comes too where an answer cannot be read: nobody knows what was done (C3)', async () => {
    await using node = await startScriptedNode({
      onCall: (_call, stream) => stream.grpc.write(Buffer.from([0x0a, 0x7f])),
    });
    using client = connectionsTo(node);
    const [read, write] = [client.count(), client.count({ writes: true })];
    expect((await failureOf(read)).reason).toBe('NODE_NOT_READY');
    expect(await failureOf(write)).toMatchObject({
      reason: 'OUTCOME_UNKNOWN',
      outcome: 'unknown',
      message: expect.stringContaining('parsing error'),
    });
  });

  it('does not come for an answer whose inside cannot be read', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => stream.answer({ id, response: Buffer.from([0xff]) }),
    });
    using client = connectionsTo(node);
    expect((await failureOf(client.count())).reason).toBe('INTERNAL');
    expect((await failureOf(client.count())).reason).toBe('INTERNAL');
    expect(node.streams).toHaveLength(1);
  });
});

describe('a connection', () => {
  const MANY = 64;
  const throughProxy = async (writes: boolean) => {
    await using harness = await startHarness();
    let held = 0;
    harness.backend.before = () => {
      held++;
      return new Promise(() => undefined);
    };
    const proxy = await TcpProxy.open(Number(harness.address.split(':')[1]));
    using client = connectionsTo(proxy);
    const lost = Array.from({ length: MANY }, () => failureOf(client.count({ writes })));
    await waitUntil('all are held', () => held === MANY);
    proxy.cut();
    const reasons = new Set((await Promise.all(lost)).map(({ reason }) => reason));
    await waitUntil('the node has none in flight', async () =>
      (await harness.metrics.registry.metrics()).includes('flotilla_requests_in_flight 0'),
    );
    proxy.close();
    return [...reasons];
  };

  it('that breaks under 64 calls ends all of them, at both ends (F-1)', async () => {
    expect(await throughProxy(false)).toEqual(['NODE_NOT_READY']);
    expect(await throughProxy(true)).toEqual(['OUTCOME_UNKNOWN']);
  });

  it('that stands still under 64 calls ends them at their deadlines (F-4)', async () => {
    await using harness = await startHarness();
    const proxy = await TcpProxy.open(Number(harness.address.split(':')[1]));
    using client = connectionsTo(proxy);
    await client.count();
    proxy.hold();
    const deadlineMs = Date.now() + 100;
    const late = Array.from({ length: MANY }, () => failureOf(client.count({ deadlineMs })));
    const reasons = new Set((await Promise.all(late)).map(({ reason }) => reason));
    expect([...reasons]).toEqual(['DEADLINE_EXCEEDED']);
    proxy.heal();
    expect(await client.count()).toEqual(0);
    proxy.close();
  });
});

describe('a node that knows no streams', () => {
  it('gets unary calls, and is asked once only', async () => {
    await using node = await startScriptedNode({ knowsStreams: false });
    const proxy = await TcpProxy.open(Number(node.address.split(':')[1]));
    using client = connectionsTo(proxy);
    const first = Array.from({ length: 8 }, () => client.count({ writes: true }));
    expect(await Promise.all(first)).toEqual(Array(8).fill(1));
    for (let i = 0; i < 3; i++) expect(await client.count()).toEqual(1);
    expect(node.unary).toHaveLength(11);
    proxy.close();
  });

  it('gets streams when it comes back as one that does', async () => {
    await using old = await startScriptedNode({ knowsStreams: false });
    using client = connectionsTo(old);
    expect(await client.count()).toEqual(1);
    await old[Symbol.asyncDispose]();
    await using young = await startScriptedNode({ address: old.address });
    await waitUntil('it answers again', async () => (await client.count()) === 7);
    expect(young.unary).toEqual([]);
  });

  it('whose calls are given up meanwhile is told so', async () => {
    await using node = await startScriptedNode({ knowsStreams: false });
    using client = connectionsTo(node);
    const abort = new AbortController();
    const counted = failureOf(client.count({ signal: abort.signal }));
    abort.abort();
    expect((await counted).reason).toBe('CANCELLED');
  });
});

describe('bounds', () => {
  const bodyOf = (sizeBytes: number) => ({
    path: API.count.path,
    headers: [],
    body: Buffer.alloc(sizeBytes),
    deadlineMs: Date.now() + 60_000,
  });

  it.each([
    [STREAMED_REQUEST_BYTES_MAX - 1, 1],
    [STREAMED_REQUEST_BYTES_MAX, 1],
    [STREAMED_REQUEST_BYTES_MAX + 1, 0],
  ])('a request of %i bytes goes over the stream: %i', async (sizeBytes, streamed) => {
    await using node = await startScriptedNode();
    const address = new Address(node.address, 'stream');
    await new Promise((resolve) => address.send(bodyOf(sizeBytes), resolve));
    address.close();
    expect([callsOf(node).length, node.unary.length]).toEqual([streamed, 1 - streamed]);
  });

  it.each([
    [BATCH_BYTES_TARGET - 1, [2, 1]],
    [BATCH_BYTES_TARGET, [1, 2]],
    [BATCH_BYTES_TARGET + 1, [1, 2]],
  ])('a first request of %i bytes leaves room for others: %j', async (sizeBytes, sizes) => {
    await using node = await startScriptedNode();
    const address = new Address(node.address, 'stream');
    const send = (bytes: number) => new Promise((resolve) => address.send(bodyOf(bytes), resolve));
    await Promise.all([send(sizeBytes), send(1), send(1)]);
    address.close();
    const [first = 0, second = 0] = node.streams[0]?.batches.map(({ calls }) => calls.length) ?? [];
    expect([first, second]).toEqual(sizes);
  });

  it('calls above the limit wait for their turn, and are answered (C5)', async () => {
    const max = LIMITS.streamCallsMax.value;
    const held: (() => void)[] = [];
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => held.push(() => stream.answer({ id, response: countOf(id) })),
    });
    using client = connectionsTo(node);
    const all = Array.from({ length: max + 2 }, () => client.count());
    await waitUntil('as many as may have arrived', () => held.length === max);
    held[0]?.();
    expect(await Promise.race(all)).toBe(1);
    await waitUntil('one more has arrived', () => held.length === max + 1);
    for (const answer of held.slice(1)) answer();
    await waitUntil('the last one has arrived', () => held.length === max + 2);
    held.at(-1)?.();
    const counts = (await Promise.all(all)).sort((a, b) => a - b);
    expect(counts).toEqual(Array.from({ length: max + 2 }, (_, at) => at + 1));
  });

  it('an answer larger than any may be is refused, and the node is told', async () => {
    const piece = Buffer.alloc(4 * 1024 * 1024 - 64);
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        const pieces = Math.ceil(LIMITS.requestBytesMax.value / piece.length) + 1;
        for (let at = 0; at < pieces; at++) stream.answer({ id, response: piece, more: true });
      },
    });
    using client = connectionsTo(node);
    expect(await failureOf(client.count())).toMatchObject({ reason: 'LIMIT_EXCEEDED' });
    await waitUntil('the node is told', () => node.streams[0]?.cancelled.length === 1);
  });
});

describe('a client', () => {
  it('that is closed lets calls under way finish, and keeps no stream (C4)', async () => {
    await using node = await startScriptedNode({ onCall: never });
    const client = connectionsTo(node);
    const counted = client.count();
    await waitUntil('it has arrived', () => callsOf(node).length === 1);
    client.close();
    client.close();
    expect((await failureOf(client.count())).reason).toBe('CANCELLED');
    const [stream] = node.streams;
    stream?.answer({ id: 1, response: countOf(4) });
    expect(await counted).toEqual(4);
    await waitUntil('the stream has ended', () => stream?.isCancelled === true);
  });

  it('that nobody uses keeps no stream, and opens one when it is used again (C4)', async () => {
    await using node = await startScriptedNode();
    using client = connectionsTo(node);
    await client.count();
    await waitUntil('the stream has ended', () => node.streams[0]?.isCancelled === true);
    expect(await client.count()).toEqual(7);
    expect(node.streams).toHaveLength(2);
  });

  it('keeps no stream for want of use while a call waits', async () => {
    let answer = (): void => undefined;
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        answer = () => stream.answer({ id, response: countOf(9) });
      },
    });
    await using other = await startScriptedNode();
    using client = connectionsTo(node);
    using idle = connectionsTo(other);
    const waiting = client.count();
    await idle.count();
    await waitUntil('an idle stream has ended', () => other.streams[0]?.isCancelled === true);
    answer();
    expect(await waiting).toEqual(9);
    expect(node.streams).toHaveLength(1);
  });

  it('has no calls left on its books, however they end', async () => {
    await using node = await startScriptedNode({
      onCall: ({ id }, stream) => {
        if (id % 3 === 0) stream.answer({ id, response: countOf(id) });
        if (id % 3 === 1) stream.answer({ id, code: Status.NOT_FOUND, status: Buffer.alloc(0) });
      },
    });
    const grpc = new Client(node.address, credentials.createInsecure());
    const stream = new CallStream(grpc);
    const { path, encodeRequest } = API.count;
    const body = encodeRequest(REQUEST);
    const ended = Array.from({ length: 90 }, (_, at) => {
      const deadlineMs = Date.now() + (at % 2 === 0 ? 50 : 60_000);
      return new Promise<void>((resolve) => {
        const cancel = stream.call({ path, headers: [], body, deadlineMs }, () => resolve());
        if (at % 6 === 1) setImmediate(cancel);
        if (at % 6 === 5) queueMicrotask(cancel);
      });
    });
    const unanswered = ended.filter((_, at) => (at + 1) % 3 === 2 && at % 2 === 1);
    expect(unanswered.length).toBeGreaterThan(0);
    stream.close();
    await waitUntil('only those are left that nobody answers', () => {
      return stream.pendingCalls <= unanswered.length;
    });
    await node[Symbol.asyncDispose]();
    await Promise.all(ended);
    expect(stream.pendingCalls).toBe(0);
    grpc.close();
  });

  it('that has closed an address begins no call there, and says so', async () => {
    await using node = await startScriptedNode();
    const address = new Address(node.address, 'stream');
    address.close();
    const call = { path: API.count.path, headers: [], body: Buffer.alloc(0), deadlineMs: 0 };
    const error = await new Promise<CallError | null>((resolve) => address.send(call, resolve));
    expect(error).toMatchObject({ code: Status.UNAVAILABLE, notBegun: true });
    expect(node.streams).toEqual([]);
  });

  it('may wait without an end', async () => {
    await using node = await startScriptedNode();
    using client = connectionsTo(node);
    expect(await client.count({ deadlineMs: Number.POSITIVE_INFINITY })).toBe(7);
    expect(callsOf(node)[0]?.timeoutMs).toBe(TIMEOUT_MS_MAX);
  });

  it('of the kind "unary" opens no stream', async () => {
    await using node = await startScriptedNode();
    await using client = new Flotilla(node.address, { transport: 'unary' });
    expect(await client.collection('notes').count()).toBe(1);
    expect(node.streams).toEqual([]);
  });
});

describe('a slow node', () => {
  it('is not flooded: what it does not read stays here, and can be given up (C5)', async () => {
    await using node = await startScriptedNode();
    const address = new Address(node.address, 'stream');
    const body = Buffer.alloc(STREAMED_REQUEST_BYTES_MAX);
    const call = { path: API.count.path, headers: [], body, deadlineMs: Date.now() + 60_000 };
    const send = () => new Promise((resolve) => address.send(call, resolve));
    await send();
    const [stream] = node.streams;
    stream?.grpc.pause();
    const answers = Array.from({ length: 200 }, send);
    const cancel = address.send(call, (error) => answers.push(Promise.resolve(error?.code)));
    // A unary call of the same connection goes past all of them.
    const alone = new Address(node.address, 'unary');
    await new Promise((resolve) => alone.send({ ...call, body: Buffer.alloc(0) }, resolve));
    cancel();
    expect(stream?.calls).toHaveLength(1);
    stream?.grpc.resume();
    const ended = await Promise.all(answers);
    expect(ended).toEqual([...Array(200).fill(null), Status.CANCELLED]);
    expect(stream?.calls).toHaveLength(201);
    address.close();
    alone.close();
  });
});
