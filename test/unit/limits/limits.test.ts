// Goal: limits of what callers send hold in the SDK, at the door, and for who applies it (P-9).
// Method: a table of what is checked where; n - 1 and n pass, n + 1 is named.
import { beforeAll, describe, expect, it } from 'vitest';
import type { Metadata } from '../../../src/client/index.js';
import { metadataBytes } from '../../../src/client/values.js';
import { filterBytes } from '../../../src/client/where.js';
import {
  checkBatch,
  checkCollectionConfig,
  checkIdempotencyKey,
  checkIdsToDelete,
  checkIdsToFetch,
  checkQuery,
  checkRecords,
  checkScroll,
} from '../../../src/server/validate.js';
import {
  checkShardKeys,
  checkTenant,
  checkTenantChange,
  checkTenantPage,
} from '../../../src/server/validate-tenants.js';
import { checkPatches, checkUpsert } from '../../../src/server/validate-writes.js';
import type { CollectionRequest } from '../../../src/shared/codec/admin-messages.js';
import type { RecordMessage } from '../../../src/shared/codec/api-messages.js';
import { NO_BYTES } from '../../../src/shared/codec/protobuf-wire.js';
import type { SearchQueryMessage } from '../../../src/shared/codec/search-messages.js';
import { encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';
import { isFlotillaError } from '../../../src/shared/errors.js';
import { LIMITS, type LimitName } from '../../../src/shared/limits.js';
import type { CollectionConfig, ErrorBody } from '../../../src/shared/types.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { memoryHarness } from '../engine/harness.js';
import { collectionConfig, patch, query, ShardDriver, upsert } from '../engine/shard-driver.js';
import { seed } from '../topology/topology-fixtures.js';

/** Sends something of that size; throws, or answers with the error where there is one. */
type Send = (size: number) => unknown;

interface Row {
  readonly what: string;
  readonly limit: LimitName;
  readonly field: string;
  readonly send: Send;
}

const CONFIG = collectionConfig();
const VECTOR = new Uint8Array(Float32Array.of(1, 2).buffer);
const RECORD: RecordMessage = { id: 'a', values: VECTOR, metadata: NO_BYTES };

const records = (count: number): RecordMessage[] =>
  Array.from({ length: count }, (_, at) => ({ ...RECORD, id: `r${at}` }));
const idsOf = (count: number): string[] => records(count).map(({ id }) => id);
const nested = (levels: number): JsonObject => (levels === 1 ? {} : { a: nested(levels - 1) });

/** A filter of so many levels. */
function deepFilter(levels: number): JsonObject {
  let filter: JsonObject = { a: 1 };
  for (let level = 1; level < levels; level++) filter = { $and: [filter] };
  return filter;
}
const FILTERS: readonly [LimitName, string, (size: number) => JsonObject][] = [
  ['filterDepthMax', `${'.$and[0]'.repeat(16)}.a`, deepFilter],
  [
    'filterConditionsMax',
    '.$or[256].a',
    (count) => ({ $or: Array.from({ length: count }, (_, at) => ({ a: at })) }),
  ],
  ['filterInValuesMax', '.a.$in', (count) => ({ a: { $in: Array(count).fill(1) } })],
  ['fieldPathBytesMax', `.${'p'.repeat(64)}...`, (size) => ({ ['p'.repeat(size)]: 1 })],
  ['metadataDepthMax', `.${path(17)}`, (levels) => ({ [path(levels)]: 1 })],
];

function path(levels: number): string {
  return Array(levels).fill('a').join('.');
}

const query0: SearchQueryMessage = {
  vector: VECTOR,
  k: 1,
  offset: 0,
  ef: 0,
  includeValues: false,
};
const ask = (changes: Partial<SearchQueryMessage>) =>
  checkQuery({ ...query0, ...changes }, CONFIG, 'query');
const encoded = (filter: JsonObject) => encodeStruct(filter, { maxDepth: 100 });

/** Metadata whose encoding has exactly so many bytes. */
function metadataOfSize(sizeBytes: number): JsonObject {
  const overhead = encodeStruct({ k: 'x'.repeat(sizeBytes) }).length - sizeBytes;
  return { k: 'x'.repeat(sizeBytes - overhead) };
}

const SETTINGS: readonly [LimitName, string, (size: number) => Partial<CollectionConfig>][] = [
  ['collectionNameBytesMax', 'config.name', (size) => ({ name: 'n'.repeat(size) })],
  ['dimensionMax', 'config.dimension', (dimension) => ({ dimension })],
  ['mMax', 'config.m', (m) => ({ m })],
  ['efConstructionMax', 'config.efConstruction', (efConstruction) => ({ efConstruction })],
  [
    'indexedFieldsMax',
    'config.indexedFields',
    (count) => ({
      indexedFields: Array.from({ length: count }, (_, at) => ({ path: `f${at}`, type: 'bool' })),
    }),
  ],
  [
    'fieldPathBytesMax',
    'config.indexedFields[0].path',
    (size) => ({ indexedFields: [{ path: 'p'.repeat(size), type: 'bool' }] }),
  ],
  [
    'metadataDepthMax',
    'config.indexedFields[0].path',
    (levels) => ({ indexedFields: [{ path: path(levels), type: 'bool' }] }),
  ],
  ['ttlMsMax', 'config.ttlMs', (ttlMs) => ({ ttlMs })],
  [
    'rangesMax',
    'config.splitPoints',
    (ranges) => ({ placement: 'range', splitPoints: keys(ranges - 1, 4) }),
  ],
  [
    'routingKeyBytesMax',
    'config.splitPoints[0]',
    (size) => ({ placement: 'range', splitPoints: ['s'.repeat(size)] }),
  ],
  [
    'splitPointsBytesMax',
    'config.splitPoints',
    (size) => ({ placement: 'range', splitPoints: splitPointsOf(size) }),
  ],
];

/** Split points of so many bytes together. */
function splitPointsOf(sizeBytes: number): string[] {
  const whole = keys(Math.floor(sizeBytes / 512), 512);
  const rest = sizeBytes % 512;
  return rest === 0 ? whole : [...whole, 'z'.repeat(rest)];
}

/** So many ascending keys of that length. */
function keys(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, at) => String(at).padStart(4, '0').padEnd(length, '-'));
}

const settingRows = (where: string, send: (config: CollectionConfig) => unknown): Row[] =>
  SETTINGS.map(([limit, field, change]) => ({
    what: `${limit} of a collection, ${where}`,
    limit,
    field,
    send: (size) => send(collectionConfig(change(size))),
  }));

const filterRows = (where: string, at: string, send: (filter: JsonObject) => unknown): Row[] =>
  FILTERS.map(([limit, place, filterOf]) => ({
    what: `${limit} of a filter, ${where}`,
    limit,
    field: `${at}${place}`,
    send: (size) => send(filterOf(size)),
  }));

const SDK: readonly Row[] = [
  ...filterRows('in the SDK', 'filter', (filter) =>
    filterBytes<Metadata>(filter as never, 'filter'),
  ),
  {
    what: 'metadata, in the SDK',
    limit: 'metadataDepthMax',
    field: 'records[0].metadata',
    send: (levels) => metadataBytes(nested(levels), 'records[0].metadata'),
  },
];

const requestKey = { clientId: 'c', clientStampMs: 0, sequence: 1, lowestUnanswered: 1 };
const DOOR: readonly Row[] = [
  ...settingRows('at the door', (config) => checkCollectionConfig(config as CollectionRequest)),
  ...filterRows('at the door', 'query.filter', (filter) => ask({ filter: encoded(filter) })),
  {
    what: 'bytes of a filter',
    limit: 'filterBytesMax',
    field: 'query.filter',
    send: (size) => ask({ filter: encodeStruct(metadataOfSize(size)) }),
  },
  {
    what: 'id of a record',
    limit: 'idBytesMax',
    field: 'records[0].id',
    send: (size) => checkRecords([{ ...RECORD, id: 'x'.repeat(size) }], CONFIG),
  },
  {
    what: 'metadata of a record',
    limit: 'metadataBytesMax',
    field: 'records[0].metadata',
    send: (size) =>
      checkRecords([{ ...RECORD, metadata: encodeStruct(metadataOfSize(size)) }], CONFIG),
  },
  {
    what: 'depth of metadata',
    limit: 'metadataDepthMax',
    field: 'records[0].metadata',
    send: (levels) => checkRecords([{ ...RECORD, metadata: encoded(nested(levels)) }], CONFIG),
  },
  {
    what: 'metadata of a patch',
    limit: 'metadataBytesMax',
    field: 'patches[0].metadata',
    send: (size) =>
      checkPatches({
        collection: 'c',
        patches: [{ id: 'a', metadata: encodeStruct(metadataOfSize(size)) }],
      }),
  },
  {
    what: 'ttl of a record',
    limit: 'ttlMsMax',
    field: 'records[0].ttlMs',
    send: (ttlMs) => checkUpsert({ collection: 'c', records: [{ ...RECORD, ttlMs }] }, CONFIG),
  },
  {
    what: 'records of an upsert',
    limit: 'upsertRecordsMax',
    field: 'records',
    send: (count) => checkRecords(records(count), CONFIG),
  },
  {
    what: 'records of a patch',
    limit: 'patchRecordsMax',
    field: 'patches',
    send: (count) => checkPatches({ collection: 'c', patches: records(count) }),
  },
  {
    what: 'ids of a delete',
    limit: 'deleteIdsMax',
    field: 'ids',
    send: (count) => checkIdsToDelete(idsOf(count)),
  },
  {
    what: 'ids of a fetch',
    limit: 'fetchIdsMax',
    field: 'ids',
    send: (count) => checkIdsToFetch(idsOf(count)),
  },
  { what: 'k', limit: 'kMax', field: 'query.k', send: (k) => ask({ k }) },
  {
    what: 'k with the offset',
    limit: 'kMax',
    field: 'query.offset',
    send: (sum) => ask({ k: 1, offset: sum - 1 }),
  },
  { what: 'ef', limit: 'efMax', field: 'query.ef', send: (ef) => ask({ ef }) },
  {
    what: 'queries of a batch',
    limit: 'searchBatchMax',
    field: 'queries',
    send: (count) => checkBatch(Array(count).fill(query0)),
  },
  {
    what: 'hits of a batch',
    limit: 'searchBatchHitsMax',
    field: 'queries',
    send: (hits) => checkBatch([{ ...query0, k: hits - 1 }, query0]),
  },
  {
    what: 'page of a scroll',
    limit: 'scrollLimitMax',
    field: 'limit',
    send: (limit) =>
      checkScroll({ collection: 'c', limit, cursor: '', includeValues: false }, CONFIG),
  },
  {
    what: 'tenant of a call',
    limit: 'routingKeyBytesMax',
    field: 'tenant',
    send: (size) => checkTenant({ tenant: 'ä'.repeat(size / 2) + 'a'.repeat(size % 2) }),
  },
  {
    what: 'shard key of a record',
    limit: 'routingKeyBytesMax',
    field: 'records[0].shardKey',
    send: (size) =>
      checkUpsert(
        { collection: 'c', records: [{ ...RECORD, shardKey: 'k'.repeat(size) }] },
        CONFIG,
      ),
  },
  {
    what: 'shard key of a record to fetch',
    limit: 'routingKeyBytesMax',
    field: 'shardKeys[0]',
    send: (size) => checkShardKeys(['a'], ['k'.repeat(size)]),
  },
  {
    what: 'tenant that is assigned',
    limit: 'routingKeyBytesMax',
    field: 'tenant',
    send: (size) =>
      checkTenantChange('assignTenant', { tenant: 't'.repeat(size), shardId: 0, by: '' }),
  },
  {
    what: 'who assigns a tenant',
    limit: 'tenantAuthorBytesMax',
    field: 'by',
    send: (size) =>
      checkTenantChange('shareShard', { tenant: '', shardId: 0, by: 'b'.repeat(size) }),
  },
  {
    what: 'page of tenants',
    limit: 'tenantsListMax',
    field: 'limit',
    send: (limit) => checkTenantPage({ collection: 'c', limit }),
  },
  {
    what: 'client id of an idempotency key',
    limit: 'idempotencyKeyBytesMax',
    field: 'idempotencyKey.clientId',
    send: (size) => checkIdempotencyKey({ ...requestKey, clientId: 'x'.repeat(size) }, 0),
  },
  {
    what: 'lead of a client stamp',
    limit: 'clientStampAheadMax',
    field: 'idempotencyKey.clientStampMs',
    send: (clientStampMs) => checkIdempotencyKey({ ...requestKey, clientStampMs }, 0),
  },
];

let shard: ShardDriver;
let collections = 1;
beforeAll(async () => {
  shard = new ShardDriver(await memoryHarness());
  await shard.open();
  await shard.createCollection();
  await shard.write([upsert('a', [1, 2])]);
});

async function createOnShard(config: CollectionConfig): Promise<ErrorBody | undefined> {
  const collectionId = ++collections;
  const [result] = await shard.apply({ kind: 'createCollection', collectionId, config });
  await shard.apply({ kind: 'dropCollection', collectionId });
  return result?.kind === 'refused' ? result.error : undefined;
}

function createInTopology(config: CollectionConfig): ErrorBody | undefined {
  const genesis = initialTopology(seed());
  const { result, document } = applyTopologyCommand(genesis, {
    kind: 'beginCreateCollection',
    config,
  });
  if (result.kind !== 'refused') return undefined;
  expect(document).toBe(genesis);
  return result.error;
}

async function patchOnShard(metadata: JsonObject): Promise<ErrorBody | undefined> {
  const result = await shard.write([patch('a', metadata)]);
  const [one] = result.kind === 'write' ? result.outcomes : [];
  await shard.write([upsert('a', [1, 2])]);
  return one?.outcome.kind === 'not-applied' ? one.outcome.error : undefined;
}

const APPLIED: readonly Row[] = [
  ...settingRows('applied to a shard', createOnShard),
  ...settingRows('applied to the topology', createInTopology),
  ...filterRows('read by the engine', 'filter', (filter) =>
    shard.search(query([1, 2], 1, { filter: encoded(filter) })),
  ),
  {
    what: 'metadata that a patch leaves',
    limit: 'metadataBytesMax',
    field: '',
    send: (size) => patchOnShard(metadataOfSize(size)),
  },
];

async function faultOf(send: Send, size: number): Promise<ErrorBody | undefined> {
  try {
    const answer = await send(size);
    const isError = typeof answer === 'object' && answer !== null && 'reason' in answer;
    return isError ? (answer as ErrorBody) : undefined;
  } catch (error) {
    if (isFlotillaError(error)) return error.body;
    throw error;
  }
}

describe.each([
  ['the SDK', SDK],
  ['the door', DOOR],
  ['what is applied', APPLIED],
])('limits of %s', (_where, rows) => {
  it.each(rows)('$what: one below and at it pass, one above is named', async (row) => {
    const { value } = LIMITS[row.limit];
    expect(await faultOf(row.send, value - 1)).toBeUndefined();
    expect(await faultOf(row.send, value)).toBeUndefined();
    expect(await faultOf(row.send, value + 1)).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      limit: { name: row.limit, value },
      ...(row.field !== '' && { field: row.field }),
    });
  });
});

describe('settings of a collection below their least', () => {
  const applied: [string, (config: CollectionConfig) => unknown][] = [
    ['the door', (config) => checkCollectionConfig(config as CollectionRequest)],
    ['a shard', createOnShard],
    ['the topology', createInTopology],
  ];

  it.each(applied)('m, at %s: one above and at it pass, one below is named', async (_, create) => {
    const { value } = LIMITS.mMin;
    const withM: Send = (m) => create(collectionConfig({ m }));
    expect(await faultOf(withM, value + 1)).toBeUndefined();
    expect(await faultOf(withM, value)).toBeUndefined();
    expect(await faultOf(withM, value - 1)).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field: 'config.m',
      limit: { name: 'mMin', value },
    });
  });

  it.each(applied.slice(1))(
    'are refused by %s, whatever door they came through',
    async (_, create) => {
      const wrong: [Partial<CollectionConfig>, string][] = [
        [{ name: '' }, 'config.name'],
        [{ name: 'a/b' }, 'config.name'],
        [{ dimension: 0 }, 'config.dimension'],
        [{ efConstruction: 0 }, 'config.efConstruction'],
        [{ indexedFields: [{ path: 'a..b', type: 'bool' }] }, 'config.indexedFields[0].path'],
        [
          {
            indexedFields: [
              { path: 'a', type: 'bool' },
              { path: 'a', type: 'float' },
            ],
          },
          'config.indexedFields[1].path',
        ],
      ];
      for (const [change, field] of wrong) {
        const fault = await faultOf(() => create(collectionConfig(change)), 0);
        expect(fault).toMatchObject({ reason: 'INVALID_REQUEST', field });
      }
    },
  );
});
