/**
 * The messages of the public Collections and Cluster services, written and read by hand, so that
 * the client needs neither .proto files nor reflection at runtime. What api-messages.ts says about
 * malformed bytes and unknown fields holds here too.
 */
import type {
  CollectionConfig,
  FieldType,
  IndexedField,
  Metric,
  PlacementName,
  RoutedBy,
} from '../types.js';
import { FIELD_TYPES, METRICS, PLACEMENT_NAMES, ROUTINGS } from '../types.js';
import { checkRoom, choiceOf } from './api-messages.js';
import { type EngineState, readEngineState, writeEngineState } from './engine-state.js';
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';
import {
  type ReplicaChangeStatus,
  readReplicaChange,
  writeReplicaChange,
} from './replica-messages.js';

/** A collection as a caller asks for it: 0 and `undefined` stand for the defaults. */
export interface CollectionRequest {
  readonly name: string;
  readonly dimension: number;
  /** `undefined` for the default, 'unknown' for a number that this version does not know. */
  readonly metric: Metric | 'unknown' | undefined;
  readonly m: number;
  readonly efConstruction: number;
  readonly indexedFields: readonly IndexedFieldRequest[];
  /** 0 or absent: records live for ever. */
  readonly ttlMs?: number | undefined;
  /** As `metric`. */
  readonly routing?: RoutedBy | 'unknown' | undefined;
  /** As `metric`. */
  readonly placement?: PlacementName | 'unknown' | undefined;
  readonly splitPoints?: readonly string[] | undefined;
}

export interface IndexedFieldRequest {
  readonly path: string;
  /** `undefined` where unspecified or not known; refused by the server. */
  readonly type: FieldType | undefined;
}

export type CollectionState = 'creating' | 'active' | 'dropping';

/** A collection as it is now. */
export interface CollectionInfo {
  readonly config: CollectionConfig;
  /** Absent where a shard did not answer, and in lists. */
  readonly recordCount?: number | undefined;
  readonly state: CollectionState;
}

export interface ReplicaStatus {
  readonly nodeId: number;
  readonly replicaId: number;
  /** 'leader', 'follower', 'candidate', 'pre-candidate', 'learner' or 'unreachable'. */
  readonly state: string;
  readonly term: number;
  readonly commitIndex: number;
  readonly appliedIndex: number;
  readonly lastIndex: number;
  readonly lagEntries: number;
  /** Why the replica does not take part; empty where it does. */
  readonly fault: string;
  /**
   * Of all its records, 32 hexadecimal digits: equal where two replicas of a shard hold the same
   * ones. Empty where it is not known: of the topology, and while entries are being applied.
   */
  readonly contentHash: string;
  /** Log index as of which the hash is; only hashes of one index can be compared. */
  readonly contentIndex: number;
  /** Absent where it is not known: of the topology, and from a server of an earlier version. */
  readonly engine?: EngineState | undefined;
}

export interface ShardStatus {
  /** 0 for the topology group too. */
  readonly shardId: number;
  /** 0 where no leader is known. */
  readonly leaderNodeId: number;
  readonly term: number;
  readonly slots: number;
  readonly recordCount: number;
  readonly replicas: readonly ReplicaStatus[];
  /** The change of replicas that is under way. */
  readonly change?: ReplicaChangeStatus | undefined;
}

export interface NodeStatus {
  readonly nodeId: number;
  readonly peerAddress: string;
  readonly clientAddress: string;
  readonly httpAddress: string;
  readonly reachable: boolean;
  /** What the index library was compiled for; empty where not known. */
  readonly instructionSet: string;
  /** As measured when the node started; 0 where not known. */
  readonly distancesPerSecond: number;
  /** Empty where it names none, and from a server of an earlier version. */
  readonly zone: string;
}

export interface ClusterStatus {
  readonly clusterId: string;
  readonly epoch: number;
  /** The node that answered. */
  readonly answeredBy: number;
  readonly nodes: readonly NodeStatus[];
  readonly shards: readonly ShardStatus[];
  /** The Raft group that holds the topology. */
  readonly topology: ShardStatus;
  readonly healthy: boolean;
}

const STATES: readonly CollectionState[] = ['creating', 'active', 'dropping'];

const NO_COLLECTION: CollectionRequest = {
  name: '',
  dimension: 0,
  metric: undefined,
  m: 0,
  efConstruction: 0,
  indexedFields: [],
};

const NO_GROUP: ShardStatus = {
  shardId: 0,
  leaderNodeId: 0,
  term: 0,
  slots: 0,
  recordCount: 0,
  replicas: [],
};

/** For requests and answers without fields; fields of a newer version are ignored. */
export function encodeEmpty(): Buffer {
  return Buffer.alloc(0);
}

export function decodeEmpty(bytes: Uint8Array): void {
  const reader = new ProtobufReader(bytes);
  while (reader.next()) reader.skip();
}

/** DescribeCollectionRequest and DropCollectionRequest, which have the same field. */
export function encodeNameRequest(name: string): Buffer {
  return new ProtobufWriter(64).string(1, name).finish();
}

export function decodeNameRequest(bytes: Uint8Array): string {
  const reader = new ProtobufReader(bytes);
  let name = '';
  while (reader.next()) {
    if (reader.field === 1) name = reader.string();
    else reader.skip();
  }
  return name;
}

export function encodeCreateCollectionRequest(config: CollectionRequest): Buffer {
  const writer = new ProtobufWriter();
  writeConfig(writer, config);
  return writer.finish();
}

/** A request without a collection reads as one without a name, which the server refuses. */
export function decodeCreateCollectionRequest(bytes: Uint8Array): CollectionRequest {
  const reader = new ProtobufReader(bytes);
  let config = NO_COLLECTION;
  while (reader.next()) {
    if (reader.field === 1) config = readConfig(reader);
    else reader.skip();
  }
  return config;
}

/** CreateCollectionResponse and DescribeCollectionResponse, which have the same field. */
export function encodeCollectionResponse(info: CollectionInfo): Buffer {
  return encodeCollectionsResponse([info]);
}

export function decodeCollectionResponse(bytes: Uint8Array): CollectionInfo {
  return decodeCollectionsResponse(bytes).at(-1) ?? infoOf(NO_COLLECTION, undefined, '');
}

export function encodeCollectionsResponse(infos: readonly CollectionInfo[]): Buffer {
  const writer = new ProtobufWriter(16 + 64 * infos.length);
  for (const { config, recordCount, state } of infos) {
    writer.open(1, 64);
    writeConfig(writer, config);
    writer.optionalUint(2, recordCount).string(3, state).close();
  }
  return writer.finish();
}

export function decodeCollectionsResponse(bytes: Uint8Array): readonly CollectionInfo[] {
  const reader = new ProtobufReader(bytes);
  const infos: CollectionInfo[] = [];
  while (reader.next()) {
    if (reader.field === 1) infos.push(readInfo(reader));
    else reader.skip();
  }
  return infos;
}

export function encodeStatusResponse(status: ClusterStatus): Buffer {
  const writer = new ProtobufWriter(1_024).string(1, status.clusterId);
  writer.uint(2, status.epoch).uint(3, status.answeredBy);
  for (const node of status.nodes) {
    writer.open(4, 64).uint(1, node.nodeId).string(2, node.peerAddress);
    writer.string(3, node.clientAddress).string(4, node.httpAddress).bool(5, node.reachable);
    writer.string(6, node.instructionSet).uint(7, node.distancesPerSecond);
    writer.string(8, node.zone).close();
  }
  for (const shard of status.shards) writeGroup(writer, 5, shard);
  writeGroup(writer, 6, status.topology);
  return writer.bool(7, status.healthy).finish();
}

export function decodeStatusResponse(bytes: Uint8Array): ClusterStatus {
  const reader = new ProtobufReader(bytes);
  let clusterId = '';
  let epoch = 0;
  let answeredBy = 0;
  const nodes: NodeStatus[] = [];
  const shards: ShardStatus[] = [];
  let topology = NO_GROUP;
  let healthy = false;
  while (reader.next()) {
    if (reader.field === 1) clusterId = reader.string();
    else if (reader.field === 2) epoch = reader.uint64();
    else if (reader.field === 3) answeredBy = reader.uint32();
    else if (reader.field === 4) nodes.push(readNode(reader));
    else if (reader.field === 5) shards.push(readGroup(reader));
    else if (reader.field === 6) topology = readGroup(reader);
    else if (reader.field === 7) healthy = reader.bool();
    else reader.skip();
  }
  return { clusterId, epoch, answeredBy, nodes, shards, topology, healthy };
}

function writeConfig(writer: ProtobufWriter, config: CollectionRequest): void {
  const { metric } = config;
  writer.open(1, 32).string(1, config.name).uint(2, config.dimension);
  if (metric !== undefined && metric !== 'unknown') writer.uint(3, 1 + METRICS.indexOf(metric));
  writer.uint(4, config.m).uint(5, config.efConstruction);
  for (const { path, type } of config.indexedFields) {
    writer.open(6).string(1, path);
    if (type !== undefined) writer.uint(2, 1 + FIELD_TYPES.indexOf(type));
    writer.close();
  }
  writer.uint(7, config.ttlMs ?? 0);
  writePlacement(writer, config);
  writer.close();
}

function writePlacement(writer: ProtobufWriter, config: CollectionRequest): void {
  const { routing = 'id', placement = 'ring', splitPoints = [] } = config;
  if (routing !== 'unknown') writer.uint(8, ROUTINGS.indexOf(routing));
  if (placement !== 'unknown') writer.uint(9, PLACEMENT_NAMES.indexOf(placement));
  for (const splitPoint of splitPoints) writer.optionalString(10, splitPoint);
}

function readConfig(reader: ProtobufReader): CollectionRequest {
  const outer = reader.open();
  let name = '';
  let dimension = 0;
  let metric: Metric | 'unknown' | undefined;
  let m = 0;
  let efConstruction = 0;
  const indexedFields: IndexedFieldRequest[] = [];
  let ttlMs = 0;
  const placed: ReadPlacement = {};
  while (reader.next()) {
    if (reader.field === 1) name = reader.string();
    else if (reader.field === 2) dimension = reader.uint32();
    else if (reader.field === 3) metric = choiceOf(METRICS, reader.uint32());
    else if (reader.field === 4) m = reader.uint32();
    else if (reader.field === 5) efConstruction = reader.uint32();
    else if (reader.field === 6) {
      checkRoom(indexedFields, 'indexedFieldsMax', 'config.indexedFields');
      indexedFields.push(readIndexedField(reader));
    } else if (reader.field === 7) ttlMs = reader.uint64();
    else if (!readPlacement(reader, placed)) reader.skip();
  }
  reader.close(outer);
  const config = { name, dimension, metric, m, efConstruction, indexedFields };
  return { ...config, ...(ttlMs !== 0 && { ttlMs }), ...placed };
}

/** While it is read. What is said to be the default is left out. */
type ReadPlacement = {
  -readonly [Key in 'routing' | 'placement' | 'splitPoints']?: CollectionRequest[Key];
};

/** Reads one of the fields into `placed`; false, with nothing read, where it is another one. */
function readPlacement(reader: ProtobufReader, placed: ReadPlacement): boolean {
  if (reader.field === 8) {
    const number = reader.uint32();
    if (number > 0) placed.routing = ROUTINGS[number] ?? 'unknown';
  } else if (reader.field === 9) {
    const number = reader.uint32();
    if (number > 0) placed.placement = PLACEMENT_NAMES[number] ?? 'unknown';
  } else if (reader.field === 10) {
    const { splitPoints = [] } = placed;
    checkRoom(splitPoints, 'rangesMax', 'config.splitPoints');
    // One after the other: a copy for each would cost the square of their number.
    (splitPoints as string[]).push(reader.string());
    placed.splitPoints = splitPoints;
  } else return false;
  return true;
}

function readIndexedField(reader: ProtobufReader): IndexedFieldRequest {
  const outer = reader.open();
  let path = '';
  let type: FieldType | undefined;
  while (reader.next()) {
    if (reader.field === 1) path = reader.string();
    else if (reader.field === 2) type = FIELD_TYPES[reader.uint32() - 1];
    else reader.skip();
  }
  reader.close(outer);
  return { path, type };
}

function readInfo(reader: ProtobufReader): CollectionInfo {
  const outer = reader.open();
  let config = NO_COLLECTION;
  let recordCount: number | undefined;
  let state = '';
  while (reader.next()) {
    if (reader.field === 1) config = readConfig(reader);
    else if (reader.field === 2) recordCount = reader.uint64();
    else if (reader.field === 3) state = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return infoOf(config, recordCount, state);
}

/** A metric, a type or a state from a newer server reads as the nearest that this version has. */
function infoOf(
  config: CollectionRequest,
  recordCount: number | undefined,
  state: string,
): CollectionInfo {
  const metric =
    config.metric === undefined || config.metric === 'unknown' ? 'cosine' : config.metric;
  const indexedFields: IndexedField[] = [];
  for (const { path, type } of config.indexedFields) {
    if (type !== undefined) indexedFields.push({ path, type });
  }
  const { name, dimension, m, efConstruction, ttlMs, routing, placement, splitPoints } = config;
  return {
    config: {
      name,
      dimension,
      metric,
      m,
      efConstruction,
      indexedFields,
      ...(ttlMs !== undefined && { ttlMs }),
      ...(routing !== undefined && routing !== 'unknown' && routing !== 'id' && { routing }),
      ...(isNamed(placement) && { placement }),
      ...(splitPoints !== undefined && { splitPoints }),
    },
    recordCount,
    state: STATES.find((known) => known === state) ?? 'active',
  };
}

function isNamed(
  placement: CollectionRequest['placement'],
): placement is Exclude<PlacementName, 'ring'> {
  return placement !== undefined && placement !== 'unknown' && placement !== 'ring';
}

function readNode(reader: ProtobufReader): NodeStatus {
  const outer = reader.open();
  const node = {
    nodeId: 0,
    peerAddress: '',
    clientAddress: '',
    httpAddress: '',
    reachable: false,
    instructionSet: '',
    distancesPerSecond: 0,
    zone: '',
  };
  while (reader.next()) {
    if (reader.field === 1) node.nodeId = reader.uint32();
    else if (reader.field === 2) node.peerAddress = reader.string();
    else if (reader.field === 3) node.clientAddress = reader.string();
    else if (reader.field === 4) node.httpAddress = reader.string();
    else if (reader.field === 5) node.reachable = reader.bool();
    else if (reader.field === 6) node.instructionSet = reader.string();
    else if (reader.field === 7) node.distancesPerSecond = reader.uint64();
    else if (reader.field === 8) node.zone = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return node;
}

function writeGroup(writer: ProtobufWriter, field: number, group: ShardStatus): void {
  writer.open(field, 256).uint(1, group.shardId).uint(2, group.leaderNodeId).uint(3, group.term);
  writer.uint(4, group.slots).uint(5, group.recordCount);
  for (const replica of group.replicas) {
    writer.open(6, 32).uint(1, replica.nodeId).uint(2, replica.replicaId);
    writer.string(3, replica.state).uint(4, replica.term).uint(5, replica.commitIndex);
    writer.uint(6, replica.appliedIndex).uint(7, replica.lastIndex).uint(8, replica.lagEntries);
    writer.string(9, replica.fault).string(10, replica.contentHash);
    writer.uint(11, replica.contentIndex);
    if (replica.engine !== undefined) writeEngineState(writer, 12, replica.engine);
    writer.close();
  }
  if (group.change !== undefined) writeReplicaChange(writer, 7, group.change);
  writer.close();
}

function readGroup(reader: ProtobufReader): ShardStatus {
  const outer = reader.open();
  const replicas: ReplicaStatus[] = [];
  let change: ReplicaChangeStatus | undefined;
  const group = { ...NO_GROUP, replicas };
  while (reader.next()) {
    if (reader.field === 1) group.shardId = reader.uint32();
    else if (reader.field === 2) group.leaderNodeId = reader.uint32();
    else if (reader.field === 3) group.term = reader.uint64();
    else if (reader.field === 4) group.slots = reader.uint32();
    else if (reader.field === 5) group.recordCount = reader.uint64();
    else if (reader.field === 6) replicas.push(readReplica(reader));
    else if (reader.field === 7) change = readReplicaChange(reader);
    else reader.skip();
  }
  reader.close(outer);
  return change === undefined ? group : { ...group, change };
}

function readReplica(reader: ProtobufReader): ReplicaStatus {
  const outer = reader.open();
  const replica = {
    nodeId: 0,
    replicaId: 0,
    state: '',
    term: 0,
    commitIndex: 0,
    appliedIndex: 0,
    lastIndex: 0,
    lagEntries: 0,
    fault: '',
  };
  const held: ReadHoldings = { contentHash: '', contentIndex: 0 };
  while (reader.next()) {
    if (reader.field === 1) replica.nodeId = reader.uint32();
    else if (reader.field === 2) replica.replicaId = reader.uint32();
    else if (reader.field === 3) replica.state = reader.string();
    else if (reader.field === 4) replica.term = reader.uint64();
    else if (reader.field === 5) replica.commitIndex = reader.uint64();
    else if (reader.field === 6) replica.appliedIndex = reader.uint64();
    else if (reader.field === 7) replica.lastIndex = reader.uint64();
    else if (reader.field === 8) replica.lagEntries = reader.uint64();
    else if (reader.field === 9) replica.fault = reader.string();
    else if (!readHoldings(reader, held)) reader.skip();
  }
  reader.close(outer);
  return { ...replica, ...held };
}

type Holdings = Pick<ReplicaStatus, 'contentHash' | 'contentIndex' | 'engine'>;
/** While it is read. */
type ReadHoldings = { -readonly [Key in keyof Holdings]: Holdings[Key] };

/** Reads one of the fields into `held`; false, with nothing read, where it is another one. */
function readHoldings(reader: ProtobufReader, held: ReadHoldings): boolean {
  if (reader.field === 10) held.contentHash = reader.string();
  else if (reader.field === 11) held.contentIndex = reader.uint64();
  else if (reader.field === 12) held.engine = readEngineState(reader);
  else return false;
  return true;
}
