/**
 * How clients learn where to go: the messages of Cluster.GetRoutes, written and read by hand. What
 * admin-messages.ts says about malformed bytes and unknown fields holds here too.
 */
import { ROUTINGS, type RoutedBy } from '../types.js';
import { ProtobufReader, ProtobufWriter } from './protobuf-wire.js';

export interface RoutesRequest {
  /** Whose records are looked for; empty for none. */
  readonly collection: string;
  readonly tenant: string;
}

export interface NodeRoute {
  readonly nodeId: number;
  /** As the node advertises it; whether it is reached there is for the client to find out. */
  readonly clientAddress: string;
  /** Absent where the node names none, or the one that answers is of an earlier version. */
  readonly zone?: string | undefined;
}

export interface ShardRoute {
  readonly shardId: number;
  /** 0 where the node that answers knows none. */
  readonly leaderNodeId: number;
  /** Nodes with a replica; empty where the node that answers is of an earlier version. */
  readonly replicaNodeIds: readonly number[];
}

/** Which shard has which record of a collection. */
export interface CollectionRoutes {
  /** What decides it; `undefined` for what a newer version may know. */
  readonly routedBy: RoutedBy | undefined;
  /** Shard of each slot; empty where records are not spread by slots. */
  readonly slotTable: readonly number[];
  /** The one shard that has all records of the tenant, where there is such a one. */
  readonly tenantShardId?: number | undefined;
}

/** What one node knows without asking others: hints, which may be wrong a moment later. */
export interface Routes {
  readonly clusterId: string;
  readonly epoch: number;
  /** The node that answered. */
  readonly answeredBy: number;
  readonly nodes: readonly NodeRoute[];
  readonly shards: readonly ShardRoute[];
  /** Absent where no collection was asked for, and where there is no such one. */
  readonly collection?: CollectionRoutes | undefined;
}

export function encodeRoutesRequest({ collection, tenant }: RoutesRequest): Buffer {
  return new ProtobufWriter(64).string(1, collection).string(2, tenant).finish();
}

export function decodeRoutesRequest(bytes: Uint8Array): RoutesRequest {
  const reader = new ProtobufReader(bytes);
  let collection = '';
  let tenant = '';
  while (reader.next()) {
    if (reader.field === 1) collection = reader.string();
    else if (reader.field === 2) tenant = reader.string();
    else reader.skip();
  }
  return { collection, tenant };
}

export function encodeRoutes(routes: Routes): Buffer {
  const { clusterId, epoch, answeredBy, nodes, shards, collection } = routes;
  const writer = new ProtobufWriter(4_096).string(1, clusterId).uint(2, epoch).uint(3, answeredBy);
  for (const { nodeId, clientAddress, zone = '' } of nodes) {
    writer.open(4, 32).uint(1, nodeId).string(2, clientAddress).string(3, zone).close();
  }
  for (const { shardId, leaderNodeId, replicaNodeIds } of shards) {
    writer.open(5).uint(1, shardId).uint(2, leaderNodeId).uints(3, replicaNodeIds).close();
  }
  if (collection !== undefined) {
    const { routedBy, slotTable, tenantShardId } = collection;
    writer
      .open(6, 2_048)
      .string(1, routedBy ?? '')
      .uints(2, slotTable);
    writer.optionalUint(3, tenantShardId).close();
  }
  return writer.finish();
}

export function decodeRoutes(bytes: Uint8Array): Routes {
  const reader = new ProtobufReader(bytes);
  let clusterId = '';
  let epoch = 0;
  let answeredBy = 0;
  const nodes: NodeRoute[] = [];
  const shards: ShardRoute[] = [];
  let collection: CollectionRoutes | undefined;
  while (reader.next()) {
    if (reader.field === 1) clusterId = reader.string();
    else if (reader.field === 2) epoch = reader.uint64();
    else if (reader.field === 3) answeredBy = reader.uint32();
    else if (reader.field === 4) nodes.push(readNode(reader));
    else if (reader.field === 5) shards.push(readShard(reader));
    else if (reader.field === 6) collection = readCollection(reader);
    else reader.skip();
  }
  return { clusterId, epoch, answeredBy, nodes, shards, collection };
}

function readNode(reader: ProtobufReader): NodeRoute {
  const outer = reader.open();
  let nodeId = 0;
  let clientAddress = '';
  let zone = '';
  while (reader.next()) {
    if (reader.field === 1) nodeId = reader.uint32();
    else if (reader.field === 2) clientAddress = reader.string();
    else if (reader.field === 3) zone = reader.string();
    else reader.skip();
  }
  reader.close(outer);
  return { nodeId, clientAddress, ...(zone !== '' && { zone }) };
}

function readShard(reader: ProtobufReader): ShardRoute {
  const outer = reader.open();
  let shardId = 0;
  let leaderNodeId = 0;
  const replicaNodeIds: number[] = [];
  while (reader.next()) {
    if (reader.field === 1) shardId = reader.uint32();
    else if (reader.field === 2) leaderNodeId = reader.uint32();
    else if (reader.field === 3) reader.uint32s(replicaNodeIds);
    else reader.skip();
  }
  reader.close(outer);
  return { shardId, leaderNodeId, replicaNodeIds };
}

function readCollection(reader: ProtobufReader): CollectionRoutes {
  const outer = reader.open();
  let word = '';
  const slotTable: number[] = [];
  let tenantShardId: number | undefined;
  while (reader.next()) {
    if (reader.field === 1) word = reader.string();
    else if (reader.field === 2) reader.uint32s(slotTable);
    else if (reader.field === 3) tenantShardId = reader.uint32();
    else reader.skip();
  }
  reader.close(outer);
  return { routedBy: ROUTINGS.find((known) => known === word), slotTable, tenantShardId };
}
