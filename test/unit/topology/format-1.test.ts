// Goal: the topology as version 0.1 stores and sends it stays what it is (F-15).
// Method: golden bytes of a document and of every command against values that are written here.
import { describe, expect, it } from 'vitest';
import { LIMITS } from '../../../src/shared/limits.js';
import {
  decodeTopology,
  decodeTopologyCommand,
  encodeTopology,
  encodeTopologyCommand,
} from '../../../src/topology/codec.js';
import type {
  ReplicaChange,
  TenantCommand,
  TopologyCommand,
  TopologyDocument,
} from '../../../src/topology/document.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'topology');

const CONFIG = {
  name: 'items',
  dimension: 8,
  metric: 'cosine',
  m: 16,
  efConstruction: 200,
  indexedFields: [{ path: 'a.b', type: 'keyword' }],
} as const;
const CHANGE: ReplicaChange = { add: { replicaId: 3, nodeId: 2 }, remove: 2, stage: 'switching' };

const DOCUMENT: TopologyDocument = {
  epoch: 12,
  clusterId: 'cluster-1',
  settings: {
    shards: 1,
    replicationFactor: 2,
    virtualNodes: 100,
    electionTimeoutMs: 1_000,
    leases: true,
  },
  nodes: [1, 2].map((nodeId) => ({
    nodeId,
    storeId: `store-${nodeId}`,
    peerAddress: `10.0.0.${nodeId}:7701`,
    clientAddress: `10.0.0.${nodeId}:7700`,
    httpAddress: `10.0.0.${nodeId}:7702`,
  })),
  shards: [
    {
      shardId: 0,
      groupId: 1,
      ownershipVersion: 1,
      replicas: [
        { replicaId: 1, nodeId: 1 },
        { replicaId: 2, nodeId: 2 },
      ],
      nextReplicaId: 4,
      resets: [1],
      change: CHANGE,
    },
  ],
  topologyReplicas: [
    { replicaId: 1, nodeId: 1, learner: false },
    { replicaId: 2, nodeId: 2, learner: true },
  ],
  topologyGroup: { nextReplicaId: 3, resets: [] },
  slotTable: new Array<number>(LIMITS.slots.value).fill(0),
  collections: [
    { collectionId: 1, config: CONFIG, state: 'active' },
    { collectionId: 2, config: { ...CONFIG, name: 'old', indexedFields: [] }, state: 'dropping' },
  ],
  nextCollectionId: 3,
};

/** What was there before placements, zones and votes that change. */
type PlainCommand = Exclude<
  TopologyCommand,
  TenantCommand | { readonly kind: 'setNodeZone' | 'promoteReplica' | 'demoteReplica' }
>;

const COMMANDS: {
  readonly [Kind in PlainCommand['kind']]: Extract<TopologyCommand, { kind: Kind }>;
} = {
  beginCreateCollection: { kind: 'beginCreateCollection', config: CONFIG },
  finishCreateCollection: { kind: 'finishCreateCollection', collectionId: 7 },
  beginDropCollection: { kind: 'beginDropCollection', collectionId: 7 },
  finishDropCollection: { kind: 'finishDropCollection', collectionId: 7 },
  addReplica: { kind: 'addReplica', groupId: 1, nodeId: 2 },
  removeReplica: { kind: 'removeReplica', groupId: 1, replicaId: 3 },
  resetReplica: { kind: 'resetReplica', groupId: 1, replicaId: 3 },
  cancelReplicaChange: { kind: 'cancelReplicaChange', groupId: 1 },
  advanceReplicaChange: { kind: 'advanceReplicaChange', groupId: 1, change: CHANGE },
  readmitNode: { kind: 'readmitNode', nodeId: 2, storeId: 'store-9' },
};

describe('the topology in format 1 (F-15)', () => {
  it('has the document', () => {
    golden.holds('document', DOCUMENT, { encode: encodeTopology, decode: decodeTopology });
  });

  it.each(Object.values(COMMANDS))('has the command $kind', (command) => {
    golden.holds<TopologyCommand>(`command ${command.kind}`, command, {
      encode: encodeTopologyCommand,
      decode: decodeTopologyCommand,
    });
  });

  it('has the command that names the change that it gives up', () => {
    const command = { ...COMMANDS.cancelReplicaChange, changeId: 7 };
    golden.holds<TopologyCommand>('command cancelReplicaChange with its change', command, {
      encode: encodeTopologyCommand,
      decode: decodeTopologyCommand,
    });
  });

  it('has no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
