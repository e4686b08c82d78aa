// Goal: how fresh reads are to be, and were, means on the wire what the .proto file says.
// Method: random messages both ways against protobufjs; what older versions see of them.
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { PROTO_DIRECTORY } from '../../../src/server/reflection.js';
import type { RequestedFreshness } from '../../../src/shared/codec/freshness-messages.js';
import { API } from '../../../src/shared/codec/public-api.js';
import type { SeenShard, ServedShard } from '../../../src/shared/consistency.js';
import { LIMITS } from '../../../src/shared/limits.js';

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => `${PROTO_DIRECTORY}/${target}`;
root.loadSync(['flotilla/v1/flotilla.proto']);

const number = fc.maxSafeNat();
const small = fc.nat(2 ** 32 - 1);
const seen: fc.Arbitrary<SeenShard> = fc.record({
  shardId: small,
  ownershipVersion: number,
  appliedIndex: number,
});
const served: fc.Arbitrary<ServedShard> = fc.record(
  {
    shardId: small,
    nodeId: small,
    ownershipVersion: number,
    appliedIndex: number,
    ageMs: number,
  },
  { requiredKeys: ['shardId', 'nodeId', 'ownershipVersion', 'appliedIndex'] },
);
const freshness: fc.Arbitrary<RequestedFreshness> = fc.oneof(
  fc.constant(undefined),
  fc.constant('eventual' as const),
  fc.record({ boundedMs: number }),
  fc.record({ session: fc.array(seen, { maxLength: 4 }) }),
);

const VECTOR = new Uint8Array(4);
const QUERY = { vector: VECTOR, k: 1, offset: 0, ef: 0, includeValues: false };

const REQUESTS = [
  ['FetchRequest', API.fetch, { collection: 'c', ids: ['a'] }],
  ['CountRequest', API.count, { collection: 'c' }],
  ['SearchRequest', API.search, { collection: 'c', query: QUERY, allowPartial: true }],
  ['SearchBatchRequest', API.searchBatch, { collection: 'c', queries: [], allowPartial: true }],
  ['ScrollRequest', API.scroll, { collection: 'c', limit: 1, cursor: '', includeValues: true }],
] as const;

const SHARDS = { total: 1, ok: 1, failed: [] };
const EXPLAINED = {
  shards: [],
  epoch: 1,
  failed: [],
  degraded: false,
  skipped: [],
  attempts: [],
  stages: { routeMs: 0, fanOutMs: 0, mergeMs: 0 },
  cache: { verdict: '', reason: '' },
};
const FOUND = { shards: SHARDS, degraded: false, epoch: 3 };

const RESPONSES = [
  ['FetchResponse', API.fetch, { records: [] }],
  ['CountResponse', API.count, { count: 3 }],
  ['SearchResponse', API.search, { hits: [], ...FOUND }],
  ['SearchBatchResponse', API.searchBatch, { results: [], ...FOUND }],
  ['ScrollResponse', API.scroll, { records: [], cursor: 'x', epoch: 1 }],
  ['ExplainResponse', API.explain, EXPLAINED],
] as const;

const WRITES = [
  ['UpsertResponse', API.upsert, { outcomes: [] }],
  ['PatchResponse', API.patch, { outcomes: [] }],
  ['DeleteResponse', API.delete, { outcomes: [] }],
  ['DeleteByFilterResponse', API.deleteByFilter, { deletedCount: 2, cursor: '' }],
] as const;

interface Codec {
  readonly encodeRequest: (message: never) => Uint8Array;
  readonly decodeRequest: (bytes: Uint8Array) => object;
  readonly encodeResponse: (message: never) => Uint8Array;
  readonly decodeResponse: (bytes: Uint8Array) => object;
}

/** As protobufjs sees the bytes, numbers as numbers. */
function stock(type: string, bytes: Uint8Array): Record<string, unknown> {
  const found = root.lookupType(`flotilla.v1.${type}`);
  return found.toObject(found.decode(bytes), { longs: Number });
}

function stockFreshness(level: RequestedFreshness): unknown {
  if (level === 'eventual') return { eventual: true };
  if (level === undefined || 'boundedMs' in level) return level;
  return { session: level.session.length === 0 ? {} : { shards: level.session.map(bare) } };
}

/** Without what is zero, which is not on the wire; an age of zero is. */
function bare(part: SeenShard | ServedShard): object {
  const isThere = ([name, value]: [string, unknown]): boolean => value !== 0 || name === 'ageMs';
  return Object.fromEntries(Object.entries(part).filter(isThere));
}

describe('how fresh a read is to be', () => {
  it.each(REQUESTS)('is a field of %s of its own', (type, method, request) => {
    const codec = method as unknown as Codec;
    fc.assert(
      fc.property(freshness, (level) => {
        const bytes = codec.encodeRequest({ ...request, freshness: level } as never);
        expect(stock(type, bytes).freshness).toEqual(stockFreshness(level));
        expect(codec.decodeRequest(bytes)).toMatchObject({ freshness: level });
        // Whoever does not know the field reads strongly: the word that it knows is not there.
        expect(stock(type, bytes).consistency).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });

  it('is nothing where a later version asks for what this one does not know', () => {
    const unknown = Buffer.from([0x7a, 2, 0x48, 1]);
    const bytes = Buffer.concat([API.count.encodeRequest({ collection: 'c' }), unknown]);
    expect(API.count.decodeRequest(bytes)).toMatchObject({ collection: 'c' });
    expect(API.count.decodeRequest(bytes).freshness).toBeUndefined();
  });

  it('names as many shards as there may be, and no more (P-9)', () => {
    const sessionOf = (length: number): Uint8Array => {
      const session = Array.from({ length }, (_, shardId) => {
        return { shardId, ownershipVersion: 1, appliedIndex: 1 };
      });
      return API.count.encodeRequest({ collection: 'c', freshness: { session } });
    };
    const { value } = LIMITS.shardsMax;
    for (const length of [value - 1, value]) {
      const { freshness: read } = API.count.decodeRequest(sessionOf(length));
      expect((read as { session: unknown[] }).session).toHaveLength(length);
    }
    expect(() => API.count.decodeRequest(sessionOf(value + 1))).toThrow(/limit/);
  });
});

describe('where an answer comes from', () => {
  it.each(RESPONSES)('is in %s', (type, method, response) => {
    const codec = method as unknown as Codec;
    fc.assert(
      fc.property(fc.array(served, { maxLength: 5 }), (parts) => {
        const bytes = codec.encodeResponse({ ...response, served: parts } as never);
        expect(stock(type, bytes).served ?? []).toEqual(parts.map(bare));
        expect(codec.decodeResponse(bytes)).toMatchObject({ ...response, served: parts });
      }),
      { numRuns: 40 },
    );
  });

  it('is never younger than it was: ages are rounded up', () => {
    const part = { shardId: 1, nodeId: 1, ownershipVersion: 1, appliedIndex: 1, ageMs: 0.01 };
    const bytes = API.count.encodeResponse({ count: 1, served: [part] });
    expect(API.count.decodeResponse(bytes).served?.[0]?.ageMs).toBe(1);
  });

  it.each(WRITES)('and what was written is in %s', (type, method, response) => {
    const codec = method as unknown as Codec;
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 5 }), (written) => {
        const bytes = codec.encodeResponse({ ...response, written } as never);
        expect(stock(type, bytes).written ?? []).toEqual(written.map(bare));
        expect(codec.decodeResponse(bytes)).toMatchObject({ ...response, written });
      }),
      { numRuns: 40 },
    );
  });
});
