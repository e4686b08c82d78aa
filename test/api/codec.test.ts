// Goal: the hand-written codec of the public API means exactly what the .proto files mean.
// Method: random messages both ways against protobufjs, and fixtures for odd and broken bytes.
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { PROTO_DIRECTORY } from '../../src/server/reflection.js';
import { floatsOf, MalformedBytesError } from '../../src/shared/bytes.js';
import type * as admin from '../../src/shared/codec/admin-messages.js';
import * as api from '../../src/shared/codec/api-messages.js';
import type { ShardExplanation } from '../../src/shared/codec/explain-messages.js';
import { NO_BYTES, ProtobufReader, ProtobufWriter } from '../../src/shared/codec/protobuf-wire.js';
import { API, type ApiMethod, SERVICES } from '../../src/shared/codec/public-api.js';
import type * as search from '../../src/shared/codec/search-messages.js';
import { decodeStruct, encodeStruct, type JsonObject } from '../../src/shared/codec/struct.js';
import type { ShardVerification } from '../../src/shared/codec/verify-messages.js';
import { ERRORS, type ErrorReason } from '../../src/shared/error-codes.js';
import { LIMITS } from '../../src/shared/limits.js';
import {
  FIELD_TYPES,
  METRICS,
  PLACEMENT_NAMES,
  READ_CONSISTENCIES,
  ROUTINGS,
  type WriteOutcome,
} from '../../src/shared/types.js';

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => `${PROTO_DIRECTORY}/${target}`;
root.loadSync(['flotilla/v1/flotilla.proto', 'flotilla/v1/admin.proto']);

type Plain = Record<string, unknown>;

/** Encodes with protobufjs a plain object in protobufjs's own form. */
function stockEncode(type: string, message: Plain): Uint8Array {
  const found = root.lookupType(`flotilla.v1.${type}`);
  return found.encode(found.fromObject(message)).finish();
}

/** The same in protobufjs's eyes, whichever codec wrote the bytes. */
function stockDecode(type: string, bytes: Uint8Array): unknown {
  const found = root.lookupType(`flotilla.v1.${type}`);
  return found.toObject(found.decode(bytes), { longs: String, enums: String });
}

/** Default values and absent fields mean the same in proto3. */
function withoutDefaults(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDefaults);
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, withoutDefaults(inner)]);
  return Object.fromEntries(entries.filter(([, inner]) => !isDefault(inner)));
}

function isDefault(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === 'string')
    return value === '' || value === '0' || /_UNSPECIFIED$/.test(value);
  return value === undefined || value === false || Object.is(value, 0);
}

/** Views and Buffers compare by content, vectors by float, metadata by value. */
function comparable(value: unknown, key = ''): unknown {
  if (value instanceof Uint8Array) {
    if (key === 'metadata') return decodeStruct(value);
    return key === 'filter' ? Buffer.from(value).toString('hex') : [...floatsOf(value)];
  }
  if (Array.isArray(value)) return value.map((inner) => comparable(inner));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([name, inner]) => [name, comparable(inner, name)]),
  );
}

const text = fc.string({ unit: 'grapheme', maxLength: 60 });
const count = fc.nat({ max: 2 ** 32 - 1 });
const large = fc.maxSafeNat();
const float = fc.float({ noDefaultInfinity: false });
const values = fc
  .array(float, { maxLength: 40 })
  .map((list) => new Uint8Array(Float32Array.from(list).buffer));
const someValues = values.filter((bytes) => bytes.length > 0);
const metadata = fc
  .dictionary(
    fc.string({ maxLength: 8 }),
    fc.oneof(text, fc.boolean(), fc.constant(null), fc.nat()),
    {
      minKeys: 1,
      maxKeys: 4,
    },
  )
  .map((object) => encodeStruct({ ...object } as JsonObject));
const version = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

const consistency = maybe(fc.constantFrom(...READ_CONSISTENCIES));

const requestKey = fc.record({
  clientId: text,
  clientStampMs: large,
  sequence: large,
  lowestUnanswered: large,
});
/** Absent and empty are the same. */
const someText = maybe(text.filter((one) => one !== ''));
const tenantFields = { tenant: someText, allTenants: maybe(fc.constant(true)) };
const writeTenant = { tenant: someText };
const owner = { tenant: someText, shardKey: someText };
const shardKeys = fc.array(text, { maxLength: 3 });
const readScope = {
  ...tenantFields,
  shardKeys: maybe(fc.array(text, { minLength: 1, maxLength: 3 })),
};
const query: fc.Arbitrary<search.SearchQueryMessage> = fc.record({
  vector: values,
  id: maybe(text),
  shardKey: someText,
  k: count,
  offset: count,
  ef: count,
  scoreThreshold: maybe(float),
  filter: maybe(metadata),
  includeValues: fc.boolean(),
  includeMetadata: maybe(fc.boolean()),
  shardK: maybe(count),
});
const hit: fc.Arbitrary<search.HitMessage> = fc.record({
  ...owner,
  id: text,
  distance: float,
  version,
  values: maybe(someValues),
  metadata: maybe(metadata),
});
const stored = fc.record({
  ...owner,
  id: text,
  version,
  expiresAtMs: maybe(large),
  values: maybe(someValues),
  metadata: maybe(metadata),
});
const shards = fc.record({ total: count, ok: count, failed: fc.array(count, { maxLength: 5 }) });
const provenance = {
  shards,
  degraded: fc.boolean(),
  epoch: large,
  cutQueries: fc.array(count, { maxLength: 4 }),
};
const reasons = Object.keys(ERRORS) as ErrorReason[];
const outcome: fc.Arbitrary<WriteOutcome> = fc.oneof(
  fc.record({ kind: fc.constant('applied' as const), version, existed: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom('not-applied' as const, 'unknown' as const),
    error: fc.record({ reason: fc.constantFrom(...reasons), message: text }),
  }),
  fc.record({
    kind: fc.constant('not-applied' as const),
    error: fc.record({
      reason: fc.constant('VERSION_CONFLICT' as const),
      message: text,
      details: version.map((current) => ({ currentVersion: String(current) })),
    }),
  }),
);
const ifVersion = maybe(version.map(String));
const collection: fc.Arbitrary<admin.CollectionRequest> = fc.record({
  name: text,
  dimension: count,
  metric: maybe(fc.constantFrom(...METRICS)),
  m: count,
  efConstruction: count,
  indexedFields: fc.array(fc.record({ path: text, type: maybe(fc.constantFrom(...FIELD_TYPES)) }), {
    maxLength: 4,
  }),
  ttlMs: maybe(fc.integer({ min: 1, max: 2 ** 40 })),
  // What is the default is not written out.
  routing: maybe(fc.constantFrom('shardKey', 'tenant')),
  placement: maybe(fc.constantFrom('modulo', 'rendezvous', 'virtual-shards', 'range')),
  splitPoints: maybe(fc.array(text, { minLength: 1, maxLength: 3 })),
});
const tenantChange = { tenant: text, shardId: maybe(count), by: text };
const info: fc.Arbitrary<admin.CollectionInfo> = fc.record({
  config: collection.map(({ ttlMs, routing, placement, splitPoints, ...config }) => ({
    ...config,
    ...(ttlMs !== undefined && { ttlMs }),
    ...((routing === 'shardKey' || routing === 'tenant') && { routing }),
    ...(placement === 'modulo' || placement === 'range' ? { placement } : {}),
    ...(splitPoints !== undefined && { splitPoints }),
    metric: config.metric === undefined || config.metric === 'unknown' ? 'dot' : config.metric,
    indexedFields: config.indexedFields.flatMap(({ path, type }) => (type ? [{ path, type }] : [])),
  })),
  recordCount: maybe(large),
  state: fc.constantFrom('creating', 'active', 'dropping'),
});
const replica = fc.record({
  nodeId: count,
  replicaId: count,
  state: text,
  term: large,
  commitIndex: large,
  appliedIndex: large,
  lastIndex: large,
  lagEntries: large,
  fault: text,
  contentHash: text,
  contentIndex: large,
  engine: maybe(
    fc.record({
      headRows: large,
      graphPoints: large,
      graphTombstones: large,
      renewing: fc.boolean(),
      graphsLoading: large,
      graphsRebuilding: large,
    }),
  ),
});
const change = fc.record({
  stage: text,
  addReplicaId: count,
  addNodeId: count,
  removeReplicaId: count,
  removeNodeId: count,
  lagEntries: large,
  doneBytes: large,
  sizeBytes: large,
  bytesPerSecond: large,
  leftMs: maybe(large),
  problem: text,
  id: count,
});
const groupRequest = { shardId: maybe(count), topology: fc.boolean(), nodeId: count };
const group = fc.record({
  change: maybe(change),
  shardId: count,
  leaderNodeId: count,
  term: large,
  slots: count,
  recordCount: large,
  replicas: fc.array(replica, { maxLength: 3 }),
});
const explanation: fc.Arbitrary<ShardExplanation> = fc.record({
  shardId: count,
  plan: text,
  reason: text,
  records: large,
  estimatedMatches: large,
  matches: maybe(large),
  indexedFields: fc.array(text, { maxLength: 3 }),
  scannedFields: fc.array(text, { maxLength: 3 }),
  visited: large,
  compared: large,
  durationMs: float,
  choice: text,
  waitedMs: float,
  networkMs: float,
  foundHits: count,
  usedHits: count,
});
const holding = fc.record({ nodeId: count, records: large, hash: text });
const verification: fc.Arbitrary<ShardVerification> = fc.record({
  shardId: count,
  index: large,
  problem: text,
  replicas: fc.array(fc.record({ nodeId: count, problem: text }), { maxLength: 3 }),
  slots: count,
  differences: fc.array(
    fc.record({ collection: text, slot: count, holdings: fc.array(holding, { maxLength: 3 }) }),
    { maxLength: 2 },
  ),
  damages: fc.array(fc.record({ collection: text, slot: count, kept: holding, found: holding }), {
    maxLength: 2,
  }),
});
const node = fc.record({
  nodeId: count,
  peerAddress: text,
  clientAddress: text,
  httpAddress: text,
  reachable: fc.boolean(),
  instructionSet: text,
  distancesPerSecond: count,
  zone: text,
});

/** The words of our messages, by their numbers in the .proto files. */
const ENUMS: Readonly<Record<string, readonly unknown[]>> = {
  metric: [undefined, ...METRICS],
  consistency: [undefined, ...READ_CONSISTENCIES],
  type: [undefined, ...FIELD_TYPES],
  mode: [undefined, ...api.WRITE_MODES],
  kind: [undefined, 'applied', 'not-applied', 'unknown'],
  routing: ROUTINGS,
  placement: PLACEMENT_NAMES,
};

/** Our messages in protobufjs's form: floats as numbers, metadata as a decoded Struct. */
function stockForm(value: unknown, key = ''): unknown {
  if (value instanceof Uint8Array) {
    if (key !== 'metadata' && key !== 'filter') return [...floatsOf(value)];
    if (key === 'metadata' && value.length === 0) return undefined;
    return root.lookupType('google.protobuf.Struct').decode(value);
  }
  if (typeof value === 'bigint') return value === 0n ? '' : String(value);
  const words = ENUMS[key];
  if (words !== undefined) return Math.max(0, words.indexOf(value));
  if (Array.isArray(value)) {
    return key === 'results'
      ? value.map((hits) => ({ hits: stockForm(hits) }))
      : value.map((inner) => stockForm(inner));
  }
  if (typeof value !== 'object' || value === null) return value;
  const { error, ...rest } = value as Plain;
  const { details, ...failure } = (error as Plain | undefined) ?? {};
  const flat = { ...rest, ...failure, ...(details as Plain | undefined) };
  const entries = Object.entries(flat).map(([name, inner]) => [name, stockForm(inner, name)]);
  return Object.fromEntries(entries.filter(([, inner]) => inner !== undefined));
}

interface Case<T> {
  readonly type: string;
  readonly messages: fc.Arbitrary<T>;
  readonly encode: (message: T) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => T;
  /** Where the .proto message is not our message: a name alone, a list alone. */
  readonly wrap?: (message: T) => Plain;
}

const cases = [
  request('UpsertRequest', API.upsert, {
    collection: text,
    records: fc.array(
      fc.record({
        id: text,
        values,
        metadata: fc.oneof(metadata, fc.constant(NO_BYTES)),
        ifVersion,
        ttlMs: maybe(large),
        shardKey: someText,
      }),
      { maxLength: 4 },
    ),
    ...writeTenant,
    idempotencyKey: maybe(requestKey),
    mode: maybe(fc.constantFrom(...api.WRITE_MODES)),
  } satisfies Fields<api.UpsertRequest>),
  response(
    'UpsertResponse',
    API.upsert,
    { outcomes: fc.array(outcome, { maxLength: 5 }) },
    addCount,
  ),
  request('PatchRequest', API.patch, {
    collection: text,
    patches: fc.array(
      fc.record({
        id: text,
        metadata: fc.oneof(metadata, fc.constant(NO_BYTES)),
        ifVersion,
        shardKey: someText,
      }),
      { maxLength: 4 },
    ),
    ...writeTenant,
    idempotencyKey: maybe(requestKey),
  }),
  response('PatchResponse', API.patch, { outcomes: fc.array(outcome, { maxLength: 5 }) }, addCount),
  request('DeleteRequest', API.delete, {
    collection: text,
    ...writeTenant,
    shardKeys,
    ids: fc.array(text, { maxLength: 5 }),
    idempotencyKey: maybe(requestKey),
    ifVersions: fc.array(fc.oneof(fc.constant(''), fc.constant('12')), { maxLength: 5 }),
  }),
  response(
    'DeleteResponse',
    API.delete,
    { outcomes: fc.array(outcome, { maxLength: 5 }) },
    addCount,
  ),
  request('FetchRequest', API.fetch, {
    collection: text,
    ...writeTenant,
    shardKeys,
    ids: fc.array(text, { maxLength: 5 }),
    includeValues: maybe(fc.boolean()),
    includeMetadata: maybe(fc.boolean()),
    consistency,
  }),
  response('FetchResponse', API.fetch, { records: fc.array(stored, { maxLength: 4 }) }),
  request('SearchRequest', API.search, {
    collection: text,
    ...readScope,
    query: maybe(query),
    allowPartial: fc.boolean(),
    consistency,
  }),
  response('SearchResponse', API.search, { hits: fc.array(hit, { maxLength: 5 }), ...provenance }),
  request('SearchBatchRequest', API.searchBatch, {
    collection: text,
    ...readScope,
    queries: fc.array(query, { maxLength: 4 }),
    allowPartial: fc.boolean(),
    consistency,
  }),
  response('SearchBatchResponse', API.searchBatch, {
    results: fc.array(fc.array(hit, { maxLength: 4 }), { maxLength: 4 }),
    ...provenance,
  }),
  request('CountRequest', API.count, {
    collection: text,
    ...readScope,
    consistency,
    filter: maybe(metadata),
  }),
  response('CountResponse', API.count, { count: large }),
  request('ScrollRequest', API.scroll, {
    collection: text,
    ...readScope,
    filter: maybe(metadata),
    limit: count,
    cursor: text,
    includeValues: fc.boolean(),
    includeMetadata: maybe(fc.boolean()),
    consistency,
  }),
  response('ScrollResponse', API.scroll, {
    records: fc.array(stored, { maxLength: 4 }),
    cursor: text,
    epoch: large,
  }),
  request('DeleteByFilterRequest', API.deleteByFilter, {
    collection: text,
    ...writeTenant,
    filter: maybe(metadata),
    shardKeyFilter: maybe(fc.record({ shardKeys, filter: maybe(metadata) })),
    cursor: text,
  }),
  response('DeleteByFilterResponse', API.deleteByFilter, { deletedCount: large, cursor: text }),
  response('ExplainResponse', API.explain, {
    shards: fc.array(explanation, { maxLength: 3 }),
    epoch: large,
    failed: fc.array(count, { maxLength: 5 }),
    degraded: fc.boolean(),
    skipped: fc.array(fc.record({ shardId: count, why: text }), { maxLength: 3 }),
    attempts: fc.array(
      fc.record({ shardId: count, nodeId: count, choice: text, reason: text, durationMs: float }),
      { maxLength: 3 },
    ),
    stages: fc.record({ routeMs: float, fanOutMs: float, mergeMs: float }),
    cache: fc.record({ verdict: text, reason: text }),
  }),
  request('GetRoutesRequest', API.getRoutes, { collection: text, tenant: text }),
  response('GetRoutesResponse', API.getRoutes, {
    clusterId: text,
    epoch: large,
    answeredBy: count,
    nodes: fc.array(fc.record({ nodeId: count, clientAddress: text, zone: someText }), {
      maxLength: 3,
    }),
    shards: fc.array(
      fc.record({
        shardId: count,
        leaderNodeId: count,
        replicaNodeIds: fc.array(count, { maxLength: 3 }),
      }),
      { maxLength: 3 },
    ),
    collection: maybe(
      fc.record({
        routedBy: fc.constantFrom(...ROUTINGS),
        slotTable: fc.array(count, { maxLength: 9 }),
        tenantShardId: maybe(count),
      }),
    ),
  }),
  request('VerifyRequest', API.verify, { collection: text, deep: fc.boolean() }),
  response('VerifyResponse', API.verify, { shards: fc.array(verification, { maxLength: 3 }) }),
  requestOf('CreateCollectionRequest', collection, API.createCollection, (config) => ({
    config,
  })),
  requestOf('DescribeCollectionRequest', text, API.describeCollection, (name) => ({
    name,
  })),
  requestOf('DropCollectionRequest', text, API.dropCollection, (name) => ({ name })),
  responseOf('CreateCollectionResponse', info, API.createCollection, (collectionInfo) => ({
    collection: collectionInfo,
  })),
  responseOf('DescribeCollectionResponse', info, API.describeCollection, (found) => ({
    collection: found,
  })),
  responseOf(
    'ListCollectionsResponse',
    fc.array(info, { maxLength: 4 }),
    API.listCollections,
    (collections) => ({ collections }),
  ),
  response('GetStatusResponse', API.getStatus, {
    clusterId: text,
    epoch: large,
    answeredBy: count,
    nodes: fc.array(node, { maxLength: 3 }),
    shards: fc.array(group, { maxLength: 3 }),
    topology: group,
    healthy: fc.boolean(),
  }),
  request('ReplicaRequest', API.resetReplica, { ...groupRequest, changeId: count }),
  response('ReplicaResponse', API.addReplica, { change: maybe(change), epoch: large }),
  request('LeaderRequest', API.elect, { ...groupRequest, changeId: fc.constant(0) }),
  response('LeaderResponse', API.stepDown, { leaderNodeId: count }),
  request('TenantChangeRequest', API.assignTenant, tenantChange),
  response('TenantChangeResponse', API.dedicateShard, { changed: fc.boolean(), epoch: large }),
  response('DescribeTenantsResponse', API.describeTenants, {
    assignments: fc.array(fc.record({ tenant: text, shardId: count }), { maxLength: 3 }),
    dedicatedShards: fc.array(count, { maxLength: 3 }),
    shards: fc.array(fc.record({ shardId: count, tenants: large, vectors: large }), {
      maxLength: 3,
    }),
    findings: fc.array(
      fc.record({ shardId: count, what: text, level: text, count: large, max: large }),
      { maxLength: 3 },
    ),
    audit: fc.array(
      fc.record({
        changeId: large,
        action: text,
        tenant: text,
        shardId: maybe(count),
        fromShardId: maybe(count),
        by: text,
        atMs: large,
        refused: text,
      }),
      { maxLength: 3 },
    ),
    change: maybe(
      fc.record({
        changeId: large,
        action: text,
        tenant: text,
        shardId: maybe(count),
        by: text,
        atMs: large,
        stage: text,
      }),
    ),
  }),
  request('DescribeTenantsRequest', API.describeTenants, { withoutUsage: fc.boolean() }),
  requestOf('CancelTenantChangeRequest', large, API.cancelTenantChange, (changeId) => ({
    changeId,
  })),
  request('CountTenantsRequest', API.countTenants, {
    collection: text,
    after: maybe(text),
    limit: count,
  }),
  response('CountTenantsResponse', API.countTenants, {
    counts: fc.array(fc.record({ tenant: text, shardId: count, records: large }), { maxLength: 3 }),
    hasMore: fc.boolean(),
  }),
  requestOf('ReadmitNodeRequest', count, API.readmitNode, (nodeId) => ({ nodeId })),
  response('ReadmitNodeResponse', API.readmitNode, { storeId: text, replicas: count }),
];

type Fields<T> = { [K in keyof T]: fc.Arbitrary<T[K]> };

function addCount(message: api.WriteResponse): Plain {
  const applied = message.outcomes.filter(({ kind }) => kind === 'applied');
  return { ...message, appliedCount: applied.length };
}

function request<T extends object, R>(type: string, method: ApiMethod<T, R>, fields: Fields<T>) {
  return requestOf(type, fc.record(fields) as unknown as fc.Arbitrary<T>, method);
}

function response<R, T extends object>(
  type: string,
  method: ApiMethod<R, T>,
  fields: Fields<T>,
  wrap?: (message: T) => Plain,
) {
  return responseOf(type, fc.record(fields) as unknown as fc.Arbitrary<T>, method, wrap);
}

function requestOf<T, R>(
  type: string,
  messages: fc.Arbitrary<T>,
  { encodeRequest: encode, decodeRequest: decode }: ApiMethod<T, R>,
  wrap?: (message: T) => Plain,
): Case<unknown> {
  return { type, messages, encode, decode, wrap } as unknown as Case<unknown>;
}

function responseOf<R, T>(
  type: string,
  messages: fc.Arbitrary<T>,
  { encodeResponse: encode, decodeResponse: decode }: ApiMethod<R, T>,
  wrap?: (message: T) => Plain,
): Case<unknown> {
  return { type, messages, encode, decode, wrap } as unknown as Case<unknown>;
}

describe('the codec of the public API agrees with protobufjs', () => {
  it.each(cases)('on $type, both ways', ({ type, messages, encode, decode, wrap }) => {
    fc.assert(
      fc.property(messages, (message) => {
        const stock = stockForm(wrap ? wrap(message) : message) as Plain;
        const stockBytes = stockEncode(type, stock);
        expect(withoutDefaults(comparable(decode(stockBytes)))).toEqual(
          withoutDefaults(comparable(message)),
        );
        const ours = encode(message);
        expect(withoutDefaults(stockDecode(type, ours))).toEqual(
          withoutDefaults(stockDecode(type, stockBytes)),
        );
        expect(comparable(decode(ours))).toEqual(comparable(decode(stockBytes)));
      }),
      { numRuns: 100 },
    );
  });

  it.each(cases)('and never hangs or crashes on cut or flipped bytes of $type (P-9)', (one) => {
    fc.assert(
      fc.property(one.messages, fc.nat(), fc.nat(255), fc.boolean(), (message, at, byte, cut) => {
        const bytes = Uint8Array.from(one.encode(message));
        const position = bytes.length === 0 ? 0 : at % bytes.length;
        if (!cut && bytes.length > 0) bytes[position] = byte;
        try {
          one.decode(cut ? bytes.subarray(0, position) : bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(MalformedBytesError);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('covers every method of the .proto files', () => {
    const paths = Object.values(SERVICES).flatMap((name) =>
      Object.keys(root.lookupService(name).methods).map((method) => `/${name}/${method}`),
    );
    expect(Object.values(API).map((method) => method.path)).toEqual(expect.arrayContaining(paths));
    expect(Object.keys(API)).toHaveLength(paths.length);
  });
});

describe('a vector arrives in every wire form', () => {
  const packed = (...list: number[]) => new Uint8Array(Float32Array.from(list).buffer);
  const record = (...fields: Uint8Array[]) => {
    const body = Buffer.concat(fields);
    return Buffer.concat([Buffer.from([0x12, body.length]), body]);
  };
  const chunk = (...list: number[]) =>
    Buffer.concat([Buffer.from([0x12, 4 * list.length]), packed(...list)]);
  const unpacked = (...list: number[]) =>
    Buffer.concat(list.map((value) => Buffer.concat([Buffer.from([0x15]), packed(value)])));
  const id = Buffer.from([0x0a, 1, 0x61]);
  const unknown = Buffer.from([
    0x78, 1, 0x7a, 2, 9, 9, 0x7d, 1, 2, 3, 4, 0x79, 1, 2, 3, 4, 5, 6, 7, 8,
  ]);

  it.each([
    ['packed', [id, chunk(1, 2, 3)]],
    ['in several packed chunks', [chunk(1), id, chunk(2, 3)]],
    ['with an empty chunk', [chunk(), chunk(1, 2), id, chunk(), chunk(3)]],
    ['unpacked, as protobufjs 7.5.0 sends it', [unpacked(1, 2, 3), id]],
    ['mixed', [unpacked(1), chunk(2), id, unpacked(3)]],
    ['among unknown fields', [unknown, chunk(1, 2), unknown, id, unknown, unpacked(3)]],
  ])('%s', (_form, fields) => {
    for (let shift = 0; shift < 4; shift++) {
      const bytes = Buffer.concat([Buffer.alloc(shift), record(...fields)]).subarray(shift);
      const [decoded] = API.upsert.decodeRequest(bytes).records;
      expect(decoded?.id).toBe('a');
      const { buffer, byteOffset, length } = decoded?.values ?? NO_BYTES;
      expect([...new Float32Array(buffer, byteOffset, length / 4)]).toEqual([1, 2, 3]);
    }
  });

  it('float by float in time that grows with its length only', () => {
    const floats = 200_000;
    const writer = new ProtobufWriter().open(2);
    for (let i = 0; i < floats; i++) writer.optionalFloat(2, i).optionalString(1, 'a');
    const [decoded] = API.upsert.decodeRequest(writer.close().finish()).records;
    expect(floatsOf(decoded?.values ?? NO_BYTES)).toEqual(
      Float32Array.from({ length: floats }, (_, i) => i),
    );
  });
});

describe('lists of requests are read up to their limit only (P-9, P-10)', () => {
  it.each([
    ['records', 'upsertRecordsMax', 0x12, API.upsert],
    ['ids', 'deleteIdsMax', 0x12, API.delete],
    ['ids', 'fetchIdsMax', 0x12, API.fetch],
    ['queries', 'searchBatchMax', 0x12, API.searchBatch],
  ] as const)('%s: %s', (field, limit, tag, { decodeRequest }) => {
    const { value } = LIMITS[limit];
    const empties = (count: number) => Buffer.alloc(2 * count).fill(Buffer.from([tag, 0]));
    expect(decodeRequest(empties(value))).toMatchObject({ [field]: { length: value } });
    expect(() => decodeRequest(empties(value + 1))).toThrow(
      expect.objectContaining({ reason: 'LIMIT_EXCEEDED', field }),
    );
    // What is beyond the limit is not even looked at.
    const garbage = Buffer.from([0xff, 0xff]);
    expect(() => decodeRequest(Buffer.concat([empties(value + 1), garbage]))).toThrow(
      expect.objectContaining({ reason: 'LIMIT_EXCEEDED', limit: { name: limit, value } }),
    );
  });

  it('shard keys of a delete by filter', () => {
    const { value } = LIMITS.scopeShardKeysMax;
    const deletes = (count: number) => {
      const shardKeyFilter = { shardKeys: Array<string>(count).fill(''), filter: NO_BYTES };
      return API.deleteByFilter.encodeRequest({ collection: 'c', shardKeyFilter, cursor: '' });
    };
    const { decodeRequest } = API.deleteByFilter;
    expect(decodeRequest(deletes(value)).shardKeyFilter?.shardKeys).toHaveLength(value);
    expect(() => decodeRequest(deletes(value + 1))).toThrow(
      expect.objectContaining({ reason: 'LIMIT_EXCEEDED', field: 'shardKeys' }),
    );
  });

  it('indexed fields of a collection', () => {
    const { value } = LIMITS.indexedFieldsMax;
    const config = Buffer.alloc(2 * (value + 1)).fill(Buffer.from([0x32, 0]));
    const bytes = Buffer.concat([Buffer.from([0x0a, 0x80 | (config.length & 0x7f), 1]), config]);
    expect(() => API.createCollection.decodeRequest(bytes)).toThrow(
      expect.objectContaining({ reason: 'LIMIT_EXCEEDED', field: 'config.indexedFields' }),
    );
  });
});

describe('routes', () => {
  it('are the same bytes as ever where no node names a zone', () => {
    const routes = {
      clusterId: 'c',
      epoch: 7,
      answeredBy: 1,
      nodes: [{ nodeId: 1, clientAddress: 'x' }],
      shards: [{ shardId: 2, leaderNodeId: 1, replicaNodeIds: [1] }],
    };
    const golden = '0a016310071801220508011201782a07080210011a0101';
    expect(Buffer.from(API.getRoutes.encodeResponse(routes)).toString('hex')).toBe(golden);
  });
});

describe('a delete by filter', () => {
  const { encodeRequest } = API.deleteByFilter;
  const filter = encodeStruct({ a: true });
  const request = { collection: 'c', cursor: 'x', tenant: 't' };
  const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

  it('of all keys is the same bytes as ever', () => {
    const golden = '0a016312090a070a0161120220011a0178720174';
    expect(hexOf(encodeRequest({ ...request, filter }))).toBe(golden);
  });

  it('of some shard keys has no filter for nodes of versions that know none', () => {
    const shardKeyFilter = { shardKeys: ['k', 'l'], filter };
    const reader = new ProtobufReader(encodeRequest({ ...request, shardKeyFilter }));
    const fields: number[] = [];
    for (; reader.next(); reader.skip()) fields.push(reader.field);
    expect(fields).toEqual([1, 3, 4, 14]);
  });
});

describe('malformed bytes are refused', () => {
  it.each([
    ['a length past the end', [0x0a, 5, 0x61]],
    ['a length past the end of the inner message', [0x12, 3, 0x0a, 9, 0x61, 0x61, 0x61, 0x61]],
    ['floats of 3 bytes', [0x12, 5, 0x12, 3, 1, 2, 3]],
    ['a varint of 11 bytes', [0x0a, ...Array(10).fill(0xff), 1]],
    ['a varint that ends early', [0x0a, 0xff]],
    ['field number 0', [0x02, 0]],
    ['a group', [0x0b, 0x0c]],
    ['a string where a message belongs', [0x10, 1]],
    ['an id that is not UTF-8', [0x12, 3, 0x0a, 1, 0xff]],
    ['a length of 2^63', [0x0a, ...Array(8).fill(0xff), 0x7f]],
  ])('%s', (_what, bytes) => {
    expect(() => API.upsert.decodeRequest(Uint8Array.from(bytes))).toThrow(MalformedBytesError);
  });

  it('but a replacement character that was really sent is kept', () => {
    const bytes = API.count.encodeRequest({ collection: 'a\ufffdb\ufeff' });
    expect(API.count.decodeRequest(bytes).collection).toBe('a\ufffdb\ufeff');
  });

  it('and whole numbers come back from any width', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const reader = new ProtobufReader(new ProtobufWriter(1).optionalUint(3, value).finish());
        reader.next();
        expect(reader.uint64()).toBe(value);
      }),
    );
  });
});
