/**
 * What a group's log is, beside its entries: one record per group, rewritten in every batch that
 * holds something of the group, so that entries and hard state can never disagree (S1).
 */
import { ByteReader, ByteWriter } from '../shared/bytes.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import { metaKey } from './keys.js';

export interface GroupMeta {
  readonly term: number;
  /** Replica voted for in `term`; 0 for none. */
  readonly vote: number;
  readonly commit: number;
  /** Index of the first entry; everything before it is compacted away. */
  readonly firstIndex: number;
  /** Term of the entry before the first one; 0 for a log that starts at 1. */
  readonly previousTerm: number;
  /** Index of the last entry. Keys beyond it are left-overs of a truncated suffix. */
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Index of the configuration record; undefined while there is none but the genesis. */
  readonly configurationIndex: number | undefined;
  /** Counts the group's batches; tells an older state of the database from a newer one. */
  readonly batchSequence: number;
}

export const NEW_GROUP_META: GroupMeta = {
  term: 0,
  vote: 0,
  commit: 0,
  firstIndex: 1,
  previousTerm: 0,
  lastIndex: 0,
  lastTerm: 0,
  configurationIndex: undefined,
  batchSequence: 0,
};

/** Version 1 had no configuration but the genesis. */
const VERSION = 2;

export function encodeMeta(groupId: number, meta: GroupMeta): Uint8Array {
  const body = new ByteWriter(64)
    .varint(meta.term)
    .varint(meta.vote)
    .varint(meta.commit)
    .varint(meta.firstIndex)
    .varint(meta.previousTerm)
    .varint(meta.lastIndex)
    .varint(meta.lastTerm)
    .varint(meta.batchSequence)
    .varint(meta.configurationIndex === undefined ? 0 : meta.configurationIndex + 1)
    .finish();
  return seal(body, metaKey(groupId), VERSION);
}

/** The record under `key`, the group's `metaKey`. Throws a `RecordError`. */
export function decodeMeta(key: Uint8Array, record: Uint8Array): GroupMeta {
  return decodeBody(record, key, decode, VERSION);
}

function decode(body: Uint8Array, version: number): GroupMeta {
  const reader = new ByteReader(body);
  const meta = {
    term: reader.varint(),
    vote: reader.varint(),
    commit: reader.varint(),
    firstIndex: reader.varint(),
    previousTerm: reader.varint(),
    lastIndex: reader.varint(),
    lastTerm: reader.varint(),
    batchSequence: reader.varint(),
    configurationIndex: version === 1 ? undefined : readConfigurationIndex(reader),
  };
  reader.end();
  return meta;
}

function readConfigurationIndex(reader: ByteReader): number | undefined {
  const following = reader.varint();
  return following === 0 ? undefined : following - 1;
}
