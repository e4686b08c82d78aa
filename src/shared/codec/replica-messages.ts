/**
 * The messages of the public Cluster service that change replicas and leaders, written and read by
 * hand. What api-messages.ts says about malformed bytes and unknown fields holds here too.
 */
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

/** A Raft group and a node, as a caller names them: ReplicaRequest and LeaderRequest alike. */
export interface GroupRequest {
  readonly shardId?: number | undefined;
  readonly topology: boolean;
  /** 0 for none. */
  readonly nodeId: number;
  /** The change that is to be given up; 0 for none, and in all other calls. */
  readonly changeId: number;
}

export interface ReplicaChangeStatus {
  /**
   * 'adding', 'catching-up', 'switching' or 'cancelling'; 'promoting' or 'demoting' where a replica
   * of the topology begins to vote, or votes no more.
   */
  readonly stage: string;
  /** 0 where no replica comes, or begins to vote. */
  readonly addReplicaId: number;
  readonly addNodeId: number;
  /** 0 where no replica goes, or ceases to vote. */
  readonly removeReplicaId: number;
  readonly removeNodeId: number;
  /** Entries of the log that the new replica is behind. */
  readonly lagEntries: number;
  /** Of the snapshot that is being sent; 0 while none is. */
  readonly doneBytes: number;
  readonly sizeBytes: number;
  readonly bytesPerSecond: number;
  /** Absent where not known. */
  readonly leftMs?: number | undefined;
  /** What keeps the change from going on; empty where nothing does. */
  readonly problem: string;
  /** Names the change within its group for ever; 0 for one that cannot be given up. */
  readonly id: number;
}

export interface ReplicaResponse {
  /** Absent where there is nothing to do. */
  readonly change?: ReplicaChangeStatus | undefined;
  /** Of the topology that says so. A status of an earlier one does not know of the change. */
  readonly epoch: number;
}

export interface LeaderResponse {
  readonly leaderNodeId: number;
}

export interface ReadmitNodeResponse {
  /** The data directory that the cluster knows the node by from now on. */
  readonly storeId: string;
  /** Replicas that are being replaced; 0 where the directory was known already. */
  readonly replicas: number;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

export function encodeGroupRequest(request: GroupRequest): Buffer {
  const writer = new ProtobufWriter(16).optionalUint(1, request.shardId);
  writer.bool(2, request.topology).uint(3, request.nodeId);
  return writer.uint(4, request.changeId).finish();
}

export function decodeGroupRequest(bytes: Uint8Array): GroupRequest {
  const reader = new ProtobufReader(bytes);
  let shardId: number | undefined;
  let topology = false;
  let nodeId = 0;
  let changeId = 0;
  while (reader.next()) {
    if (reader.field === 1) shardId = reader.uint32();
    else if (reader.field === 2) topology = reader.bool();
    else if (reader.field === 3) nodeId = reader.uint32();
    else if (reader.field === 4) changeId = reader.uint32();
    else reader.skip();
  }
  return { shardId, topology, nodeId, changeId };
}

export function encodeReplicaResponse({ change, epoch }: ReplicaResponse): Buffer {
  const writer = new ProtobufWriter(64);
  if (change !== undefined) writeReplicaChange(writer, 1, change);
  return writer.uint(2, epoch).finish();
}

export function decodeReplicaResponse(bytes: Uint8Array): ReplicaResponse {
  const reader = new ProtobufReader(bytes);
  let change: ReplicaChangeStatus | undefined;
  let epoch = 0;
  while (reader.next()) {
    if (reader.field === 1) change = readReplicaChange(reader);
    else if (reader.field === 2) epoch = reader.uint64();
    else reader.skip();
  }
  return { change, epoch };
}

/** LeaderResponse and ReadmitNodeRequest: one number, the id of a node. */
export function encodeNodeId(nodeId: number): Buffer {
  return new ProtobufWriter(16).uint(1, nodeId).finish();
}

export function decodeNodeId(bytes: Uint8Array): number {
  const reader = new ProtobufReader(bytes);
  let nodeId = 0;
  while (reader.next()) {
    if (reader.field === 1) nodeId = reader.uint32();
    else reader.skip();
  }
  return nodeId;
}

export function encodeLeaderResponse({ leaderNodeId }: LeaderResponse): Buffer {
  return encodeNodeId(leaderNodeId);
}

export function decodeLeaderResponse(bytes: Uint8Array): LeaderResponse {
  return { leaderNodeId: decodeNodeId(bytes) };
}

export function encodeReadmitNodeResponse({ storeId, replicas }: ReadmitNodeResponse): Buffer {
  return new ProtobufWriter(64).string(1, storeId).uint(2, replicas).finish();
}

export function decodeReadmitNodeResponse(bytes: Uint8Array): ReadmitNodeResponse {
  const reader = new ProtobufReader(bytes);
  let storeId = '';
  let replicas = 0;
  while (reader.next()) {
    if (reader.field === 1) storeId = reader.string();
    else if (reader.field === 2) replicas = reader.uint32();
    else reader.skip();
  }
  return { storeId, replicas };
}

export function writeReplicaChange(
  writer: ProtobufWriter,
  field: number,
  change: ReplicaChangeStatus,
): void {
  writer.open(field, 64).string(1, change.stage);
  writer.uint(2, change.addReplicaId).uint(3, change.addNodeId);
  writer.uint(4, change.removeReplicaId).uint(5, change.removeNodeId);
  writer.uint(6, change.lagEntries).uint(7, change.doneBytes).uint(8, change.sizeBytes);
  writer.uint(9, change.bytesPerSecond).optionalUint(10, change.leftMs);
  writer.string(11, change.problem).uint(12, change.id).close();
}

export function readReplicaChange(reader: ProtobufReader): ReplicaChangeStatus {
  const outer = reader.open();
  let leftMs: number | undefined;
  const change = {
    stage: '',
    addReplicaId: 0,
    addNodeId: 0,
    removeReplicaId: 0,
    removeNodeId: 0,
    lagEntries: 0,
    doneBytes: 0,
    sizeBytes: 0,
    bytesPerSecond: 0,
    problem: '',
    id: 0,
  };
  while (reader.next()) {
    if (reader.field === 1) change.stage = reader.string();
    else if (reader.field === 6) change.lagEntries = reader.uint64();
    else if (reader.field === 7) change.doneBytes = reader.uint64();
    else if (reader.field === 8) change.sizeBytes = reader.uint64();
    else if (reader.field === 9) change.bytesPerSecond = reader.uint64();
    else if (reader.field === 10) leftMs = reader.uint64();
    else if (reader.field === 11) change.problem = reader.string();
    else readChangeId(reader, change);
  }
  reader.close(outer);
  return leftMs === undefined ? change : { ...change, leftMs };
}

/** What names the change, its replicas and their nodes; any other field is skipped. */
function readChangeId(reader: ProtobufReader, change: Writable<ReplicaChangeStatus>): void {
  if (reader.field === 2) change.addReplicaId = reader.uint32();
  else if (reader.field === 3) change.addNodeId = reader.uint32();
  else if (reader.field === 4) change.removeReplicaId = reader.uint32();
  else if (reader.field === 5) change.removeNodeId = reader.uint32();
  else if (reader.field === 12) change.id = reader.uint32();
  else reader.skip();
}
