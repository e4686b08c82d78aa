/**
 * The topology's bytes: a format byte, then JSON. It changes a few times a day, so that being
 * readable in a debugger counts for more than size. Decoders take nothing on trust: documents and
 * commands come from disks and from other nodes.
 */
import { MalformedBytesError, utf8 } from '../shared/bytes.js';
import { FlotillaError } from '../shared/errors.js';
import {
  type CollectionConfig,
  FIELD_TYPES,
  METRICS,
  PLACEMENT_NAMES,
  ROUTINGS,
} from '../shared/types.js';
import {
  CHANGE_STAGES,
  type ClusterSettings,
  type CollectionEntry,
  documentFault,
  type GroupMembership,
  type NodeEntry,
  type ReplicaChange,
  type ReplicaEntry,
  type ShardEntry,
  type TopologyCommand,
  type TopologyDocument,
  type TopologyReplicaEntry,
} from './document.js';
import { JsonNode } from './json-node.js';
import { readPlacements, readTenantCommand } from './placement-codec.js';

/** The newest format that this version reads. */
export const TOPOLOGY_FORMAT = 2;
/** Of what has nothing that came with the second one: nodes of the version before read it. */
const FIRST_FORMAT = 1;

const COLLECTION_STATES = ['creating', 'active', 'dropping'] as const;
const TEXT = new TextDecoder('utf-8', { fatal: true });

export function encodeTopology(document: TopologyDocument): Uint8Array {
  return encode(document);
}

/** Throws UNSUPPORTED_VERSION for a newer format and `MalformedBytesError` for all else. */
export function decodeTopology(bytes: Uint8Array): TopologyDocument {
  const document = readDocument(decode(bytes));
  const fault = documentFault(document);
  if (fault !== undefined) throw new MalformedBytesError(`the topology is not sound: ${fault}`);
  return document;
}

export function encodeTopologyCommand(command: TopologyCommand): Uint8Array {
  return encode(command);
}

/** Throws as `decodeTopology` does. */
export function decodeTopologyCommand(bytes: Uint8Array): TopologyCommand {
  const node = decode(bytes);
  const kind = node.field('kind').text();
  switch (kind) {
    case 'beginCreateCollection':
      return { kind, config: readConfig(node.field('config')) };
    case 'finishCreateCollection':
    case 'beginDropCollection':
    case 'finishDropCollection':
      return { kind, collectionId: node.field('collectionId').whole(1) };
    case 'addReplica':
      return { kind, groupId: readGroupId(node), nodeId: node.field('nodeId').whole(1) };
    case 'removeReplica':
    case 'resetReplica':
    case 'promoteReplica':
    case 'demoteReplica':
      return { kind, groupId: readGroupId(node), replicaId: node.field('replicaId').whole(1) };
    case 'cancelReplicaChange':
      return readCancel(node);
    case 'advanceReplicaChange':
      return { kind, groupId: readGroupId(node), change: readChange(node.field('change')) };
    case 'beginTenantChange':
    case 'decideTenantChange':
    case 'finishTenantChange':
      return readTenantCommand(node, kind);
    case 'readmitNode':
      return {
        kind,
        nodeId: node.field('nodeId').whole(1),
        storeId: node.field('storeId').text(),
      };
    case 'setNodeZone':
      return { kind, nodeId: node.field('nodeId').whole(1), ...readZone(node) };
    default:
      throw new MalformedBytesError(`topology command ${kind}`);
  }
}

function encode(value: TopologyDocument | TopologyCommand): Uint8Array {
  const json = utf8(JSON.stringify(value));
  const bytes = new Uint8Array(1 + json.length);
  bytes[0] = isOfFormat2(value) ? TOPOLOGY_FORMAT : FIRST_FORMAT;
  bytes.set(json, 1);
  return bytes;
}

/** Whether who does not know of placements, zones and changes of votes would misread the value. */
function isOfFormat2(value: TopologyDocument | TopologyCommand): boolean {
  if (!('kind' in value)) {
    const { placements, collections, nodes, topologyGroup } = value;
    const isZoned = nodes.some(({ zone }) => zone !== undefined);
    const isVoting = isOfVote(topologyGroup.change);
    return placements !== undefined || isZoned || isVoting || collections.some(isPlaced);
  }
  switch (value.kind) {
    case 'advanceReplicaChange':
      return isOfVote(value.change);
    case 'promoteReplica':
    case 'demoteReplica':
    case 'setNodeZone':
    case 'beginTenantChange':
    case 'decideTenantChange':
    case 'finishTenantChange':
      return true;
    case 'beginCreateCollection':
      return isPlaced(value);
    default:
      return false;
  }
}

function isOfVote(change: ReplicaChange | undefined): boolean {
  return change?.promote !== undefined || change?.demote !== undefined;
}

function isPlaced({ config }: { readonly config: CollectionConfig }): boolean {
  return config.routing !== undefined || config.placement !== undefined;
}

function decode(bytes: Uint8Array): JsonNode {
  const [format] = bytes;
  if (format === undefined) throw new MalformedBytesError('the topology is empty');
  if (format > TOPOLOGY_FORMAT) {
    throw new FlotillaError(
      'UNSUPPORTED_VERSION',
      `Topology format ${format} is newer than this node`,
    );
  }
  if (format < FIRST_FORMAT) throw new MalformedBytesError(`topology format ${format}`);
  try {
    return new JsonNode(JSON.parse(TEXT.decode(bytes.subarray(1))), 'topology');
  } catch (cause) {
    throw new MalformedBytesError('the topology is not JSON', { cause });
  }
}

function readGroupId(node: JsonNode): number {
  return node.field('groupId').whole(0);
}

function readCancel(node: JsonNode): TopologyCommand {
  const changeId = node.optional('changeId')?.whole(1);
  const groupId = readGroupId(node);
  return { kind: 'cancelReplicaChange', groupId, ...(changeId !== undefined && { changeId }) };
}

function readDocument(node: JsonNode): TopologyDocument {
  const topologyReplicas = node.field('topologyReplicas').list(readTopologyReplica);
  const topologyGroup = node.optional('topologyGroup');
  const placements = node.optional('placements');
  topologyGroup?.field('nextReplicaId');
  return {
    epoch: node.field('epoch').whole(1),
    clusterId: node.field('clusterId').text(),
    settings: readSettings(node.field('settings')),
    nodes: node.field('nodes').list(readNode),
    shards: node.field('shards').list(readShard),
    topologyReplicas,
    topologyGroup: readMembership(topologyGroup, topologyReplicas),
    slotTable: node.field('slotTable').list((slot) => slot.whole(0)),
    collections: node.field('collections').list(readCollection),
    nextCollectionId: node.field('nextCollectionId').whole(1),
    ...(placements !== undefined && { placements: readPlacements(placements) }),
  };
}

function readSettings(node: JsonNode): ClusterSettings {
  return {
    shards: node.field('shards').whole(1),
    replicationFactor: node.field('replicationFactor').whole(1),
    virtualNodes: node.field('virtualNodes').whole(1),
    electionTimeoutMs: node.field('electionTimeoutMs').whole(1),
    // Documents of before there were leases do not say that there are none.
    leases: node.optional('leases')?.flag() ?? false,
  };
}

function readNode(node: JsonNode): NodeEntry {
  return {
    nodeId: node.field('nodeId').whole(1),
    storeId: node.field('storeId').text(),
    peerAddress: node.field('peerAddress').text(),
    clientAddress: node.field('clientAddress').text(),
    httpAddress: node.field('httpAddress').text(),
    ...readZone(node),
  };
}

function readZone(node: JsonNode): { readonly zone?: string } {
  const zone = node.optional('zone')?.text();
  return zone === undefined ? {} : { zone };
}

function readReplica(node: JsonNode): ReplicaEntry {
  return {
    replicaId: node.field('replicaId').whole(1),
    nodeId: node.field('nodeId').whole(1),
  };
}

function readTopologyReplica(node: JsonNode): TopologyReplicaEntry {
  return { ...readReplica(node), learner: node.field('learner').flag() };
}

/** Replicas of before they could change had the ids that they were given first. */
function readMembership(
  node: JsonNode | undefined,
  replicas: readonly ReplicaEntry[],
): GroupMembership {
  const change = node?.optional('change');
  const highestId = Math.max(0, ...replicas.map(({ replicaId }) => replicaId));
  return {
    nextReplicaId: node?.optional('nextReplicaId')?.whole(1) ?? highestId + 1,
    resets: node?.optional('resets')?.list((one) => one.whole(1)) ?? [],
    ...(change !== undefined && { change: readChange(change) }),
  };
}

function readChange(node: JsonNode): ReplicaChange {
  const add = node.optional('add');
  const remove = node.optional('remove');
  const promote = node.optional('promote');
  const demote = node.optional('demote');
  return {
    ...(add !== undefined && { add: readReplica(add) }),
    ...(remove !== undefined && { remove: remove.whole(1) }),
    ...(promote !== undefined && { promote: promote.whole(1) }),
    ...(demote !== undefined && { demote: demote.whole(1) }),
    stage: node.field('stage').oneOf(CHANGE_STAGES),
  };
}

function readShard(node: JsonNode): ShardEntry {
  const replicas = node.field('replicas').list(readReplica);
  return {
    shardId: node.field('shardId').whole(0),
    groupId: node.field('groupId').whole(1),
    ownershipVersion: node.field('ownershipVersion').whole(1),
    replicas,
    ...readMembership(node, replicas),
  };
}

function readCollection(node: JsonNode): CollectionEntry {
  const placementId = node.optional('placementId')?.whole(1);
  return {
    collectionId: node.field('collectionId').whole(1),
    config: readConfig(node.field('config')),
    state: node.field('state').oneOf(COLLECTION_STATES),
    ...(placementId !== undefined && { placementId }),
  };
}

function readConfig(node: JsonNode): CollectionConfig {
  const ttlMs = node.optional('ttlMs')?.whole(1);
  const routing = node.optional('routing')?.oneOf(ROUTINGS) ?? 'id';
  const placement = node.optional('placement')?.oneOf(PLACEMENT_NAMES) ?? 'ring';
  const splitPoints = node.optional('splitPoints')?.list((one) => one.text());
  return {
    name: node.field('name').text(),
    dimension: node.field('dimension').whole(1),
    metric: node.field('metric').oneOf(METRICS),
    m: node.field('m').whole(1),
    efConstruction: node.field('efConstruction').whole(1),
    indexedFields: node.field('indexedFields').list((field) => ({
      path: field.field('path').text(),
      type: field.field('type').oneOf(FIELD_TYPES),
    })),
    ...(ttlMs !== undefined && { ttlMs }),
    ...(routing !== 'id' && { routing }),
    ...(placement !== 'ring' && { placement }),
    ...(splitPoints !== undefined && { splitPoints }),
  };
}
