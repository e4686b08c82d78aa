/**
 * The messages of the public Cluster/Verify call, written and read by hand. What api-messages.ts
 * says about malformed bytes and unknown fields holds here too.
 */
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

export interface VerifyRequest {
  /** Empty for all collections. */
  readonly collection: string;
  readonly deep: boolean;
}

/** What a replica holds of a slot. */
export interface SlotHolding {
  readonly nodeId: number;
  readonly records: number;
  /** 32 hexadecimal digits; zeros for nothing. */
  readonly hash: string;
}

/** A slot that is not what it should be. */
export interface SlotDifference {
  readonly collection: string;
  readonly slot: number;
  /** By node id. */
  readonly holdings: readonly SlotHolding[];
}

/** A slot whose stored records are not those that were written. */
export interface SlotDamage {
  readonly collection: string;
  readonly slot: number;
  readonly kept: SlotHolding;
  readonly found: SlotHolding;
}

export interface VerifiedReplica {
  readonly nodeId: number;
  /** Why nothing can be said about it; empty where it was compared. */
  readonly problem: string;
}

export interface ShardVerification {
  readonly shardId: number;
  /** Log index that all replicas were compared at; 0 where none could be fixed. */
  readonly index: number;
  /** Why the shard could not be looked at; empty where it could. */
  readonly problem: string;
  readonly replicas: readonly VerifiedReplica[];
  /** Slots that hold records on any replica. */
  readonly slots: number;
  readonly differences: readonly SlotDifference[];
  /** Only where a deep comparison was asked for. */
  readonly damages: readonly SlotDamage[];
}

export interface VerifyResponse {
  readonly shards: readonly ShardVerification[];
}

export function encodeVerifyRequest({ collection, deep }: VerifyRequest): Buffer {
  return new ProtobufWriter(64).string(1, collection).bool(2, deep).finish();
}

export function decodeVerifyRequest(bytes: Uint8Array): VerifyRequest {
  const reader = new ProtobufReader(bytes);
  const request = { collection: '', deep: false };
  while (reader.next()) {
    if (reader.field === 1) request.collection = reader.string();
    else if (reader.field === 2) request.deep = reader.bool();
    else reader.skip();
  }
  return request;
}

export function encodeVerifyResponse({ shards }: VerifyResponse): Buffer {
  const writer = new ProtobufWriter(1_024);
  for (const shard of shards) {
    writer.open(1, 256).uint(1, shard.shardId).uint(2, shard.index).string(3, shard.problem);
    for (const { nodeId, problem } of shard.replicas) {
      writer.open(4).uint(1, nodeId).string(2, problem).close();
    }
    writer.uint(5, shard.slots);
    for (const { collection, slot, holdings } of shard.differences) {
      writer.open(6, 64).string(1, collection).uint(2, slot);
      for (const holding of holdings) writeHolding(writer, 3, holding);
      writer.close();
    }
    for (const { collection, slot, kept, found } of shard.damages) {
      writer.open(7, 64).string(1, collection).uint(2, slot);
      writeHolding(writer, 3, kept);
      writeHolding(writer, 4, found);
      writer.close();
    }
    writer.close();
  }
  return writer.finish();
}

export function decodeVerifyResponse(bytes: Uint8Array): VerifyResponse {
  const reader = new ProtobufReader(bytes);
  const shards: ShardVerification[] = [];
  while (reader.next()) {
    if (reader.field === 1) shards.push(readShard(reader));
    else reader.skip();
  }
  return { shards };
}

function readShard(reader: ProtobufReader): ShardVerification {
  const outer = reader.open();
  const replicas: VerifiedReplica[] = [];
  const differences: SlotDifference[] = [];
  const damages: SlotDamage[] = [];
  const shard = { shardId: 0, index: 0, problem: '', slots: 0, replicas, differences, damages };
  while (reader.next()) {
    if (reader.field === 1) shard.shardId = reader.uint32();
    else if (reader.field === 2) shard.index = reader.uint64();
    else if (reader.field === 3) shard.problem = reader.string();
    else if (reader.field === 4) replicas.push(readReplica(reader));
    else if (reader.field === 5) shard.slots = reader.uint32();
    else if (reader.field === 6) differences.push(readDifference(reader));
    else if (reader.field === 7) damages.push(readDamage(reader));
    else reader.skip();
  }
  reader.close(outer);
  return shard;
}

function readReplica(reader: ProtobufReader): VerifiedReplica {
  const outer = reader.open();
  const replica = { nodeId: 0, problem: '' };
  while (reader.next()) {
    if (reader.field === 1) replica.nodeId = reader.uint32();
    else if (reader.field === 2) replica.problem = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return replica;
}

function readDifference(reader: ProtobufReader): SlotDifference {
  const outer = reader.open();
  const holdings: SlotHolding[] = [];
  const difference = { collection: '', slot: 0, holdings };
  while (reader.next()) {
    if (reader.field === 1) difference.collection = reader.string();
    else if (reader.field === 2) difference.slot = reader.uint32();
    else if (reader.field === 3) holdings.push(readHolding(reader));
    else reader.skip();
  }
  reader.close(outer);
  return difference;
}

function readDamage(reader: ProtobufReader): SlotDamage {
  const outer = reader.open();
  const nothing: SlotHolding = { nodeId: 0, records: 0, hash: '' };
  const damage = { collection: '', slot: 0, kept: nothing, found: nothing };
  while (reader.next()) {
    if (reader.field === 1) damage.collection = reader.string();
    else if (reader.field === 2) damage.slot = reader.uint32();
    else if (reader.field === 3) damage.kept = readHolding(reader);
    else if (reader.field === 4) damage.found = readHolding(reader);
    else reader.skip();
  }
  reader.close(outer);
  return damage;
}

function writeHolding(writer: ProtobufWriter, field: number, holding: SlotHolding): void {
  writer.open(field, 48).uint(1, holding.nodeId).uint(2, holding.records);
  writer.string(3, holding.hash).close();
}

function readHolding(reader: ProtobufReader): SlotHolding {
  const outer = reader.open();
  const holding = { nodeId: 0, records: 0, hash: '' };
  while (reader.next()) {
    if (reader.field === 1) holding.nodeId = reader.uint32();
    else if (reader.field === 2) holding.records = reader.uint64();
    else if (reader.field === 3) holding.hash = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return holding;
}
