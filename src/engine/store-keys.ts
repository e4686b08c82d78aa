/**
 * Keys of the point store. A table byte, then the parts, big-endian, so that byte order is the
 * order of the parts: records lie by collection, unit (slot), tenant, id.
 */
import { MalformedBytesError, utf8 } from '../shared/bytes.js';
import type { RecordKey } from './engine.js';

const TABLE = {
  shard: 1,
  appliedIndex: 2,
  collection: 3,
  sessionWatermark: 4,
  sessionClient: 5,
  sessionOutcomes: 6,
  lastVersion: 7,
  contentFormat: 8,
  slotSum: 9,
  record: 16,
} as const;

const RECORD_TENANT_AT = 9;

/**
 * Ends a tenant. A zero inside one is followed by 0xff, which starts no UTF-8 text: the end is
 * unambiguous, and the order of tenants is kept.
 */
const TENANT_END = 0;
const ZERO_INSIDE = 0xff;

export interface KeyRange {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
}

export const SHARD_KEY = Uint8Array.of(TABLE.shard);
export const APPLIED_INDEX_KEY = Uint8Array.of(TABLE.appliedIndex);
export const LAST_VERSION_KEY = Uint8Array.of(TABLE.lastVersion);
export const SESSION_WATERMARK_KEY = Uint8Array.of(TABLE.sessionWatermark);
export const CONTENT_FORMAT_KEY = Uint8Array.of(TABLE.contentFormat);

export const COLLECTIONS_RANGE = tableRange(TABLE.collection);
export const SESSION_CLIENTS_RANGE = tableRange(TABLE.sessionClient);
export const SESSION_OUTCOMES_RANGE = tableRange(TABLE.sessionOutcomes);
export const SLOT_SUMS_RANGE = tableRange(TABLE.slotSum);

/** All tables but the records. */
export const SHARD_TABLES_RANGE: KeyRange = {
  gte: Uint8Array.of(0),
  lt: Uint8Array.of(TABLE.record),
};

function tableRange(table: number): KeyRange {
  return { gte: Uint8Array.of(table), lt: Uint8Array.of(table + 1) };
}

export function collectionKey(collectionId: number): Uint8Array {
  const key = Buffer.alloc(5);
  key[0] = TABLE.collection;
  key.writeUInt32BE(collectionId, 1);
  return key;
}

/** Whether the key is one that `collectionKey` makes. */
export function isCollectionKey(key: Uint8Array): boolean {
  return key[0] === TABLE.collection;
}

/** Of any key that begins with the collection. */
export function collectionIdOf(key: Uint8Array): number {
  return Buffer.from(key).readUInt32BE(1);
}

export function sessionClientKey(clientId: string): Uint8Array {
  return Buffer.concat([Uint8Array.of(TABLE.sessionClient), utf8(clientId)]);
}

export function sessionClientOfKey(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8', 1);
}

/** `index` is the log index of the entry that the outcomes come from. */
export function sessionOutcomesKey(clientId: string, sequence: number, index: number): Uint8Array {
  const client = utf8(clientId);
  const key = Buffer.alloc(21 + client.length);
  key[0] = TABLE.sessionOutcomes;
  key.writeUInt32BE(client.length, 1);
  key.set(client, 5);
  key.writeBigUInt64BE(BigInt(sequence), 5 + client.length);
  key.writeBigUInt64BE(BigInt(index), 13 + client.length);
  return key;
}

export function sessionOutcomesOfKey(bytes: Uint8Array): {
  clientId: string;
  sequence: number;
  index: number;
} {
  const key = Buffer.from(bytes);
  const clientEnd = 5 + key.readUInt32BE(1);
  return {
    clientId: key.toString('utf8', 5, clientEnd),
    sequence: Number(key.readBigUInt64BE(clientEnd)),
    index: Number(key.readBigUInt64BE(clientEnd + 8)),
  };
}

/** Where the content hash of a collection's slot is. */
export function slotSumKey(collectionId: number, slot: number): Uint8Array {
  const key = Buffer.alloc(9);
  key[0] = TABLE.slotSum;
  key.writeUInt32BE(collectionId, 1);
  key.writeUInt32BE(slot, 5);
  return key;
}

export function slotSumOfKey(bytes: Uint8Array): { collectionId: number; slot: number } {
  const key = Buffer.from(bytes);
  return { collectionId: key.readUInt32BE(1), slot: key.readUInt32BE(5) };
}

/** Whether the key is one that `slotSumKey` makes. */
export function isSlotSumKey(key: Uint8Array): boolean {
  return key[0] === TABLE.slotSum;
}

/** Whether the key is one that `recordKey` makes. */
export function isRecordKey(key: Uint8Array): boolean {
  return key[0] === TABLE.record;
}

/** All records of a collection. */
export function recordsRange(collectionId: number): KeyRange {
  return { gte: recordPrefix(collectionId), lt: recordPrefix(collectionId + 1) };
}

function recordPrefix(collectionId: number): Uint8Array {
  const prefix = Buffer.alloc(5);
  prefix[0] = TABLE.record;
  // One past the last collection id still sorts after all of them.
  if (collectionId > 0xffff_ffff) return Uint8Array.of(TABLE.record + 1);
  prefix.writeUInt32BE(collectionId, 1);
  return prefix;
}

export function recordKey(collectionId: number, { slot, tenant, id }: RecordKey): Uint8Array {
  const escaped = tenant.includes('\0') ? escapeZeros(utf8(tenant)) : utf8(tenant);
  const key = Buffer.alloc(RECORD_TENANT_AT + escaped.length + 1 + Buffer.byteLength(id));
  key[0] = TABLE.record;
  key.writeUInt32BE(collectionId, 1);
  key.writeUInt32BE(slot, 5);
  key.set(escaped, RECORD_TENANT_AT);
  key[RECORD_TENANT_AT + escaped.length] = TENANT_END;
  key.write(id, RECORD_TENANT_AT + escaped.length + 1);
  return key;
}

export function recordKeyParts(bytes: Uint8Array): RecordKey {
  const key = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tenant: number[] = [];
  let at = RECORD_TENANT_AT;
  for (; at < key.length; at++) {
    const byte = key[at] as number;
    if (byte === TENANT_END) {
      if (key[at + 1] !== ZERO_INSIDE) break;
      at++;
    }
    tenant.push(byte);
  }
  if (at >= key.length) throw new MalformedBytesError('the tenant of a record key has no end');
  return {
    slot: key.readUInt32BE(5),
    tenant: Buffer.from(tenant).toString(),
    id: key.toString('utf8', at + 1),
  };
}

function escapeZeros(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(
    [...bytes].flatMap((byte) => (byte === TENANT_END ? [byte, ZERO_INSIDE] : [byte])),
  );
}
