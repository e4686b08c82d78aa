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
  /** What the search itself took on the shard. */
  readonly durationMs: number;
  /**
   * Why this replica was asked: 'leader', 'local', 'near', 'any', 'next', 'last', 'relay' or
   * 'hedge'.
   */
  readonly choice: string;
  /** Until the attempt began that was answered: others before it, and pauses. */
  readonly waitedMs: number;
  /** The attempt without `durationMs`: network, queues, and the proof of its freshness. */
  readonly networkMs: number;
  readonly foundHits: number;
  /** How many of them are among the hits of the whole search. */
  readonly usedHits: number;
}

/** A shard that was not asked. */
export interface SkippedShard {
  readonly shardId: number;
  /** 'tenant', 'shard-key' or 'owns-nothing'. */
  readonly why: string;
}

/** An attempt at a replica that did not give the answer. */
export interface FailedAttempt {
  readonly shardId: number;
  readonly nodeId: number;
  /** As in `ShardExplanation`. */
  readonly choice: string;
  /** Of its error; 'GIVEN_UP' where nobody waited for it any more. */
  readonly reason: string;
  readonly durationMs: number;
}

/** Where the time of a search went; the parts add up to the whole. */
export interface SearchStages {
  /** Until the shards were chosen; the vector of a query by id is read here. */
  readonly routeMs: number;
  /** Until the last shard that was waited for had answered. */
  readonly fanOutMs: number;
  readonly mergeMs: number;
}

/** Whether a search would have been answered from the node's cache. */
export interface CacheVerdict {
  /** 'hit', 'miss', 'off', or 'not-asked' where the search has to be fresher than a cache is. */
  readonly verdict: string;
  /** Why, in a sentence. */
  readonly reason: string;
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
  /** By shard id. A node of a version without it tells none, nor any of what follows. */
  readonly skipped: readonly SkippedShard[];
  /** Of all shards. */
  readonly attempts: readonly FailedAttempt[];
  readonly stages: SearchStages;
  readonly cache: CacheVerdict;
}

const NO_STAGES: SearchStages = { routeMs: 0, fanOutMs: 0, mergeMs: 0 };
const NO_VERDICT: CacheVerdict = { verdict: '', reason: '' };

export function encodeExplainResponse(message: ExplainResponse): Buffer {
  const { shards, epoch, failed, degraded, served } = message;
  const { skipped, attempts, stages, cache } = message;
  const writer = new ProtobufWriter(256);
  for (const shard of shards) {
    writer.open(1, 128).uint(1, shard.shardId).string(2, shard.plan).string(3, shard.reason);
    writer.uint(4, shard.records).uint(5, Math.round(shard.estimatedMatches));
    writer.optionalUint(6, shard.matches);
    for (const path of shard.indexedFields) writer.optionalString(7, path);
    for (const path of shard.scannedFields) writer.optionalString(8, path);
    writer.uint(9, shard.visited).uint(10, shard.compared).float(11, shard.durationMs);
    writer.string(12, shard.choice).float(13, shard.waitedMs).float(14, shard.networkMs);
    writer.uint(15, shard.foundHits).uint(16, shard.usedHits).close();
  }
  writer.uint(2, epoch).uints(3, failed).bool(4, degraded);
  for (const { shardId, why } of skipped) {
    writer.open(5).uint(1, shardId).string(2, why).close();
  }
  for (const { shardId, nodeId, choice, reason, durationMs } of attempts) {
    writer.open(6).uint(1, shardId).uint(2, nodeId).string(3, choice);
    writer.string(4, reason).float(5, durationMs).close();
  }
  const { routeMs, fanOutMs, mergeMs } = stages;
  writer.open(7).float(1, routeMs).float(2, fanOutMs).float(3, mergeMs).close();
  writer.open(8).string(1, cache.verdict).string(2, cache.reason).close();
  return writeServed(writer, served).finish();
}

export function decodeExplainResponse(bytes: Uint8Array): ExplainResponse {
  const reader = new ProtobufReader(bytes);
  const shards: ShardExplanation[] = [];
  let epoch = 0;
  const failed: number[] = [];
  let degraded = false;
  const served: ServedShard[] = [];
  const skipped: SkippedShard[] = [];
  const attempts: FailedAttempt[] = [];
  let stages = NO_STAGES;
  let cache = NO_VERDICT;
  while (reader.next()) {
    if (reader.field === 1) shards.push(readShardExplanation(reader));
    else if (reader.field === 2) epoch = reader.uint64();
    else if (reader.field === 3) reader.uint32s(failed);
    else if (reader.field === 4) degraded = reader.bool();
    else if (reader.field === 5) skipped.push(readSkipped(reader));
    else if (reader.field === 6) attempts.push(readAttempt(reader));
    else if (reader.field === 7) stages = readStages(reader);
    else if (reader.field === 8) cache = readVerdict(reader);
    else if (reader.field === FRESHNESS_FIELD) served.push(readServed(reader));
    else reader.skip();
  }
  return { shards, epoch, failed, degraded, served, skipped, attempts, stages, cache };
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
    choice: '',
    waitedMs: 0,
    networkMs: 0,
    foundHits: 0,
    usedHits: 0,
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
    else if (!readShardTrace(reader, shard)) reader.skip();
  }
  reader.close(outer);
  return { ...shard, ...(matches !== undefined && { matches }), indexedFields, scannedFields };
}

/** Times, choice and hits of a shard's explanation, while it is read. */
type ShardTrace = {
  -readonly [Key in
    | 'durationMs'
    | 'choice'
    | 'waitedMs'
    | 'networkMs'
    | 'foundHits'
    | 'usedHits']: ShardExplanation[Key];
};

/** Reads one of these fields into `trace`; false, with nothing read, where it is another one. */
function readShardTrace(reader: ProtobufReader, trace: ShardTrace): boolean {
  if (reader.field === 11) trace.durationMs = reader.float();
  else if (reader.field === 12) trace.choice = reader.string();
  else if (reader.field === 13) trace.waitedMs = reader.float();
  else if (reader.field === 14) trace.networkMs = reader.float();
  else if (reader.field === 15) trace.foundHits = reader.uint32();
  else if (reader.field === 16) trace.usedHits = reader.uint32();
  else return false;
  return true;
}

function readSkipped(reader: ProtobufReader): SkippedShard {
  const outer = reader.open();
  const skipped = { shardId: 0, why: '' };
  while (reader.next()) {
    if (reader.field === 1) skipped.shardId = reader.uint32();
    else if (reader.field === 2) skipped.why = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return skipped;
}

function readAttempt(reader: ProtobufReader): FailedAttempt {
  const outer = reader.open();
  const attempt = { shardId: 0, nodeId: 0, choice: '', reason: '', durationMs: 0 };
  while (reader.next()) {
    if (reader.field === 1) attempt.shardId = reader.uint32();
    else if (reader.field === 2) attempt.nodeId = reader.uint32();
    else if (reader.field === 3) attempt.choice = reader.string();
    else if (reader.field === 4) attempt.reason = reader.string();
    else if (reader.field === 5) attempt.durationMs = reader.float();
    else reader.skip();
  }
  reader.close(outer);
  return attempt;
}

function readStages(reader: ProtobufReader): SearchStages {
  const outer = reader.open();
  const stages = { ...NO_STAGES };
  while (reader.next()) {
    if (reader.field === 1) stages.routeMs = reader.float();
    else if (reader.field === 2) stages.fanOutMs = reader.float();
    else if (reader.field === 3) stages.mergeMs = reader.float();
    else reader.skip();
  }
  reader.close(outer);
  return stages;
}

function readVerdict(reader: ProtobufReader): CacheVerdict {
  const outer = reader.open();
  const verdict = { ...NO_VERDICT };
  while (reader.next()) {
    if (reader.field === 1) verdict.verdict = reader.string();
    else if (reader.field === 2) verdict.reason = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return verdict;
}
