/** The fields of reads in the calls between nodes, and their answers. */
import {
  type Explanation,
  type Hit,
  PLAN_KINDS,
  type ReadScope,
  type ScrollPage,
  type ScrollQuery,
  type SearchQuery,
  type Selection,
  type StoredRecord,
} from '../engine/engine.js';
import { unreachable } from '../shared/assert.js';
import {
  type ByteReader,
  type ByteWriter,
  MalformedBytesError,
  memberAt,
} from '../shared/bytes.js';
import type { ShardConsistency } from '../shared/consistency.js';
import type { ScrollPosition } from '../shared/scroll-position.js';
import type { ReadAnswer } from './replica.js';
import {
  beginReadAnswer,
  readList,
  readOptional,
  readReadAnswer,
  writeList,
  writeOptional,
} from './rpc-parts.js';

/** By their numbers on the wire; the first two are those of `READ_CONSISTENCIES`. */
const LEVELS = ['strong', 'leased', 'eventual', 'bounded', 'minIndex'] as const;

/** A level, and the number that it has where it has one. */
export function writeConsistency(writer: ByteWriter, consistency: ShardConsistency): void {
  if (typeof consistency === 'string') writer.u8(LEVELS.indexOf(consistency));
  else if ('boundedMs' in consistency) {
    writer.u8(LEVELS.indexOf('bounded')).varint(Math.floor(consistency.boundedMs));
  } else writer.u8(LEVELS.indexOf('minIndex')).varint(consistency.minIndex);
}

export function readConsistency(reader: ByteReader): ShardConsistency {
  const level = memberAt(LEVELS, reader.u8(), 'consistency');
  switch (level) {
    case 'strong':
    case 'leased':
    case 'eventual':
      return level;
    case 'bounded':
      return { boundedMs: reader.varint() };
    case 'minIndex':
      return { minIndex: reader.varint() };
    default:
      return unreachable(level);
  }
}

export function writeScope(writer: ByteWriter, scope: ReadScope): void {
  writer.varint(scope.collectionId).varint(scope.ownershipVersion);
}

export function readScope(reader: ByteReader): ReadScope {
  return { collectionId: reader.varint(), ownershipVersion: reader.varint() };
}

export function writeQuery(writer: ByteWriter, query: SearchQuery): void {
  writer.bytes(query.vector).varint(query.k).varint(query.ef);
  writeOptional(writer, query.scoreThreshold, (threshold) => writer.f64(threshold));
  writeSelection(writer, query);
  writer.bool(query.includeValues).bool(query.includeMetadata);
}

export function readQuery(reader: ByteReader): SearchQuery {
  const vector = reader.bytes();
  const k = reader.varint();
  const ef = reader.varint();
  const scoreThreshold = readOptional(reader, () => reader.f64());
  return {
    vector,
    k,
    ef,
    ...(scoreThreshold !== undefined && { scoreThreshold }),
    ...readSelection(reader),
    includeValues: reader.bool(),
    includeMetadata: reader.bool(),
  };
}

/**
 * Who selects, in the byte that says whether there is a tenant. Without shard keys a selection has
 * the bytes that it had before there were any; who does not know of them refuses the others, and so
 * never answers with more than was selected.
 */
const OWNER = { tenant: 1, shardKeys: 2 } as const;

export function writeSelection(writer: ByteWriter, selection: Selection): void {
  const { filter, tenant, shardKeys } = selection;
  writeOptional(writer, filter, (bytes) => writer.bytes(bytes));
  const hasTenant = tenant === undefined ? 0 : OWNER.tenant;
  writer.u8(hasTenant | (shardKeys === undefined ? 0 : OWNER.shardKeys));
  if (tenant !== undefined) writer.string(tenant);
  if (shardKeys !== undefined) writeList(writer, shardKeys, (key) => writer.string(key));
}

export function readSelection(reader: ByteReader): Selection {
  const filter = readOptional(reader, () => reader.bytes());
  const owners = reader.u8();
  if (owners > (OWNER.tenant | OWNER.shardKeys)) {
    throw new MalformedBytesError(`owners of a selection ${owners}`);
  }
  const tenant = (owners & OWNER.tenant) === 0 ? undefined : reader.string();
  const isOfKeys = (owners & OWNER.shardKeys) !== 0;
  const shardKeys = isOfKeys ? readList(reader, () => reader.string()) : undefined;
  return {
    ...(filter !== undefined && { filter }),
    ...(tenant !== undefined && { tenant }),
    ...(shardKeys !== undefined && { shardKeys }),
  };
}

export function writeScrollQuery(writer: ByteWriter, query: ScrollQuery): void {
  writeSelection(writer, query);
  writeOptional(writer, query.after, (position) => writePosition(writer, position));
  writer.varint(query.limit).bool(query.includeValues).bool(query.includeMetadata);
}

export function readScrollQuery(reader: ByteReader): ScrollQuery {
  const selection = readSelection(reader);
  const after = readOptional(reader, () => readPosition(reader));
  return {
    ...selection,
    ...(after !== undefined && { after }),
    limit: reader.varint(),
    includeValues: reader.bool(),
    includeMetadata: reader.bool(),
  };
}

function writePosition(writer: ByteWriter, { id, tenant }: ScrollPosition): void {
  writer.string(id).string(tenant);
}

function readPosition(reader: ByteReader): ScrollPosition {
  return { id: reader.string(), tenant: reader.string() };
}

/**
 * Parts of a record, in the byte that says whether it has values. One without an expiry has the
 * bytes that it had before there was any; who does not know of them refuses the others.
 */
const PART = { values: 1, expiry: 2 } as const;

/** Of a hit beside its texts, values and metadata; and of an answer beside its hits. */
const HIT_BYTES = 40;

function writeRecord(writer: ByteWriter, record: StoredRecord): void {
  const { values, expiresAtMs } = record;
  writer.string(record.tenant).string(record.id).u64(record.version);
  const hasValues = values === undefined ? 0 : PART.values;
  writer.u8(hasValues | (expiresAtMs === undefined ? 0 : PART.expiry));
  if (expiresAtMs !== undefined) writer.varint(expiresAtMs);
  if (values !== undefined) writer.bytes(values);
  writeOptional(writer, record.metadata, (metadata) => writer.bytes(metadata));
}

function readRecord(reader: ByteReader): StoredRecord {
  const tenant = reader.string();
  const id = reader.string();
  const version = reader.u64();
  const parts = reader.u8();
  if (parts > (PART.values | PART.expiry)) throw new MalformedBytesError(`record parts ${parts}`);
  const expiresAtMs = (parts & PART.expiry) === 0 ? undefined : reader.varint();
  const values = (parts & PART.values) === 0 ? undefined : reader.bytes();
  const metadata = readOptional(reader, () => reader.bytes());
  return {
    tenant,
    id,
    version,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(values !== undefined && { values }),
    ...(metadata !== undefined && { metadata }),
  };
}

/** A guess of what the hits take, which saves memory and growing: answers of ten hits are many. */
function hitsSizeBytes(lists: readonly (readonly Hit[])[]): number {
  let sizeBytes = HIT_BYTES;
  for (const hits of lists) {
    for (const { id, tenant, values, metadata } of hits) {
      sizeBytes += HIT_BYTES + id.length + tenant.length;
      sizeBytes += (values?.length ?? 0) + (metadata?.length ?? 0);
    }
  }
  return sizeBytes;
}

export function encodeHits(answer: ReadAnswer<readonly (readonly Hit[])[]>): Uint8Array {
  const writer = beginReadAnswer(hitsSizeBytes(answer.value), answer.state);
  writeList(writer, answer.value, (hits) =>
    writeList(writer, hits, (hit) => {
      writer.f64(hit.distance);
      writeRecord(writer, hit);
    }),
  );
  return writer.finish();
}

export function decodeHits(bytes: Uint8Array): ReadAnswer<Hit[][]> {
  return readReadAnswer(bytes, (reader) =>
    readList(reader, () =>
      readList(reader, (): Hit => {
        const distance = reader.f64();
        return { distance, ...readRecord(reader) };
      }),
    ),
  );
}

export function encodeRecords(
  answer: ReadAnswer<readonly (StoredRecord | undefined)[]>,
): Uint8Array {
  const writer = beginReadAnswer(4096, answer.state);
  writeList(writer, answer.value, (record) => {
    writer.bool(record !== undefined);
    if (record !== undefined) writeRecord(writer, record);
  });
  return writer.finish();
}

export function decodeRecords(bytes: Uint8Array): ReadAnswer<(StoredRecord | undefined)[]> {
  return readReadAnswer(bytes, (reader) =>
    readList(reader, () => (reader.bool() ? readRecord(reader) : undefined)),
  );
}

export function encodeCount({ value, state }: ReadAnswer<number>): Uint8Array {
  return beginReadAnswer(32, state).varint(value).finish();
}

export function decodeCount(bytes: Uint8Array): ReadAnswer<number> {
  return readReadAnswer(bytes, (reader) => reader.varint());
}

export function encodeScrollPage({ value, state }: ReadAnswer<ScrollPage>): Uint8Array {
  const { records, next } = value;
  const writer = beginReadAnswer(4096, state);
  writeList(writer, records, (record) => writeRecord(writer, record));
  writeOptional(writer, next, (position) => writePosition(writer, position));
  return writer.finish();
}

export function decodeScrollPage(bytes: Uint8Array): ReadAnswer<ScrollPage> {
  return readReadAnswer(bytes, (reader) => {
    const records = readList(reader, () => readRecord(reader));
    const next = readOptional(reader, () => readPosition(reader));
    return { records, ...(next !== undefined && { next }) };
  });
}

export function encodeExplanation(answer: ReadAnswer<Explanation>): Uint8Array {
  const { value: explanation, state } = answer;
  const writer = beginReadAnswer(256, state);
  writer.u8(PLAN_KINDS.indexOf(explanation.plan)).string(explanation.reason);
  writer.varint(explanation.records).f64(explanation.estimatedMatches);
  writeOptional(writer, explanation.matches, (matches) => writer.varint(matches));
  writeList(writer, explanation.indexedFields, (path) => writer.string(path));
  writeList(writer, explanation.scannedFields, (path) => writer.string(path));
  writer.varint(explanation.visited).varint(explanation.compared).f64(explanation.durationMs);
  return writer.finish();
}

export function decodeExplanation(bytes: Uint8Array): ReadAnswer<Explanation> {
  return readReadAnswer(bytes, (reader) => {
    const plan = memberAt(PLAN_KINDS, reader.u8(), 'plan');
    const reason = reader.string();
    const records = reader.varint();
    const estimatedMatches = reader.f64();
    const matches = readOptional(reader, () => reader.varint());
    return {
      plan,
      reason,
      records,
      estimatedMatches,
      ...(matches !== undefined && { matches }),
      indexedFields: readList(reader, () => reader.string()),
      scannedFields: readList(reader, () => reader.string()),
      visited: reader.varint(),
      compared: reader.varint(),
      durationMs: reader.f64(),
    };
  });
}
