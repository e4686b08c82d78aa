/** The public Records service over a backend. */
import type { Metadata } from '@grpc/grpc-js';
import type { RequestedConsistency, WriteResponse } from '../../shared/codec/api-messages.js';
import type { RequestKey } from '../../shared/codec/command.js';
import { API, RETRIES_HEADER } from '../../shared/codec/public-api.js';
import type { Clock } from '../../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../../shared/errors.js';
import type { WriteOutcome } from '../../shared/types.js';
import { errorOfOutcomes } from '../../shared/write-outcomes.js';
import type {
  CallOptions,
  ReadOptions,
  RecordsBackend,
  StoredRecord,
  WriteOptions,
} from '../backend.js';
import { KnownCollections } from '../known-collections.js';
import type { UnaryCalls } from '../unary-calls.js';
import {
  checkBatch,
  checkConsistency,
  checkIdempotencyKey,
  checkIdsToDelete,
  checkIdsToFetch,
  checkQuery,
  checkRecords,
} from '../validate.js';

/** Handlers by the method names of the .proto file. `onDegraded` is told of partial answers. */
export function recordsService(
  calls: UnaryCalls,
  backend: RecordsBackend,
  clock: Clock,
  onDegraded: () => void,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  const known = new KnownCollections(backend);

  return {
    Upsert: calls.endpoint(API.upsert, async (request, call, headers) => {
      const { collection, records, idempotencyKey } = request;
      checkIdempotencyKey(idempotencyKey, clock.wallMs());
      await known.check(collection, call, (config) => checkRecords(records, config));
      const options = writeOptions(call, idempotencyKey, headers);
      return writeResponse((await backend.upsert(collection, records, options)).outcomes);
    }),

    Delete: calls.endpoint(API.delete, async (request, call, headers) => {
      const { collection, ids, idempotencyKey } = request;
      checkIdempotencyKey(idempotencyKey, clock.wallMs());
      await known.settingsOf(collection, call);
      checkIdsToDelete(ids);
      const options = writeOptions(call, idempotencyKey, headers);
      return writeResponse((await backend.delete(collection, ids, options)).outcomes);
    }),

    Fetch: calls.endpoint(API.fetch, async (request, call, headers) => {
      const { collection, ids, includeValues, includeMetadata } = request;
      await known.settingsOf(collection, call);
      checkIdsToFetch(ids);
      const options = readOptions(call, request.consistency, headers);
      const include = { values: includeValues ?? true, metadata: includeMetadata ?? true };
      const found = await backend.fetch(collection, ids, include, options);
      return { records: found.filter(isPresent) };
    }),

    Search: calls.endpoint(API.search, async (request, call, headers) => {
      const { collection, allowPartial } = request;
      const query = await known.check(collection, call, (config) =>
        checkQuery(request.query, config, 'query'),
      );
      const options = { ...readOptions(call, request.consistency, headers), allowPartial };
      const answer = await backend.search(collection, [query], options).catch(refuseSingle);
      if (answer.degraded) onDegraded();
      const { shards, degraded, epoch } = answer;
      return { hits: answer.results[0] ?? [], shards, degraded, epoch };
    }),

    SearchBatch: calls.endpoint(API.searchBatch, async (request, call, headers) => {
      const { collection, allowPartial } = request;
      const queries = await known.check(collection, call, (config) => {
        checkBatch(request.queries);
        return request.queries.map((query, index) =>
          checkQuery(query, config, `queries[${index}]`),
        );
      });
      const options = { ...readOptions(call, request.consistency, headers), allowPartial };
      const answer = await backend.search(collection, queries, options);
      if (answer.degraded) onDegraded();
      return answer;
    }),

    Count: calls.endpoint(API.count, async ({ collection, consistency }, call, headers) => {
      await known.settingsOf(collection, call);
      return { count: await backend.count(collection, readOptions(call, consistency, headers)) };
    }),
  };
}

function readOptions(
  { timeoutMs, signal }: CallOptions,
  consistency: RequestedConsistency,
  headers: Metadata,
): ReadOptions {
  const retry = isRetriedByClient(headers) ? 'client' : 'router';
  return { timeoutMs, signal, consistency: checkConsistency(consistency), retry };
}

function writeOptions(
  { timeoutMs, signal }: CallOptions,
  idempotencyKey: RequestKey | undefined,
  headers: Metadata,
): WriteOptions {
  const byClient = idempotencyKey !== undefined && isRetriedByClient(headers);
  return { timeoutMs, signal, idempotencyKey, retry: byClient ? 'client' : 'router' };
}

function isRetriedByClient(headers: Metadata): boolean {
  const [retries] = headers.get(RETRIES_HEADER.name);
  return retries === RETRIES_HEADER.value;
}

function writeResponse(outcomes: readonly WriteOutcome[]): WriteResponse {
  if (outcomes.some((outcome) => outcome.kind === 'applied')) return { outcomes };
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
