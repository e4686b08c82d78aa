/**
 * The parts of public messages about freshness, written and read by hand. They are in fields of
 * their own, so that a node of a version which does not know them skips them, and reads strongly.
 */
import type { RelaxedConsistency, SeenShard, ServedShard } from '../consistency.js';
import { limitExceeded } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** The field of all requests and answers that have such a part. */
export const FRESHNESS_FIELD = 15;

/** `undefined` where the message has none, or a level that this version does not know. */
export type RequestedFreshness = RelaxedConsistency | undefined;

export function writeFreshness(
  writer: ProtobufWriter,
  freshness: RequestedFreshness,
): ProtobufWriter {
  if (freshness === undefined) return writer;
  writer.open(FRESHNESS_FIELD);
  if (freshness === 'eventual') writer.bool(1, true);
  else if ('boundedMs' in freshness) writer.optionalUint(2, freshness.boundedMs);
  else {
    writer.open(3);
    for (const seen of freshness.session) {
      writer.open(1);
      writeSeen(writer, seen);
      writer.close();
    }
    writer.close();
  }
  return writer.close();
}

export function readFreshness(reader: ProtobufReader): RequestedFreshness {
  const outer = reader.open();
  let freshness: RequestedFreshness;
  while (reader.next()) {
    if (reader.field === 1) freshness = reader.bool() ? 'eventual' : undefined;
    else if (reader.field === 2) freshness = { boundedMs: reader.uint64() };
    else if (reader.field === 3) freshness = { session: readSession(reader) };
    else reader.skip();
  }
  reader.close(outer);
  return freshness;
}

/** What a write has written. */
export function writeWritten(
  writer: ProtobufWriter,
  written: readonly SeenShard[] = [],
): ProtobufWriter {
  for (const seen of written) {
    writer.open(FRESHNESS_FIELD);
    writeSeen(writer, seen);
    writer.close();
  }
  return writer;
}

/** Where the parts of an answer come from. */
export function writeServed(
  writer: ProtobufWriter,
  served: readonly ServedShard[] = [],
): ProtobufWriter {
  for (const part of served) {
    writer.open(FRESHNESS_FIELD);
    writeSeen(writer, part);
    const { nodeId, ageMs } = part;
    const wholeMs = ageMs === undefined ? undefined : Math.ceil(ageMs);
    writer.uint(4, nodeId).optionalUint(5, wholeMs).close();
  }
  return writer;
}

export function readServed(reader: ProtobufReader): ServedShard {
  const outer = reader.open();
  let shardId = 0;
  let ownershipVersion = 0;
  let appliedIndex = 0;
  let nodeId = 0;
  let ageMs: number | undefined;
  while (reader.next()) {
    if (reader.field === 1) shardId = reader.uint32();
    else if (reader.field === 2) ownershipVersion = reader.uint64();
    else if (reader.field === 3) appliedIndex = reader.uint64();
    else if (reader.field === 4) nodeId = reader.uint32();
    else if (reader.field === 5) ageMs = reader.uint64();
    else reader.skip();
  }
  reader.close(outer);
  return {
    shardId,
    ownershipVersion,
    appliedIndex,
    nodeId,
    ...(ageMs !== undefined && { ageMs }),
  };
}

export function readSeen(reader: ProtobufReader): SeenShard {
  const { shardId, ownershipVersion, appliedIndex } = readServed(reader);
  return { shardId, ownershipVersion, appliedIndex };
}

function writeSeen(writer: ProtobufWriter, seen: SeenShard): void {
  const { shardId, ownershipVersion, appliedIndex } = seen;
  writer.uint(1, shardId).uint(2, ownershipVersion).uint(3, appliedIndex);
}

/** Up to the limit and no further, as all lists of requests. */
function readSession(reader: ProtobufReader): SeenShard[] {
  const outer = reader.open();
  const session: SeenShard[] = [];
  while (reader.next()) {
    if (reader.field !== 1) {
      reader.skip();
      continue;
    }
    if (session.length >= LIMITS.shardsMax.value) {
      throw limitExceeded('shardsMax', 'freshness.session.shards');
    }
    session.push(readSeen(reader));
  }
  reader.close(outer);
  return session;
}
