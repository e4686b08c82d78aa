/** Records of one collection: write, read, search. */
import { floatBytes, floatsOf, isWellFormed } from '../shared/bytes.js';
import type { StoredRecordMessage } from '../shared/codec/api-messages.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';
import { API } from '../shared/codec/public-api.js';
import type {
  HitMessage,
  SearchProvenance,
  SearchQueryMessage,
  ShardSummary,
} from '../shared/codec/search-messages.js';
import { decodeStruct, encodeStruct, type JsonObject } from '../shared/codec/struct.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { READ_CONSISTENCIES, type ReadConsistency, type WriteOutcome } from '../shared/types.js';
import type { Caller } from './caller.js';
import type { CallOptions } from './options.js';

/** What can be stored beside a vector: anything that JSON can hold. */
export type Metadata = JsonObject;

export interface NewRecord<M extends Metadata> {
  /** 1 to 512 bytes of UTF-8, unique in the collection. */
  readonly id: string;
  /** Exactly as many finite numbers as the collection's dimension; stored as float32. */
  readonly values: Float32Array | readonly number[];
  readonly metadata?: M;
}

/** What became of one record of a write. */
export type RecordOutcome =
  | {
      readonly id: string;
      readonly kind: 'applied';
      /** A decimal number that grows with each write of the record. */
      readonly version: string;
      /** Whether a record of this id existed before. */
      readonly existed: boolean;
    }
  | {
      readonly id: string;
      /** 'unknown': it may have been written, or be written yet. */
      readonly kind: 'not-applied' | 'unknown';
      readonly reason: ErrorReason;
      readonly message: string;
    };

export interface WriteResult {
  /** One per record, in order. */
  readonly outcomes: readonly RecordOutcome[];
  readonly appliedCount: number;
}

export interface StoredRecord<M extends Metadata> {
  readonly id: string;
  readonly version: string;
  /** Absent when not asked for. */
  readonly values?: Float32Array;
  /** Absent when not asked for, and where there is none. */
  readonly metadata?: M;
}

export interface Hit<M extends Metadata> extends StoredRecord<M> {
  /** Distance in the collection's metric. Smaller is closer. */
  readonly distance: number;
}

interface QueryOptions {
  /** How many hits to return. */
  readonly k: number;
  /** HNSW candidates: more finds better and takes longer. The server's default where absent. */
  readonly ef?: number;
  /** How many of the nearest hits to leave out first. @default 0 */
  readonly offset?: number;
  /** Leaves out hits at a greater distance than this. */
  readonly scoreThreshold?: number;
  /** @default false */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

/** Near to a vector, or to the vector of a stored record. */
export type Query = QueryOptions &
  (
    | { readonly vector: Float32Array | readonly number[]; readonly id?: never }
    | { readonly id: string; readonly vector?: never }
  );

export interface ReadOptions extends CallOptions {
  /**
   * `strong` reads see every write that was acknowledged before they began; a quorum confirms the
   * leader for each. `leased` reads see the same as long as the clocks of the nodes run equally
   * fast (5 % apart at most), and pay where the cluster setting `leases` is on: they then take no
   * round trip between nodes, which counts when reads are many or nodes far apart. Where the
   * setting is off they are strong. @default 'strong'
   */
  readonly consistency?: ReadConsistency;
}

export interface FetchOptions extends ReadOptions {
  /** @default true */
  readonly includeValues?: boolean;
  /** @default true */
  readonly includeMetadata?: boolean;
}

export interface SearchOptions extends ReadOptions {
  /** Answer from the shards that could be reached instead of failing. @default false */
  readonly allowPartial?: boolean;
}

/** Where the hits come from. */
export interface SearchSource {
  readonly shards: ShardSummary;
  /** True when a shard is missing; only with `allowPartial`. */
  readonly degraded: boolean;
  /** Version of the topology that the search was routed by. */
  readonly epoch: number;
}

export interface SearchResult<M extends Metadata> extends SearchSource {
  /** Nearest first. */
  readonly hits: readonly Hit<M>[];
}

export interface SearchBatchResult<M extends Metadata> extends SearchSource {
  /** The hits of each query, in order. */
  readonly results: readonly (readonly Hit<M>[])[];
}

const READ = { kind: 'repeatable', writes: false } as const;

/** Get one from `Flotilla.collection`. Everything rejects with `FlotillaError`. */
export class Collection<M extends Metadata> {
  readonly name: string;
  readonly #caller: Caller;

  /** @internal */
  constructor(name: string, caller: Caller) {
    this.name = name;
    this.#caller = caller;
  }

  /**
   * Inserts or replaces records, each with an outcome of its own. Rejects when none was applied.
   * Safe to lose the answer of: retries inside apply once.
   */
  async upsert(records: readonly NewRecord<M>[], options: CallOptions = {}): Promise<WriteResult> {
    const messages = records.map((record, index) => ({
      id: wellFormed(record.id, `records[${index}].id`),
      values: vectorBytes(record.values, `records[${index}].values`),
      metadata: metadataBytes(record.metadata, `records[${index}].metadata`),
    }));
    const outcomes = await this.#caller.write(
      API.upsert,
      (idempotencyKey) => ({ collection: this.name, records: messages, idempotencyKey }),
      options,
    );
    return writeResult(messages, outcomes);
  }

  /** Deletes records. Those that do not exist count as applied. */
  async delete(ids: readonly string[], options: CallOptions = {}): Promise<WriteResult> {
    const checked = ids.map((id, index) => wellFormed(id, `ids[${index}]`));
    const outcomes = await this.#caller.write(
      API.delete,
      (idempotencyKey) => ({ collection: this.name, ids: checked, idempotencyKey }),
      options,
    );
    return writeResult(
      checked.map((id) => ({ id })),
      outcomes,
    );
  }

  /** The records that exist, in the order of `ids`. */
  async fetch(ids: readonly string[], options: FetchOptions = {}): Promise<StoredRecord<M>[]> {
    const { includeValues, includeMetadata } = options;
    const consistency = checkedConsistency(options);
    const checked = ids.map((id, index) => wellFormed(id, `ids[${index}]`));
    const include = { includeValues, includeMetadata };
    const request = { collection: this.name, ids: checked, ...include, consistency };
    const { records } = await this.#caller.call(API.fetch, request, options, READ);
    return records.map((record) => storedRecord<M>(record));
  }

  /** The records nearest to a vector, or to the vector of a stored record. */
  async search(query: Query, options: SearchOptions = {}): Promise<SearchResult<M>> {
    const request = {
      collection: this.name,
      query: queryMessage(query, 'query'),
      allowPartial: options.allowPartial ?? false,
      consistency: checkedConsistency(options),
    };
    const answer = await this.#caller.call(API.search, request, options, READ);
    return { hits: answer.hits.map((found) => hit<M>(found)), ...sourceOf(answer) };
  }

  /** Several searches in one call, answered in order. */
  async searchBatch(
    queries: readonly Query[],
    options: SearchOptions = {},
  ): Promise<SearchBatchResult<M>> {
    const request = {
      collection: this.name,
      queries: queries.map((query, index) => queryMessage(query, `queries[${index}]`)),
      allowPartial: options.allowPartial ?? false,
      consistency: checkedConsistency(options),
    };
    const answer = await this.#caller.call(API.searchBatch, request, options, READ);
    const results = answer.results.map((hits) => hits.map((found) => hit<M>(found)));
    return { results, ...sourceOf(answer) };
  }

  /** Number of records. */
  async count(options: ReadOptions = {}): Promise<number> {
    const request = { collection: this.name, consistency: checkedConsistency(options) };
    return (await this.#caller.call(API.count, request, options, READ)).count;
  }
}

/** On the wire a word that is not known would look like the default. */
function checkedConsistency({ consistency }: ReadOptions): ReadConsistency | undefined {
  if (consistency === undefined || READ_CONSISTENCIES.includes(consistency)) return consistency;
  const words = READ_CONSISTENCIES.join(', ');
  const message = `consistency is "${consistency}", it must be one of ${words}`;
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'consistency' });
}

function queryMessage(query: Query, field: string): SearchQueryMessage {
  return {
    vector: query.vector === undefined ? NO_BYTES : vectorBytes(query.vector, `${field}.vector`),
    id: query.id === undefined ? undefined : wellFormed(query.id, `${field}.id`),
    k: wholeNumber(query.k, `${field}.k`),
    offset: wholeNumber(query.offset ?? 0, `${field}.offset`),
    ef: wholeNumber(query.ef ?? 0, `${field}.ef`),
    scoreThreshold: query.scoreThreshold,
    includeValues: query.includeValues ?? false,
    includeMetadata: query.includeMetadata,
  };
}

/** Little-endian float32; what is not a number becomes NaN, which the server refuses. */
function vectorBytes(values: Float32Array | readonly number[], field: string): Uint8Array {
  if (values instanceof Float32Array) return floatBytes(values);
  if (Array.isArray(values)) {
    const floats = new Float32Array(values.length);
    for (let at = 0; at < floats.length; at++) {
      const value: unknown = values[at];
      // Null and holes, say, would else become 0.
      floats[at] = typeof value === 'number' ? value : Number.NaN;
    }
    return floatBytes(floats);
  }
  const message = `${field} is neither a Float32Array nor an array of numbers`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

function metadataBytes(metadata: Metadata | undefined, field: string): Uint8Array {
  if (metadata === undefined) return NO_BYTES;
  try {
    return encodeStruct(metadata);
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const message = `${field}: ${error.message}`;
    throw FlotillaError.fromBody({ ...error.body, field, message }, error);
  }
}

/** Half a surrogate pair would be stored as another id than the one that was given. */
function wellFormed(id: string, field: string): string {
  if (typeof id === 'string' && isWellFormed(id)) return id;
  const fault = typeof id === 'string' ? 'has half a surrogate pair' : `is a ${typeof id}`;
  throw new FlotillaError('INVALID_REQUEST', `${field} ${fault}, send a string`, { field });
}

/** Numbers that the wire cannot carry; limits are the server's. */
export function wholeNumber(value: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return value;
  const message = `${field} is ${value}, it must be a whole number`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

function writeResult(
  records: readonly { readonly id: string }[],
  outcomes: readonly WriteOutcome[],
): WriteResult {
  let appliedCount = 0;
  const named = records.map(({ id }, index): RecordOutcome => {
    const outcome = outcomes[index];
    if (outcome === undefined) {
      return { id, kind: 'unknown', reason: 'INTERNAL', message: 'The answer has no outcome' };
    }
    if (outcome.kind !== 'applied') {
      const { reason, message } = outcome.error;
      return { id, kind: outcome.kind, reason, message };
    }
    appliedCount++;
    return { id, kind: 'applied', version: String(outcome.version), existed: outcome.existed };
  });
  return { outcomes: named, appliedCount };
}

function storedRecord<M extends Metadata>(message: StoredRecordMessage): StoredRecord<M> {
  const { id, version, values, metadata } = message;
  return {
    id,
    version: String(version),
    ...(values !== undefined && { values: floatsOf(values) }),
    // The type is the caller's promise about what the collection holds.
    ...(metadata !== undefined && { metadata: decodeStruct(metadata) as M }),
  };
}

function hit<M extends Metadata>(message: HitMessage): Hit<M> {
  return { ...storedRecord<M>(message), distance: message.distance };
}

function sourceOf({ shards, degraded, epoch }: SearchProvenance): SearchSource {
  return { shards, degraded, epoch };
}
