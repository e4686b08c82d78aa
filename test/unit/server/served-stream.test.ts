// Goal: a node serves calls of a stream as it serves unary calls, within bounds, to any client.
// Method: the real server behind a bare gRPC stream, with batches that our client would not send.
import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  status as Status,
} from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GrpcServerOptions } from '../../../src/server/grpc-server.js';
import {
  decodeAnswerBatch,
  EXCHANGE_PATH,
  encodeCallBatch,
  type StreamedAnswer,
  type StreamedCall,
} from '../../../src/shared/codec/call-stream-messages.js';
import { API } from '../../../src/shared/codec/public-api.js';
import { decodeStatusDetails } from '../../../src/shared/codec/status-details.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { GiveUpSignal } from '../../../src/shared/give-up.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';
import { waitUntil } from '../../support/wait-until.js';

const asIs = (bytes: Buffer): Buffer => bytes;
const COUNT = API.count.encodeRequest({ collection: 'notes' });

class BareStream {
  readonly answers: StreamedAnswer[] = [];
  /** Numbers of answers of each message. */
  readonly messages: number[] = [];
  isClosing = false;
  status: number | undefined;
  details = '';
  readonly grpc: ClientDuplexStream<Buffer, Buffer>;
  readonly #client: Client;

  constructor(address: string, headers = new Metadata()) {
    this.#client = new Client(address, credentials.createInsecure());
    this.grpc = this.#client.makeBidiStreamRequest(EXCHANGE_PATH, asIs, asIs, headers);
    this.grpc.on('data', (message: Buffer) => {
      const { answers, closing } = decodeAnswerBatch(message);
      this.answers.push(...answers);
      this.messages.push(answers.length);
      this.isClosing ||= closing;
    });
    this.grpc.on('error', ({ details }: ServiceError) => {
      this.details = details;
    });
    this.grpc.on('status', ({ code }) => {
      this.status = code;
    });
  }

  send(
    calls: readonly (Partial<StreamedCall> & { readonly id: number })[],
    cancelled: number[] = [],
  ) {
    const defaults = { path: API.count.path, timeoutMs: 60_000, headers: [], request: COUNT };
    this.grpc.write(
      encodeCallBatch({ calls: calls.map((call) => ({ ...defaults, ...call })), cancelled }),
    );
  }

  answerTo(id: number): StreamedAnswer | undefined {
    return this.answers.find((answer) => answer.id === id);
  }

  reasonOf(id: number): string | undefined {
    const answer = this.answerTo(id);
    return answer && decodeStatusDetails(answer.status)?.reason;
  }

  answered(count: number): Promise<void> {
    return waitUntil(`${count} answers`, () => this.answers.length === count);
  }

  [Symbol.dispose](): void {
    this.grpc.cancel();
    this.#client.close();
  }
}

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(() => harness[Symbol.asyncDispose]());

const open = () => new BareStream(harness.address);
const ids = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => ({ id: from + at }));

/** Makes each call wait until it is released; tells whether its signal was aborted. */
function holdCalls(of: Harness = harness) {
  const held: { readonly release: () => void; readonly signal: GiveUpSignal }[] = [];
  of.backend.before = (_call, { signal }) =>
    new Promise<void>((resolve) => held.push({ release: resolve, signal }));
  return held;
}

const isIdle = async (of: Harness = harness): Promise<boolean> =>
  (await of.metrics.registry.metrics()).includes('flotilla_requests_in_flight 0');

describe('calls on a stream', () => {
  it('are answered together where they are ready together', async () => {
    using stream = open();
    stream.send(ids(1, 50));
    await stream.answered(50);
    expect(stream.messages).toEqual([50]);
    expect(stream.answers.every(({ code }) => code === Status.OK)).toBe(true);
  });

  it('begin in the order in which they come, and are counted one by one', async () => {
    const seen: string[] = [];
    harness.backend.before = (_call, { timeoutMs }) => {
      seen.push(String(Math.ceil(timeoutMs / 10_000)));
    };
    using stream = open();
    stream.send([1, 2, 3, 4].map((id) => ({ id, timeoutMs: 10_000 * id })));
    await stream.answered(4);
    expect(seen).toEqual(['1', '2', '3', '4']);
    const metrics = await harness.metrics.registry.metrics();
    expect(metrics).toMatch(
      /request_duration_seconds_count\{method="Records\/Count",code="OK"\} 4/,
    );
  });

  it('do not wait for one another', async () => {
    const held = holdCalls();
    using stream = open();
    stream.send([{ id: 1 }]);
    await waitUntil('it is held', () => held.length === 1);
    harness.backend.before = () => undefined;
    stream.send([{ id: 2 }]);
    await stream.answered(1);
    held[0]?.release();
    await stream.answered(2);
    expect(stream.answers.map(({ id }) => id)).toEqual([2, 1]);
  });

  it('of a method that does not exist are refused, and others go on', async () => {
    using stream = open();
    stream.send([{ id: 1, path: '/flotilla.v1.Records/Nothing' }, { id: 2, path: '' }, { id: 3 }]);
    await stream.answered(3);
    expect([1, 2, 3].map((id) => stream.answerTo(id)?.code)).toEqual([
      Status.UNIMPLEMENTED,
      Status.UNIMPLEMENTED,
      Status.OK,
    ]);
  });

  it('with headers that are none are refused (P-9)', async () => {
    using stream = open();
    stream.send([
      { id: 1, headers: [['no spaces', 'x']] },
      { id: 2, headers: [['key-bin', 'text']] },
      { id: 3, headers: [['a', 'line\nbreak']] },
      { id: 4, headers: [['fine', 'x']] },
    ]);
    await stream.answered(4);
    expect([1, 2, 3, 4].map((id) => stream.reasonOf(id))).toEqual([
      'INVALID_REQUEST',
      'INVALID_REQUEST',
      'INVALID_REQUEST',
      undefined,
    ]);
  });

  it('end at their deadline, and at the default where they have none', async () => {
    await using short = await startHarness({ defaultTimeoutMs: 40 });
    const held = holdCalls(short);
    using stream = new BareStream(short.address);
    stream.send([
      { id: 1, timeoutMs: 30 },
      { id: 2, timeoutMs: 0 },
      { id: 3, timeoutMs: Number.MAX_SAFE_INTEGER },
    ]);
    await stream.answered(2);
    expect(stream.answers.map(({ id }) => stream.reasonOf(id))).toEqual([
      'DEADLINE_EXCEEDED',
      'DEADLINE_EXCEEDED',
    ]);
    expect(held.map(({ signal }) => signal.aborted)).toEqual([true, true, false]);
    held[2]?.release();
    await stream.answered(3);
    expect(stream.answerTo(3)?.code).toBe(Status.OK);
    await waitUntil('none is left', () => isIdle(short));
  });

  it('that are cancelled are aborted and never answered; their ids are free again', async () => {
    const held = holdCalls();
    using stream = open();
    stream.send(ids(1, 2));
    await waitUntil('both are held', () => held.length === 2);
    stream.send([], [1, 77]);
    await waitUntil('it is aborted', () => held[0]?.signal.aborted === true);
    harness.backend.before = () => undefined;
    stream.send([{ id: 1 }], [1]);
    held[1]?.release();
    await stream.answered(2);
    expect(stream.answers.map(({ id, code }) => [id, code]).sort()).toEqual([
      [1, Status.OK],
      [2, Status.OK],
    ]);
    await waitUntil('none is left', isIdle);
  });

  it('get a large answer in pieces, while a small one goes past it', async () => {
    const records = Array.from({ length: 1_000 }, (_, at) => ({
      id: `record-${at}`,
      values: [1, 2, 3, 4],
      metadata: { text: 'x'.repeat(2_000) },
    }));
    await harness.client().collection('notes').upsert(records);
    using stream = open();
    const request = API.fetch.encodeRequest({
      collection: 'notes',
      ids: records.map(({ id }) => id),
    });
    stream.send([{ id: 1, path: API.fetch.path, request }, { id: 2 }]);
    await waitUntil(
      'both are whole',
      () => stream.answers.filter(({ more }) => !more).length === 2,
    );
    const pieces = stream.answers.filter(({ id }) => id === 1);
    expect(pieces.length).toBeGreaterThan(10);
    expect(stream.answers.findIndex(({ id }) => id === 2)).toBeLessThan(3);
    const whole = Buffer.concat(pieces.map(({ response }) => response));
    expect(API.fetch.decodeResponse(whole).records).toHaveLength(1_000);
  });
});

describe('limits', () => {
  const refusedOf = async (options: Partial<GrpcServerOptions>, count: number) => {
    await using small = await startHarness(options);
    const held = holdCalls(small);
    using stream = new BareStream(small.address);
    stream.send(ids(1, count));
    const isSettled = () => held.length + stream.answers.length === count;
    await waitUntil('all are held or refused', isSettled);
    const refused = stream.answers.map(({ id }) => [id, stream.reasonOf(id)]);
    small.backend.before = () => undefined;
    for (const { release } of held) release();
    await stream.answered(count);
    stream.send([{ id: count + 1 }]);
    await stream.answered(count + 1);
    expect(stream.answerTo(count + 1)?.code).toBe(Status.OK);
    await waitUntil('none is left', () => isIdle(small));
    return refused;
  };

  it.each([
    [4, []],
    [5, []],
    [6, [[6, 'TOO_MANY_REQUESTS']]],
  ])('of calls on a stream: %i where 5 may be (P-10)', async (count, refused) => {
    expect(await refusedOf({ streamCallsMax: 5 }, count)).toEqual(refused);
  });

  it('of calls that the node works on hold for all streams and unary calls together', async () => {
    expect(await refusedOf({ inflightMax: 3 }, 4)).toEqual([[4, 'TOO_MANY_REQUESTS']]);
  });

  it('of bytes hold as well', async () => {
    const bytes = { inflightBytesMax: 2 * COUNT.length };
    expect(await refusedOf(bytes, 3)).toEqual([[3, 'TOO_MANY_REQUESTS']]);
  });
});

describe('a client that does not keep to the protocol', () => {
  it('is refused a call id that is in use, and all of its calls end', async () => {
    const held = holdCalls();
    using stream = open();
    stream.send(ids(1, 3));
    await waitUntil('they are held', () => held.length === 3);
    stream.send([{ id: 9 }, { id: 2 }, { id: 10 }]);
    await waitUntil('the stream has ended', () => stream.status !== undefined);
    expect([stream.status, stream.details]).toEqual([
      Status.INVALID_ARGUMENT,
      'The call id 2 is in use',
    ]);
    await waitUntil('all are aborted', () => held.every(({ signal }) => signal.aborted));
    await waitUntil('none is left', isIdle);
  });

  it.each([
    ['no message', Buffer.from([0xff, 0xff])],
    ['a call of the wrong form', Buffer.from([0x0a, 2, 0x0d, 1])],
  ])('is refused bytes that are %s', async (_what, bytes) => {
    using stream = open();
    stream.grpc.write(bytes);
    await waitUntil('the stream has ended', () => stream.status !== undefined);
    expect(stream.status).toBe(Status.INVALID_ARGUMENT);
    expect(stream.details).toContain('malformed');
  });

  it('is refused more calls than any stream may have, for the cost of bytes (C5)', async () => {
    using stream = open();
    // Calls of two bytes each: 33 million of them.
    stream.grpc.write(Buffer.alloc(64 * 1024 * 1024, Buffer.from([0x0a, 0x00])));
    let mostBytes = 0;
    const watch = setInterval(() => {
      mostBytes = Math.max(mostBytes, process.memoryUsage().heapUsed);
    }, 1);
    const beforeBytes = process.memoryUsage().heapUsed;
    await waitUntil('the stream has ended', () => stream.status !== undefined);
    clearInterval(watch);
    expect(stream.status).toBe(Status.INVALID_ARGUMENT);
    expect(stream.details).toContain('calls has more than 1024');
    expect(mostBytes - beforeBytes).toBeLessThan(50 * 1024 * 1024);
    expect(await harness.client().collection('notes').count()).toBe(0);
  });

  it('may send nothing, and a batch of nothing', async () => {
    using stream = open();
    stream.send([]);
    stream.send([{ id: 1 }]);
    await stream.answered(1);
  });
});

describe('the end of a stream', () => {
  it('by the client, in order, waits for the answers', async () => {
    const held = holdCalls();
    using stream = open();
    stream.send(ids(1, 2));
    await waitUntil('they are held', () => held.length === 2);
    stream.grpc.end();
    held[0]?.release();
    await stream.answered(1);
    expect(stream.status).toBeUndefined();
    held[1]?.release();
    await stream.answered(2);
    await waitUntil('the stream has ended', () => stream.status === Status.OK);
  });

  it('by a client that goes away aborts its calls', async () => {
    const held = holdCalls();
    const stream = open();
    stream.send(ids(1, 64));
    await waitUntil('they are held', () => held.length === 64);
    stream[Symbol.dispose]();
    await waitUntil('all are aborted', () => held.every(({ signal }) => signal.aborted));
    await waitUntil('none is left', isIdle);
  });

  it('comes at once where the node stops and nothing is under way', async () => {
    using stream = open();
    stream.send([{ id: 1 }]);
    await stream.answered(1);
    await harness.server.close(60_000);
    await waitUntil('the stream has ended', () => stream.status === Status.OK);
  });

  it('waits for 64 calls under way when the node stops: none is lost (C2)', async () => {
    const held = holdCalls();
    const notes = harness.client().collection('notes');
    const counted = Array.from({ length: 64 }, () => notes.count());
    using stream = open();
    stream.send([{ id: 1 }]);
    await waitUntil('they are held', () => held.length === 65);
    const closed = harness.server.close(60_000);
    await waitUntil('the client is told', () => stream.isClosing);
    // What was on its way when the node began to stop is served as well.
    stream.send([{ id: 2 }]);
    await waitUntil('one more is held', () => held.length === 66);
    for (const { release } of held) release();
    expect(await Promise.all(counted)).toEqual(Array(64).fill(0));
    await waitUntil('the stream has ended', () => stream.status === Status.OK);
    expect(stream.answers.map(({ id }) => id)).toEqual([1, 2]);
    await closed;
    expect((await failureOf(notes.count())).reason).toBe('NODE_NOT_READY');
  });

  it('is forced when the node has waited long enough', async () => {
    holdCalls();
    const notes = harness.client().collection('notes');
    const [read, write] = [
      failureOf(notes.count()),
      failureOf(notes.upsert([{ id: 'a', values: [1, 2, 3, 4] }])),
    ];
    await waitUntil('they are held', () => harness.backend.calls.length === 2);
    await harness.server.close(20);
    expect([(await read).reason, (await write).reason]).toEqual([
      'NODE_NOT_READY',
      'OUTCOME_UNKNOWN',
    ]);
  });
});

describe('credentials', () => {
  it('are asked for with every call, by its own path and headers', async () => {
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
    const headers = new Metadata();
    headers.set('authorization', 'Bearer good');
    using stream = new BareStream(guarded.address, headers);
    const bad = [['authorization', 'Bearer bad']] as const;
    stream.send([{ id: 1 }, { id: 2, headers: bad }, { id: 3, path: API.listCollections.path }]);
    await stream.answered(3);
    expect([1, 2, 3].map((id) => stream.answerTo(id)?.code)).toEqual([
      Status.OK,
      Status.UNAUTHENTICATED,
      Status.OK,
    ]);
    expect(paths).toEqual([API.count.path, API.count.path, API.listCollections.path]);
    expect([...guarded.backend.calls].sort()).toEqual(['count', 'listCollections']);
  });

  it('that take long do not begin a call that was cancelled meanwhile', async () => {
    let letIn = (): void => undefined;
    await using guarded = await startHarness({
      authenticator: {
        authenticate: (_metadata, path) =>
          path === API.count.path
            ? new Promise<void>((resolve) => {
                letIn = resolve;
              })
            : undefined,
      },
    });
    using stream = new BareStream(guarded.address);
    const list = { path: API.listCollections.path, request: Buffer.alloc(0) };
    stream.send([{ id: 1 }, { id: 2, ...list }]);
    await stream.answered(1);
    stream.send([{ id: 3, ...list }], [1]);
    await stream.answered(2);
    letIn();
    stream.send([{ id: 4, ...list }]);
    await stream.answered(3);
    expect(guarded.backend.calls).toEqual(Array(3).fill('listCollections'));
  });
});

describe('a client that reads slowly', () => {
  const RECORDS = Array.from({ length: 250 }, (_, at) => ({
    id: `record-${at}`,
    values: [1, 2, 3, 4],
    metadata: { text: 'x'.repeat(4_000) },
  }));
  const FETCH = {
    path: API.fetch.path,
    request: API.fetch.encodeRequest({ collection: 'notes', ids: RECORDS.map(({ id }) => id) }),
  };

  it('is refused what would make more bytes wait than may, and nothing is lost (C5)', async () => {
    await using small = await startHarness({ streamAnswerBytesMax: 3_000_000 });
    await small.client().collection('notes').upsert(RECORDS);
    using stream = new BareStream(small.address);
    stream.send([{ id: 1 }]);
    await stream.answered(1);
    stream.grpc.pause();
    const held = holdCalls(small);
    stream.send(ids(2, 40).map((call) => ({ ...call, ...FETCH })));
    stream.send([{ id: 41, path: API.listCollections.path, request: Buffer.alloc(0) }]);
    await waitUntil('all are held', () => held.length === 40);
    small.backend.before = () => undefined;
    for (const { release } of held) release();
    await waitUntil('none is worked on', () => isIdle(small));
    stream.grpc.resume();
    const wholeAnswers = () => stream.answers.filter(({ more }) => !more);
    await waitUntil('all are answered', () => wholeAnswers().length === 41);
    const refused = wholeAnswers().filter(({ code }) => code === Status.RESOURCE_EXHAUSTED);
    expect(new Set(refused.map(({ id }) => stream.reasonOf(id)))).toEqual(
      new Set(['TOO_MANY_REQUESTS']),
    );
    // About a megabyte each: three wait, and those that the connection has taken beside them.
    expect(refused.length).toBeGreaterThan(20);
    expect(refused.length).toBeLessThan(39);
    // What may have changed something is answered, whatever waits.
    expect(stream.answerTo(41)?.code).toBe(Status.OK);
    stream.send([{ id: 42, ...FETCH }]);
    await waitUntil('there is room again', () => wholeAnswers().length === 42);
    expect(stream.answerTo(42)?.code).toBe(Status.OK);
  });

  it('gets no more calls served than its stream may have, and loses none (C5, P-10)', async () => {
    const records = Array.from({ length: 250 }, (_, at) => ({
      id: `record-${at}`,
      values: [1, 2, 3, 4],
      metadata: { text: 'x'.repeat(4_000) },
    }));
    await harness.client().collection('notes').upsert(records);
    using stream = open();
    await new Promise((resolve) => {
      stream.send([{ id: 1 }]);
      stream.grpc.once('data', resolve);
    });
    stream.grpc.pause();
    const served = () => harness.backend.calls.filter((call) => call === 'fetch').length;
    const request = API.fetch.encodeRequest({
      collection: 'notes',
      ids: records.map(({ id }) => id),
    });
    const fetch = (id: number) => stream.send([{ id, path: API.fetch.path, request }]);
    for (let id = 2; id <= 5; id++) fetch(id);
    await waitUntil('the first are served', () => served() === 4);
    for (let id = 6; id <= 41; id++) fetch(id);
    // Goes past the stream: a node that reads had read all of the above before.
    for (let i = 0; i < 20; i++) await harness.client().collection('plain').count();
    expect(served()).toBe(4);
    stream.grpc.resume();
    const wholeAnswers = () => stream.answers.filter(({ more }) => !more).length;
    await waitUntil('all are answered', () => wholeAnswers() === 41);
    expect(stream.answers.every(({ code }) => code === Status.OK)).toBe(true);
    expect(served()).toBe(40);
  });
});
