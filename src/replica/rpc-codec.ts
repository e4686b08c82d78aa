/**
 * The calls between a router and a replica on another node, as bytes: service byte, format byte,
 * method byte, group, epoch, what is left of the deadline, consistency, whether to pass it on,
 * then the method's own fields.
 */
import {
  type CollectionStats,
  type CommandResult,
  type ContentQuery,
  type EngineStats,
  GRAPH_WORKS,
  type ReadScope,
  type RecordKey,
  type ScrollQuery,
  type SearchQuery,
  type Selection,
  type TenantsQuery,
} from '../engine/engine.js';
import type { ProgressState, Role } from '../raft/types.js';
import { unreachable } from '../shared/assert.js';
import { ByteReader, ByteWriter, MalformedBytesError, memberAt } from '../shared/bytes.js';
import { readErrorBody, writeErrorBody } from '../shared/codec/error-body.js';
import { SERVICE } from '../shared/codec/services.js';
import { readSessionReach, writeSessionReach } from '../shared/codec/session-reach.js';
import type { ShardConsistency } from '../shared/consistency.js';
import { READ_CONSISTENCIES, type WriteOutcome } from '../shared/types.js';
import type { FollowerStatus, ProposalAnswer, ReplicaStatus } from './replica.js';
import { readContentQuery, writeContentQuery } from './rpc-contents.js';
import {
  READ_FORMAT,
  RPC_FORMAT,
  readAnswer,
  readList,
  readOptional,
  writeList,
  writeOptional,
} from './rpc-parts.js';
import {
  readConsistency,
  readQuery,
  readScope,
  readScrollQuery,
  readSelection,
  writeConsistency,
  writeQuery,
  writeScope,
  writeScrollQuery,
  writeSelection,
} from './rpc-reads.js';
import { readTenantsQuery, writeTenantsQuery } from './rpc-tenants.js';
import type { TransferProgress } from './transfer-meter.js';

export type ReplicaCall =
  | { readonly method: 'propose'; readonly commands: readonly Uint8Array[] }
  | {
      readonly method: 'search';
      readonly scope: ReadScope;
      readonly queries: readonly SearchQuery[];
    }
  | {
      readonly method: 'fetch';
      readonly scope: ReadScope;
      readonly keys: readonly RecordKey[];
      readonly include: { readonly values: boolean; readonly metadata: boolean };
    }
  | { readonly method: 'count'; readonly scope: ReadScope; readonly selection: Selection }
  | { readonly method: 'scroll'; readonly scope: ReadScope; readonly query: ScrollQuery }
  | { readonly method: 'explain'; readonly scope: ReadScope; readonly query: SearchQuery }
  | { readonly method: 'tenants'; readonly scope: ReadScope; readonly query: TenantsQuery }
  | { readonly method: 'contents'; readonly query: ContentQuery }
  | { readonly method: 'barrier' }
  | { readonly method: 'status' };

/** By their numbers on the wire. */
const METHODS = [
  'propose',
  'search',
  'fetch',
  'count',
  'barrier',
  'status',
  'scroll',
  'explain',
  'contents',
  'tenants',
] as const;
const ROLES: readonly Role[] = [
  'StateFollower',
  'StateCandidate',
  'StateLeader',
  'StatePreCandidate',
];
const PROGRESS_STATES: readonly ProgressState[] = ['StateProbe', 'StateReplicate', 'StateSnapshot'];

/**
 * In which format a call goes out, and its answer comes back. Nodes of a version that had only
 * strong and leased reads know the first.
 */
export type CallFormat = typeof RPC_FORMAT | typeof READ_FORMAT;

export interface AddressedCall {
  /** `READ_FORMAT` is for reads and the status. */
  readonly format: CallFormat;
  readonly groupId: number;
  readonly epoch: number;
  readonly timeoutMs: number;
  /** Relaxed ones need `READ_FORMAT`. */
  readonly consistency: ShardConsistency;
  /** See `CallContext`. */
  readonly passOn: boolean;
  readonly call: ReplicaCall;
}

export function encodeCall(addressed: AddressedCall): Uint8Array {
  const { format, groupId, epoch, timeoutMs, consistency, passOn, call } = addressed;
  const writer = new ByteWriter(call.method === 'propose' ? sizeHint(call.commands) : 1024);
  writer
    .u8(SERVICE.replica)
    .u8(format)
    .u8(METHODS.indexOf(call.method))
    .varint(groupId)
    .varint(epoch)
    .varint(Math.max(0, Math.floor(timeoutMs)));
  writeConsistency(writer, consistency);
  writer.bool(passOn);
  switch (call.method) {
    case 'propose':
      writeList(writer, call.commands, (command) => writer.bytes(command));
      break;
    case 'search':
      writeScope(writer, call.scope);
      writeList(writer, call.queries, (query) => writeQuery(writer, query));
      break;
    case 'fetch':
      writeScope(writer, call.scope);
      writer.bool(call.include.values).bool(call.include.metadata);
      writeList(writer, call.keys, (key) =>
        writer.varint(key.slot).string(key.tenant).string(key.id),
      );
      break;
    case 'count':
      writeScope(writer, call.scope);
      writeSelection(writer, call.selection);
      break;
    case 'scroll':
      writeScope(writer, call.scope);
      writeScrollQuery(writer, call.query);
      break;
    case 'explain':
      writeScope(writer, call.scope);
      writeQuery(writer, call.query);
      break;
    case 'tenants':
      writeScope(writer, call.scope);
      writeTenantsQuery(writer, call.query);
      break;
    case 'contents':
      writeContentQuery(writer, call.query);
      break;
    case 'barrier':
    case 'status':
      break;
    default:
      unreachable(call);
  }
  return writer.finish();
}

export function decodeCall(bytes: Uint8Array): AddressedCall {
  const reader = new ByteReader(bytes);
  const service = reader.u8();
  if (service !== SERVICE.replica) throw new MalformedBytesError(`service ${service}`);
  const format = reader.u8();
  if (format !== RPC_FORMAT && format !== READ_FORMAT) {
    throw new MalformedBytesError(`replica call format ${format}`);
  }
  const method = memberAt(METHODS, reader.u8(), 'method');
  const groupId = reader.varint();
  const epoch = reader.varint();
  const timeoutMs = reader.varint();
  const consistency =
    format === READ_FORMAT
      ? readConsistency(reader)
      : memberAt(READ_CONSISTENCIES, reader.u8(), 'consistency');
  const passOn = reader.bool();
  const call = readCall(reader, method);
  reader.end();
  return { format, groupId, epoch, timeoutMs, consistency, passOn, call };
}

function readCall(reader: ByteReader, method: ReplicaCall['method']): ReplicaCall {
  switch (method) {
    case 'propose':
      // Copies: the leader stamps its version into the commands.
      return { method, commands: readList(reader, () => reader.bytes().slice()) };
    case 'search':
      return {
        method,
        scope: readScope(reader),
        queries: readList(reader, () => readQuery(reader)),
      };
    case 'fetch': {
      const scope = readScope(reader);
      const include = { values: reader.bool(), metadata: reader.bool() };
      const keys = readList(reader, () => ({
        slot: reader.varint(),
        tenant: reader.string(),
        id: reader.string(),
      }));
      return { method, scope, include, keys };
    }
    case 'count':
      return { method, scope: readScope(reader), selection: readSelection(reader) };
    case 'scroll':
      return { method, scope: readScope(reader), query: readScrollQuery(reader) };
    case 'explain':
      return { method, scope: readScope(reader), query: readQuery(reader) };
    case 'tenants':
      return { method, scope: readScope(reader), query: readTenantsQuery(reader) };
    case 'contents':
      return { method, query: readContentQuery(reader) };
    case 'barrier':
    case 'status':
      return { method };
    default:
      return unreachable(method);
  }
}

export function encodeProposalAnswers(answers: readonly ProposalAnswer[]): Uint8Array {
  const writer = new ByteWriter(1024).u8(RPC_FORMAT);
  writeList(writer, answers, (answer) => {
    switch (answer.kind) {
      case 'applied':
        writer.u8(0).varint(answer.index);
        writeCommandResult(writer, answer.result);
        break;
      case 'not-applied':
      case 'unknown':
        writer.u8(answer.kind === 'not-applied' ? 1 : 2);
        writeErrorBody(writer, answer.error);
        break;
      default:
        unreachable(answer);
    }
  });
  return writer.finish();
}

export function decodeProposalAnswers(bytes: Uint8Array): ProposalAnswer[] {
  return readAnswer(bytes, (reader) =>
    readList(reader, (): ProposalAnswer => {
      const kind = reader.u8();
      if (kind === 0) {
        return { kind: 'applied', index: reader.varint(), result: readCommandResult(reader) };
      }
      const error = readErrorBody(reader);
      return kind === 1 ? { kind: 'not-applied', error } : { kind: 'unknown', error };
    }),
  );
}

/** What graphs are brought to is told in `READ_FORMAT`, behind all else. */
export function encodeStatus(status: ReplicaStatus, format: CallFormat = RPC_FORMAT): Uint8Array {
  const writer = new ByteWriter(512).u8(format);
  writer.varint(status.groupId).varint(status.shardId).varint(status.replicaId);
  writer.varint(status.nodeId).u8(ROLES.indexOf(status.role)).varint(status.term);
  writer.varint(status.leaderNodeId).varint(status.commitIndex).varint(status.appliedIndex);
  writer.varint(status.lastIndex).varint(status.leaderChanges);
  writeList(writer, status.followers, (follower) => writeFollower(writer, follower));
  writeOptional(writer, status.engine, (engine) => writeEngineStats(writer, engine));
  writeOptional(writer, status.fault, (fault) => writer.string(fault));
  writeOptional(writer, status.receiving, (progress) => writeTransfer(writer, progress));
  if (format === READ_FORMAT) writeGraphWorks(writer, status.engine?.collections ?? []);
  return writer.finish();
}

export function decodeStatus(bytes: Uint8Array): ReplicaStatus {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== RPC_FORMAT && format !== READ_FORMAT) {
    throw new MalformedBytesError(`replica answer format ${format}`);
  }
  const status = readStatus(reader);
  const receiving = readOptional(reader, () => readTransfer(reader));
  const engine = format === READ_FORMAT ? readGraphWorks(reader, status.engine) : status.engine;
  reader.end();
  return { ...status, engine, ...(receiving !== undefined && { receiving }) };
}

function readStatus(reader: ByteReader): ReplicaStatus {
  return {
    groupId: reader.varint(),
    shardId: reader.varint(),
    replicaId: reader.varint(),
    nodeId: reader.varint(),
    role: memberAt(ROLES, reader.u8(), 'role'),
    term: reader.varint(),
    leaderNodeId: reader.varint(),
    commitIndex: reader.varint(),
    appliedIndex: reader.varint(),
    lastIndex: reader.varint(),
    leaderChanges: reader.varint(),
    followers: readList(reader, () => readFollower(reader)),
    engine: readOptional(reader, () => readEngineStats(reader)),
    fault: readOptional(reader, () => reader.string()),
  };
}

function writeCommandResult(writer: ByteWriter, result: CommandResult): void {
  switch (result.kind) {
    case 'write':
      writer.u8(0);
      writeList(writer, result.outcomes, ({ ordinal, outcome }) => {
        writer.varint(ordinal);
        writeOutcome(writer, outcome);
      });
      break;
    case 'refused':
      writer.u8(1);
      writeErrorBody(writer, result.error);
      break;
    case 'done':
      writer.u8(result.reach === undefined ? 2 : 4);
      if (result.reach !== undefined) writeSessionReach(writer, result.reach);
      break;
    case 'expired':
      writer.u8(3).varint(result.removed);
      break;
    default:
      unreachable(result);
  }
}

function readCommandResult(reader: ByteReader): CommandResult {
  const kind = reader.u8();
  switch (kind) {
    case 0:
      return {
        kind: 'write',
        outcomes: readList(reader, () => ({
          ordinal: reader.varint(),
          outcome: readOutcome(reader),
        })),
      };
    case 1:
      return { kind: 'refused', error: readErrorBody(reader) };
    case 2:
      return { kind: 'done' };
    case 3:
      return { kind: 'expired', removed: reader.varint() };
    case 4:
      return { kind: 'done', reach: readSessionReach(reader) };
    default:
      throw new MalformedBytesError(`command result ${kind}`);
  }
}

function writeOutcome(writer: ByteWriter, outcome: WriteOutcome): void {
  if (outcome.kind === 'applied') {
    writer.u8(0).u64(outcome.version).bool(outcome.existed);
    return;
  }
  writer.u8(outcome.kind === 'not-applied' ? 1 : 2);
  writeErrorBody(writer, outcome.error);
}

function readOutcome(reader: ByteReader): WriteOutcome {
  const kind = reader.u8();
  if (kind === 0) return { kind: 'applied', version: reader.u64(), existed: reader.bool() };
  const error = readErrorBody(reader);
  return kind === 1 ? { kind: 'not-applied', error } : { kind: 'unknown', error };
}

function writeFollower(writer: ByteWriter, follower: FollowerStatus): void {
  writer.varint(follower.id).varint(follower.nodeId).varint(follower.match);
  writer.varint(follower.next).u8(PROGRESS_STATES.indexOf(follower.state));
  writer.bool(follower.isLearner).bool(follower.recentActive).bool(follower.paused);
  writer.varint(follower.pendingSnapshot).varint(follower.inflightCount);
  writer.bool(follower.inflightFull).varint(follower.lagEntries).f64(follower.lagMs);
  writeOptional(writer, follower.snapshot, (progress) => writeTransfer(writer, progress));
}

function readFollower(reader: ByteReader): FollowerStatus {
  const follower = {
    id: reader.varint(),
    nodeId: reader.varint(),
    match: reader.varint(),
    next: reader.varint(),
    state: memberAt(PROGRESS_STATES, reader.u8(), 'progress state'),
    isLearner: reader.bool(),
    recentActive: reader.bool(),
    paused: reader.bool(),
    pendingSnapshot: reader.varint(),
    inflightCount: reader.varint(),
    inflightFull: reader.bool(),
    lagEntries: reader.varint(),
    lagMs: reader.f64(),
  };
  const snapshot = readOptional(reader, () => readTransfer(reader));
  return { ...follower, ...(snapshot !== undefined && { snapshot }) };
}

function writeTransfer(writer: ByteWriter, progress: TransferProgress): void {
  writer.varint(progress.doneBytes).varint(progress.sizeBytes).f64(progress.bytesPerSecond);
}

function readTransfer(reader: ByteReader): TransferProgress {
  return {
    doneBytes: reader.varint(),
    sizeBytes: reader.varint(),
    bytesPerSecond: reader.f64(),
  };
}

function writeEngineStats(writer: ByteWriter, stats: EngineStats): void {
  writer.varint(stats.appliedIndex).varint(stats.ownershipVersion).varint(stats.sessions);
  writeList(writer, stats.collections, (collection) => writeCollection(writer, collection));
  writeOptional(writer, stats.library, ({ instructionSet, distancesPerSecond }) =>
    writer.string(instructionSet).varint(distancesPerSecond),
  );
  writeOptional(writer, stats.costs, ({ distance, visit }) => writer.f64(distance).f64(visit));
}

function readEngineStats(reader: ByteReader): EngineStats {
  const appliedIndex = reader.varint();
  const ownershipVersion = reader.varint();
  const sessions = reader.varint();
  const collections = readList(reader, () => readCollection(reader));
  const library = readOptional(reader, () => ({
    instructionSet: reader.string(),
    distancesPerSecond: reader.varint(),
  }));
  const costs = readOptional(reader, () => ({ distance: reader.f64(), visit: reader.f64() }));
  return {
    appliedIndex,
    ownershipVersion,
    sessions,
    collections,
    ...(library !== undefined && { library }),
    ...(costs !== undefined && { costs }),
  };
}

function writeCollection(writer: ByteWriter, collection: CollectionStats): void {
  writer.varint(collection.collectionId).varint(collection.records);
  writer.varint(collection.headRows).varint(collection.graphPoints);
  writer.varint(collection.tombstones).bool(collection.isRenewing);
  writer.varint(collection.memoryBytes);
  writeOptional(writer, collection.contentHash, (hash) => writer.string(hash));
}

function readCollection(reader: ByteReader): CollectionStats {
  return {
    collectionId: reader.varint(),
    records: reader.varint(),
    headRows: reader.varint(),
    graphPoints: reader.varint(),
    tombstones: reader.varint(),
    isRenewing: reader.bool(),
    memoryBytes: reader.varint(),
    ...optionalHash(readOptional(reader, () => reader.string())),
  };
}

/** A number a collection, in their order: 0 for none. */
function writeGraphWorks(writer: ByteWriter, collections: readonly CollectionStats[]): void {
  writeList(writer, collections, ({ graphWork }) =>
    writer.u8(graphWork === undefined ? 0 : 1 + GRAPH_WORKS.indexOf(graphWork)),
  );
}

/** Adds them to the collections. What a newer version knows beside them is none. */
function readGraphWorks(reader: ByteReader, engine: EngineStats | undefined) {
  const works = readList(reader, () => GRAPH_WORKS[reader.u8() - 1]);
  if (engine === undefined) return undefined;
  const collections = engine.collections.map((collection, at) => {
    const graphWork = works[at];
    return graphWork === undefined ? collection : { ...collection, graphWork };
  });
  return { ...engine, collections };
}

function optionalHash(contentHash: string | undefined): Pick<CollectionStats, 'contentHash'> {
  return contentHash === undefined ? {} : { contentHash };
}

function sizeHint(commands: readonly Uint8Array[]): number {
  return commands.reduce((sum, command) => sum + command.length + 8, 64);
}
