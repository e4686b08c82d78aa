/** What a search asks, as a key: equal for two searches only where the same answer serves both. */
import { unreachable } from '../shared/assert.js';
import { ByteWriter, floatBytes } from '../shared/bytes.js';
import { ownershipVersions } from '../topology/routes.js';
import type { Scope } from './read-scope.js';
import type { SearchRequestQuery } from './requests.js';

/** The parts of a scope that decide on what is found; how fresh it has to be is none of them. */
export type SearchedScope = Pick<Scope, 'collection' | 'shardIds' | 'selection'> & {
  readonly document: Pick<Scope['document'], 'shards'>;
};

/**
 * Collection, whose records, all queries with all of their options, and the shards by the versions
 * of what they own (V1). Nothing is hashed: two different searches never have one key. A character
 * a byte, of which a query has about 40 and those of its vector and filter.
 */
export function searchKey(scope: SearchedScope, queries: readonly SearchRequestQuery[]): string {
  const { collection, shardIds, selection, document } = scope;
  const versions = ownershipVersions(document);
  const writer = new ByteWriter(1_024).varint(collection.collectionId);
  writeText(writer, selection.tenant);
  writeTexts(writer, selection.shardKeys);
  writer.varint(shardIds.length);
  for (const shardId of shardIds) writer.varint(shardId).varint(versions.get(shardId) ?? 0);
  for (const query of queries) writeQuery(writer, query);
  const bytes = writer.finish();
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

function writeQuery(writer: ByteWriter, query: SearchRequestQuery): void {
  const { target, limit, offset = 0, shardK = offset + limit, ef = 0 } = query;
  switch (target.kind) {
    case 'vector': {
      const { values } = target;
      writer.u8(0).bytes(values instanceof Float32Array ? floatBytes(values) : values);
      break;
    }
    case 'record':
      writer.u8(1).string(target.id);
      writeText(writer, target.shardKey);
      break;
    default:
      unreachable(target);
  }
  writer.varint(limit).varint(offset).varint(shardK).varint(ef);
  writer.f64(query.scoreThreshold ?? Number.POSITIVE_INFINITY);
  writer.bool(query.filter !== undefined);
  if (query.filter !== undefined) writer.bytes(query.filter);
  writer.bool(query.includeValues).bool(query.includeMetadata);
}

function writeText(writer: ByteWriter, text: string | undefined): void {
  writer.bool(text !== undefined);
  if (text !== undefined) writer.string(text);
}

function writeTexts(writer: ByteWriter, texts: readonly string[] | undefined): void {
  writer.bool(texts !== undefined);
  if (texts === undefined) return;
  writer.varint(texts.length);
  for (const text of texts) writer.string(text);
}
