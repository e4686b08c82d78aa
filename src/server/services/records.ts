/** The public Records service over a backend. */
import type { Metadata } from '@grpc/grpc-js';
import type { WriteResponse } from '../../shared/codec/api-messages.js';
import type { RequestKey } from '../../shared/codec/command.js';
import { API, RETRIES_HEADER } from '../../shared/codec/public-api.js';
import type { ReadScopeFields } from '../../shared/codec/read-scope.js';
import { encodeCursor } from '../../shared/codec/scroll-cursor.js';
import type { SearchRequest } from '../../shared/codec/search-messages.js';
import type { TenantFields } from '../../shared/codec/tenant-fields.js';
import type { Clock } from '../../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../../shared/errors.js';
import type { ScrollPosition } from '../../shared/scroll-position.js';
import { errorOfOutcomes } from '../../shared/write-outcomes.js';
import type {
  CallOptions,
  ReadOptions,
  RecordsBackend,
  ScanOptions,
  StoredRecord,
  WriteAnswer,
  WriteOptions,
} from '../backend.js';
import { KnownCollections } from '../known-collections.js';
import type { UnaryCalls } from '../unary-calls.js';
import {
  checkBatch,
  checkConsistency,
  checkDeleteByFilter,
  checkIdempotencyKey,
  checkIdsToFetch,
  checkQuery,
  checkScroll,
  type FreshnessRequest,
  filterOf,
} from '../validate.js';
import { checkScopeKeys, checkShardKeys, checkTenant } from '../validate-tenants.js';
import { checkDelete, checkPatches, checkUpsert } from '../validate-writes.js';

/** Handlers by the method names of the .proto file. `onDegraded` is told of partial answers. */
export function recordsService(
  calls: UnaryCalls,
  backend: RecordsBackend,
  clock: Clock,
  onDegraded: () => void,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  const known = new KnownCollections(backend);
  const single = async (request: SearchRequest, call: CallOptions, headers: Metadata) => {
    const { collection, allowPartial } = request;
    const query = await known.check(collection, call, (config) =>
      checkQuery(request.query, config, 'query'),
    );
    return { query, options: { allowPartial, ...scanOptions(call, request, headers) } };
  };

  return {
    ...writeEndpoints(calls, backend, known, clock),

    Fetch: calls.endpoint(API.fetch, async (request, call, headers) => {
      const { collection, ids, includeValues, includeMetadata } = request;
      await known.settingsOf(collection, call);
      checkIdsToFetch(ids);
      const keys = checkShardKeys(ids, request.shardKeys);
      const options = { ...readOptions(call, request, headers), ...keys };
      const include = { values: includeValues ?? true, metadata: includeMetadata ?? true };
      const { records, served } = await backend.fetch(collection, ids, include, options);
      return { records: records.filter(isPresent), served };
    }),

    Search: calls.endpoint(API.search, async (request, call, headers) => {
      const { collection } = request;
      const { query, options } = await single(request, call, headers);
      const answer = await backend.search(collection, [query], options).catch(refuseSingle);
      if (answer.degraded) onDegraded();
      const { results, ...source } = answer;
      return { hits: results[0] ?? [], ...source };
    }),

    SearchBatch: calls.endpoint(API.searchBatch, async (request, call, headers) => {
      const { collection, allowPartial } = request;
      const queries = await known.check(collection, call, (config) => {
        checkBatch(request.queries);
        return request.queries.map((query, index) =>
          checkQuery(query, config, `queries[${index}]`),
        );
      });
      const options = { allowPartial, ...scanOptions(call, request, headers) };
      const answer = await backend.search(collection, queries, options);
      if (answer.degraded) onDegraded();
      return answer;
    }),

    Explain: calls.endpoint(API.explain, async (request, call, headers) => {
      const { collection } = request;
      const { query, options } = await single(request, call, headers);
      const answer = await backend.explain(collection, query, options).catch(refuseSingle);
      if (answer.degraded) onDegraded();
      return answer;
    }),

    ...scrollEndpoints(calls, backend, known),
  };
}

function writeEndpoints(
  calls: UnaryCalls,
  backend: RecordsBackend,
  known: KnownCollections,
  clock: Clock,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  return {
    Upsert: calls.endpoint(API.upsert, async (request, call, headers) => {
      const { collection, idempotencyKey } = request;
      checkIdempotencyKey(idempotencyKey, clock.wallMs());
      const records = await known.check(collection, call, (config) => checkUpsert(request, config));
      const options = writeOptions(call, request, headers);
      return writeResponse(await backend.upsert(collection, records, options));
    }),

    Patch: calls.endpoint(API.patch, async (request, call, headers) => {
      const { collection, idempotencyKey } = request;
      checkIdempotencyKey(idempotencyKey, clock.wallMs());
      await known.settingsOf(collection, call);
      const patches = checkPatches(request);
      const options = writeOptions(call, request, headers);
      return writeResponse(await backend.patch(collection, patches, options));
    }),

    Delete: calls.endpoint(API.delete, async (request, call, headers) => {
      const { collection, ids, idempotencyKey } = request;
      checkIdempotencyKey(idempotencyKey, clock.wallMs());
      await known.settingsOf(collection, call);
      const ifVersions = checkDelete(request);
      const keys = checkShardKeys(ids, request.shardKeys);
      const options = { ...writeOptions(call, request, headers), ifVersions, ...keys };
      return writeResponse(await backend.delete(collection, ids, options));
    }),
  };
}

/** The calls that go through records by what they hold. */
function scrollEndpoints(
  calls: UnaryCalls,
  backend: RecordsBackend,
  known: KnownCollections,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  return {
    Count: calls.endpoint(API.count, async (request, call, headers) => {
      const { collection } = request;
      const { filter } = await known.check(collection, call, (config) =>
        filterOf(request.filter, config, 'filter'),
      );
      return backend.count(collection, filter, scanOptions(call, request, headers));
    }),

    Scroll: calls.endpoint(API.scroll, async (request, call, headers) => {
      const { collection } = request;
      const query = await known.check(collection, call, (config) => checkScroll(request, config));
      const options = scanOptions(call, request, headers);
      const { records, next, epoch, served } = await backend.scroll(collection, query, options);
      return { records, cursor: cursorOf(next), epoch, served };
    }),

    DeleteByFilter: calls.endpoint(API.deleteByFilter, async (request, call) => {
      const { collection } = request;
      const { selection, ...keys } = await known.check(collection, call, (config) =>
        checkDeleteByFilter(request, config),
      );
      const { timeoutMs, signal } = call;
      const { tenant } = checkTenant(request);
      const options = { timeoutMs, signal, tenant, ...keys };
      const answer = await backend.deleteByFilter(collection, selection, options);
      const { deletedCount, written, next } = answer;
      return { deletedCount, cursor: cursorOf(next), written };
    }),
  };
}

function cursorOf(next: ScrollPosition | undefined): string {
  return next === undefined ? '' : encodeCursor(next);
}

function readOptions(
  { timeoutMs, signal }: CallOptions,
  request: FreshnessRequest & TenantFields,
  headers: Metadata,
): ReadOptions {
  const retry = isRetriedByClient(headers) ? 'client' : 'router';
  return {
    timeoutMs,
    signal,
    consistency: checkConsistency(request),
    retry,
    ...checkTenant(request),
  };
}

function scanOptions(
  call: CallOptions,
  request: FreshnessRequest & ReadScopeFields,
  headers: Metadata,
): ScanOptions {
  return { ...readOptions(call, request, headers), ...checkScopeKeys(request.shardKeys) };
}

function writeOptions(
  { timeoutMs, signal }: CallOptions,
  request: TenantFields & { readonly idempotencyKey?: RequestKey | undefined },
  headers: Metadata,
): WriteOptions {
  const { idempotencyKey } = request;
  const { tenant } = checkTenant(request);
  const byClient = idempotencyKey !== undefined && isRetriedByClient(headers);
  return { timeoutMs, signal, idempotencyKey, retry: byClient ? 'client' : 'router', tenant };
}

function isRetriedByClient(headers: Metadata): boolean {
  const [retries] = headers.get(RETRIES_HEADER.name);
  return retries === RETRIES_HEADER.value;
}

function writeResponse({ outcomes, written }: WriteAnswer): WriteResponse {
  if (outcomes.some((outcome) => outcome.kind === 'applied')) return { outcomes, written };
  throw errorOfOutcomes(outcomes);
}

/** To a backend every search is a batch; its error names the field as the caller knows it. */
function refuseSingle(thrown: unknown): never {
  if (!isFlotillaError(thrown) || thrown.field?.startsWith('queries[0]') !== true) throw thrown;
  const field = thrown.field.replace('queries[0]', 'query');
  const message = thrown.message.replace('queries[0]', 'query');
  throw FlotillaError.fromBody({ ...thrown.body, field, message }, thrown);
}

function isPresent(record: StoredRecord | undefined): record is StoredRecord {
  return record !== undefined;
}
