// Goal: whatever a caller does, it gets the same over a stream as by a unary call (C1).
// Method: every method of the API with bad and random requests, over both transports.
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Connections } from '../../src/client/connections.js';
import type { CallTransport } from '../../src/client/options.js';
import { API, type ApiMethod } from '../../src/shared/codec/public-api.js';
import { ERRORS, type ErrorReason } from '../../src/shared/error-codes.js';
import { FlotillaError, isFlotillaError } from '../../src/shared/errors.js';
import { LIMITS } from '../../src/shared/limits.js';
import { COLLECTION } from './fake-backend.js';
import { type Harness, startHarness } from './harness.js';

type RawMethod = ApiMethod<Uint8Array, Uint8Array>;

/** The methods with messages as plain bytes. */
const METHODS: readonly RawMethod[] = Object.values(API).map(({ path }) => ({
  path,
  encodeRequest: (bytes) => Buffer.from(bytes),
  decodeRequest: (bytes) => bytes,
  encodeResponse: (bytes) => Buffer.from(bytes),
  decodeResponse: (bytes) => Uint8Array.from(bytes),
}));
const BY_NAME = METHODS.map((method) => [method.path.split('.').at(-1) ?? '', method] as const);
const TRANSPORTS: readonly CallTransport[] = ['unary', 'stream'];

let harness: Harness;
let open: Map<CallTransport, Connections>;

async function start(options: Parameters<typeof startHarness>[0] = {}): Promise<void> {
  harness = await startHarness(options);
  open = new Map(TRANSPORTS.map((kind) => [kind, new Connections([harness.address], kind)]));
}

async function stop(): Promise<void> {
  for (const connections of open.values()) connections.close();
  await harness[Symbol.asyncDispose]();
}

beforeEach(() => start());
afterEach(stop);

/** The answer in hexadecimal digits, or all that the error says. */
async function outcomeOf(
  kind: CallTransport,
  method: RawMethod,
  request: Uint8Array,
  writes = true,
): Promise<unknown> {
  const deadlineMs = Date.now() + 30_000;
  try {
    const answer = await open.get(kind)?.attempt(method, request, { deadlineMs, writes });
    return Buffer.from(answer ?? []).toString('hex');
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const { code, retryable, outcome, body } = error;
    return { code, retryable, outcome, body };
  }
}

/** One after the other, each on the same collections: one method drops them. */
async function bothOutcomes(method: RawMethod, request: Uint8Array): Promise<unknown[]> {
  const outcomes: unknown[] = [];
  for (const kind of TRANSPORTS) {
    harness.backend.collections.set(COLLECTION.name, COLLECTION);
    outcomes.push(await outcomeOf(kind, method, request));
  }
  return outcomes;
}

const collectionNamed = (name: string): Uint8Array =>
  Buffer.concat([Buffer.from([0x0a, name.length]), Buffer.from(name)]);

describe.each(BY_NAME)('%s', (_name, method) => {
  it('answers bad requests alike over both transports', async () => {
    const requests = [
      Buffer.alloc(0),
      Buffer.from([0xff]),
      Buffer.from([0x0a, 0x05, 0x61]),
      Buffer.from([0x0a, 0x01, 0xff]),
      collectionNamed('nothing-of-this-name'),
      collectionNamed('x'.repeat(100)),
      Buffer.concat([collectionNamed('notes'), Buffer.from([0x12, 0x00])]),
    ];
    for (const request of requests) {
      const [unary, streamed] = await bothOutcomes(method, request);
      expect(streamed).toEqual(unary);
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 12 }), async (request) => {
        const [unary, streamed] = await bothOutcomes(method, request);
        expect(streamed).toEqual(unary);
      }),
      { numRuns: 15 },
    );
  });

  it('is refused alike where the node is busy, and without credentials', async () => {
    for (const options of [
      { inflightMax: 0 },
      { inflightBytesMax: -1 },
      {
        authenticator: {
          authenticate: () => {
            throw new FlotillaError('UNAUTHENTICATED', 'no valid key');
          },
        },
      },
    ]) {
      await stop();
      await start(options);
      const [unary, streamed] = await bothOutcomes(method, Buffer.alloc(0));
      expect(streamed).toEqual(unary);
      expect(streamed).toHaveProperty('code');
      expect(harness.backend.calls).toEqual([]);
    }
  });
});

describe('errors of the backend', () => {
  const count = METHODS.find(({ path }) => path === API.count.path) as RawMethod;

  it.each(Object.keys(ERRORS) as ErrorReason[])('%s is the same', async (reason) => {
    harness.backend.before = () => {
      throw new FlotillaError(reason, `what happened: ${reason} – §1 ${'x'.repeat(2_000)}`, {
        field: 'records[3].values',
        limit: 'idBytesMax',
        details: { leaderNodeId: '3' },
      });
    };
    const [unary, streamed] = await bothOutcomes(count, collectionNamed('notes'));
    expect(streamed).toEqual(unary);
    expect(streamed).toMatchObject({ body: { reason } });
  });

  it('and bugs are the same', async () => {
    harness.backend.before = () => {
      throw new TypeError('a bug');
    };
    const [unary, streamed] = await bothOutcomes(count, collectionNamed('notes'));
    expect(streamed).toEqual(unary);
  });

  it('a method that there is none of is the same', async () => {
    const nothing = { ...count, path: '/flotilla.v1.Records/Nothing' };
    const outcomes = await bothOutcomes(nothing, Buffer.alloc(0));
    expect(outcomes).toMatchObject(Array(2).fill({ body: { reason: 'UNIMPLEMENTED' } }));
  });
});

describe('sizes', () => {
  const upsert = METHODS.find(({ path }) => path === API.upsert.path) as RawMethod;

  it.each([0, 1])('a request at the limit and %i above it is the same', async (more) => {
    const name = collectionNamed('nothing');
    const field = Buffer.from([0xfa, 0x01]);
    const headBytes = name.length + field.length + 4;
    const padding = LIMITS.requestBytesMax.value + more - headBytes;
    const length = Buffer.from([
      (padding & 0x7f) | 0x80,
      ((padding >> 7) & 0x7f) | 0x80,
      ((padding >> 14) & 0x7f) | 0x80,
      padding >> 21,
    ]);
    const request = Buffer.concat([name, field, length, Buffer.alloc(padding)]);
    expect(request.length).toBe(LIMITS.requestBytesMax.value + more);
    const [unary, streamed] = await bothOutcomes(upsert, request);
    expect(streamed).toEqual(unary);
    const reason = more === 0 ? 'COLLECTION_NOT_FOUND' : 'LIMIT_EXCEEDED';
    expect(streamed).toMatchObject({ body: { reason } });
  });
});
