// Goal: the status tells which replicas take no part, and why.
// Method: the pure part of it, over replicas that answer as told.
import { describe, expect, it } from 'vitest';
import { clusterStatus } from '../../../src/node/cluster-status.js';
import type { ReplicaStatus, ShardReplica } from '../../../src/replica/replica.js';
import { absentReplica } from '../../../src/replica/status-only-replica.js';
import type { ClusterStatus } from '../../../src/shared/codec/admin-messages.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { replicaGroup } from '../../../src/topology/replica-group.js';
import { genesis } from '../topology/topology-fixtures.js';

interface Exception {
  /** @default none */
  readonly zones?: ReadonlyMap<number, string>;
  /** @default 1 */
  readonly groupId?: number;
}

/** Everybody answers as listed, but node 3 in one group, with what `answer` changes. */
function statusWith(
  answer: Partial<ReplicaStatus>,
  { zones = new Map(), groupId: meant = 1 }: Exception = {},
): Promise<ClusterStatus> {
  const { nodes, ...document } = genesis();
  return clusterStatus({
    document: { ...document, nodes: nodes.map((node) => ({ ...node, ...zoneOf(node, zones) })) },
    nodeId: 1,
    connected: new Set([2, 3]),
    replicaOf: ({ shardId, groupId }, nodeId) => {
      const listed = replicaGroup(genesis(), groupId)?.replicas;
      const replicaId = listed?.find((one) => one.nodeId === nodeId)?.replicaId ?? 0;
      const where = { shardId, groupId, nodeId, replicaId, fault: '' };
      const replica: ShardReplica = absentReplica(where);
      const isMeant = groupId === meant && nodeId === 3;
      replica.status = async () => {
        const { fault: _none, ...status } = await absentReplica(where).status();
        const role = nodeId === 1 ? 'StateLeader' : 'StateFollower';
        return { ...status, fault: undefined, role, ...(isMeant && answer) };
      };
      return replica;
    },
    stateOf: () => Promise.reject(new FlotillaError('NO_LEADER', 'nobody leads')),
    timeoutMs: 100,
  });
}

function zoneOf({ nodeId }: { readonly nodeId: number }, zones: ReadonlyMap<number, string>) {
  const zone = zones.get(nodeId);
  return zone === undefined ? {} : { zone };
}

const faultOf = ({ shards }: ClusterStatus): string | undefined =>
  shards[0]?.replicas.find(({ nodeId }) => nodeId === 3)?.fault;

describe('the status of a replica', () => {
  it('has no fault where the node holds the one that is listed', async () => {
    const status = await statusWith({});
    expect(faultOf(status)).toBe('');
    expect(status.healthy).toBe(true);
  });

  it('tells what the index library of its node is, where the replica does', async () => {
    const library = { instructionSet: 'avx2', distancesPerSecond: 12_000_000 };
    const engine = { appliedIndex: 1, ownershipVersion: 1, sessions: 0, collections: [], library };
    const { nodes } = await statusWith({ engine });
    expect(nodes).toMatchObject([
      { nodeId: 1, instructionSet: '', distancesPerSecond: 0 },
      { nodeId: 2, instructionSet: '', distancesPerSecond: 0 },
      { nodeId: 3, ...library },
    ]);
  });

  it('tells it of a node without shards too, by its replica of the topology', async () => {
    const library = { instructionSet: 'avx2', distancesPerSecond: 12_000_000 };
    const engine = { appliedIndex: 1, ownershipVersion: 0, sessions: 0, collections: [], library };
    const { nodes, topology, healthy } = await statusWith({ engine }, { groupId: 0 });
    expect(nodes[2]).toMatchObject(library);
    // It is no engine for that.
    expect(topology.replicas[2]).toMatchObject({ contentHash: '', contentIndex: 0 });
    expect(topology.replicas[2]?.engine).toBeUndefined();
    expect(healthy).toBe(true);
  });

  it('tells what its engine works on, over all collections', async () => {
    const work = { headRows: 2, graphPoints: 30, tombstones: 4, isRenewing: false };
    const collection = { ...work, collectionId: 1, records: 9, memoryBytes: 0 };
    const rebuilding = { isRenewing: true, graphWork: 'rebuilding' as const };
    const collections = [
      collection,
      { ...collection, collectionId: 2, ...rebuilding },
      { ...collection, collectionId: 3, graphWork: 'loading' as const },
      { ...collection, collectionId: 4, graphWork: 'loading' as const },
    ];
    const engine = { appliedIndex: 1, ownershipVersion: 1, sessions: 0, collections };
    const { shards } = await statusWith({ engine });
    const [first, , third] = shards[0]?.replicas ?? [];
    expect(third?.engine).toEqual({
      headRows: 8,
      graphPoints: 120,
      graphTombstones: 16,
      renewing: true,
      graphsLoading: 2,
      graphsRebuilding: 1,
    });
    expect(first).not.toHaveProperty('engine');
  });

  it('tells the zone of each node, where it names one', async () => {
    const { nodes } = await statusWith({}, { zones: new Map([[2, 'rack-7']]) });
    expect(nodes.map(({ zone }) => zone)).toEqual(['', 'rack-7', '']);
  });

  it('tells the hash of what it holds, as of the index that its engine has applied', async () => {
    const collection = { headRows: 0, graphPoints: 0, tombstones: 0, isRenewing: false };
    const holding = (appliedIndex: number, ...hashes: (string | undefined)[]) => ({
      engine: {
        appliedIndex,
        ownershipVersion: 1,
        sessions: 0,
        collections: hashes.map((contentHash, at) => {
          return { ...collection, collectionId: at + 1, records: 1, memoryBytes: 0, contentHash };
        }),
      },
    });
    const contentOf = async (answer: Partial<ReplicaStatus>) => {
      const { shards } = await statusWith(answer);
      const { contentHash, contentIndex } = shards[0]?.replicas[2] ?? {};
      return { contentHash, contentIndex };
    };
    const one = '0'.repeat(31).concat('1');
    const two = '0'.repeat(31).concat('2');
    const known = await contentOf(holding(7, one, two));
    expect(known.contentIndex).toBe(7);
    expect(known.contentHash).toMatch(/^[0-9a-f]{32}$/);
    expect((await contentOf(holding(7, two, one))).contentHash).not.toBe(known.contentHash);
    const unknown = { contentHash: '', contentIndex: 0 };
    expect(await contentOf(holding(7, one, undefined))).toEqual(unknown);
    expect(await contentOf({})).toEqual(unknown);
  });

  it('says so where the node holds another one, or none', async () => {
    const other = await statusWith({ replicaId: 5 });
    expect(faultOf(other)).toBe('the node holds replica 5, not replica 3');
    expect(other.healthy).toBe(false);
    const none = await statusWith({ replicaId: 0, fault: 'it is still being opened' });
    expect(faultOf(none)).toBe('the node does not hold replica 3 (it is still being opened)');
  });

  it('keeps the fault that the replica itself tells', async () => {
    const status = await statusWith({ fault: 'LOG_DAMAGED: a checksum' });
    expect(faultOf(status)).toBe('LOG_DAMAGED: a checksum');
  });
});
