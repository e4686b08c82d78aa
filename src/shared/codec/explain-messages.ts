/**
 * The answer of the public Records service to Explain, written and read by hand. Its request is
 * that of a search.
 */
import type { ServedShard } from '../consistency.js';
import { FRESHNESS_FIELD, readServed, writeServed } from './freshness-messages.js';
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** How one shard carried a search out. */
export interface ShardExplanation {
  readonly shardId: number;
  /** 'graph', 'graph-filtered', 'exact-rows' or 'scan'. */
  readonly plan: string;
  /** Why it was chosen, in a sentence. */
  readonly reason: string;
  /** Records of the collection on the shard. */
  readonly records: number;
  /** How many were expected to match the filter. */
  readonly estimatedMatches: number;
  /** How many do; absent where the search did not come to know. */
  readonly matches?: number | undefined;
  /** Paths of the filter that a payload index answers. */
  readonly indexedFields: readonly string[];
  /** Paths of the filter that stored metadata are read for. */
  readonly scannedFields: readonly string[];
  /** Points and records that were asked whether they match. */
  readonly visited: number;
  /** Distances that were computed outside the graph. */
  readonly compared: number;
  readonly durationMs: number;
}

export interface ExplainResponse {
  /** By shard id. */
  readonly shards: readonly ShardExplanation[];
  readonly epoch: number;
  /** Ids of the shards that did not answer. */
  readonly failed: readonly number[];
  /** True when a shard is missing; only with `allowPartial`. */
  readonly degraded: boolean;
  /** Which replica answered for each shard. @default nothing is told */
  readonly served?: readonly ServedShard[] | undefined;
}

export function encodeExplainResponse(message: ExplainResponse): Buffer {
  const { shards, epoch, failed, degraded, served } = message;
  const writer = new ProtobufWriter(256);
  for (const shard of shards) {
    writer.open(1, 128).uint(1, shard.shardId).string(2, shard.plan).string(3, shard.reason);
    writer.uint(4, shard.records).uint(5, Math.round(shard.estimatedMatches));
    writer.optionalUint(6, shard.matches);
    for (const path of shard.indexedFields) writer.optionalString(7, path);
    for (const path of shard.scannedFields) writer.optionalString(8, path);
    writer.uint(9, shard.visited).uint(10, shard.compared).float(11, shard.durationMs).close();
  }
  writer.uint(2, epoch).uints(3, failed).bool(4, degraded);
  return writeServed(writer, served).finish();
}

export function decodeExplainResponse(bytes: Uint8Array): ExplainResponse {
  const reader = new ProtobufReader(bytes);
  const shards: ShardExplanation[] = [];
  let epoch = 0;
  const failed: number[] = [];
  let degraded = false;
  const served: ServedShard[] = [];
  while (reader.next()) {
    if (reader.field === 1) shards.push(readShardExplanation(reader));
    else if (reader.field === 2) epoch = reader.uint64();
    else if (reader.field === 3) reader.uint32s(failed);
    else if (reader.field === 4) degraded = reader.bool();
    else if (reader.field === FRESHNESS_FIELD) served.push(readServed(reader));
    else reader.skip();
  }
  return { shards, epoch, failed, degraded, served };
}

function readShardExplanation(reader: ProtobufReader): ShardExplanation {
  const outer = reader.open();
  const shard = {
    shardId: 0,
    plan: '',
    reason: '',
    records: 0,
    estimatedMatches: 0,
    visited: 0,
    compared: 0,
    durationMs: 0,
  };
  let matches: number | undefined;
  const indexedFields: string[] = [];
  const scannedFields: string[] = [];
  while (reader.next()) {
    if (reader.field === 1) shard.shardId = reader.uint32();
    else if (reader.field === 2) shard.plan = reader.string();
    else if (reader.field === 3) shard.reason = reader.string();
    else if (reader.field === 4) shard.records = reader.uint64();
    else if (reader.field === 5) shard.estimatedMatches = reader.uint64();
    else if (reader.field === 6) matches = reader.uint64();
    else if (reader.field === 7) indexedFields.push(reader.string());
    else if (reader.field === 8) scannedFields.push(reader.string());
    else if (reader.field === 9) shard.visited = reader.uint64();
    else if (reader.field === 10) shard.compared = reader.uint64();
    else if (reader.field === 11) shard.durationMs = reader.float();
    else reader.skip();
  }
  reader.close(outer);
  return { ...shard, ...(matches !== undefined && { matches }), indexedFields, scannedFields };
}
