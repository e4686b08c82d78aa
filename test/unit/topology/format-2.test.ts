// Goal: what a topology with placements stores and sends stays what it is (F-15).
// Method: golden bytes of a document and of every command against values that are written here.
import { describe, expect, it } from 'vitest';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { DEFAULT_TENANT_LIMITS } from '../../../src/placement/tenant-limits.js';
import {
  decodeTopology,
  decodeTopologyCommand,
  encodeTopology,
  encodeTopologyCommand,
} from '../../../src/topology/codec.js';
import type { TopologyCommand, TopologyDocument } from '../../../src/topology/document.js';
import type { Placements } from '../../../src/topology/placements.js';
import { GoldenFile } from '../../fixtures/golden.js';
import { config, genesis } from './topology-fixtures.js';

const golden = new GoldenFile('format-2', 'topology');

const ASSIGN = { kind: 'assignTenant', tenant: 'acme', shardId: 2 } as const;
const REFUSED = { reason: 'TENANT_HAS_DATA', message: 'it has' } as const;
const SLOTS = new RingStrategy({ virtualNodes: 2 }).place([0, 1, 2, 3]).shardIds;

const PLACEMENTS: Placements = {
  entries: [
    {
      placementId: 1,
      state: { kind: 'slots', routedBy: 'shardKey', layout: { name: 'modulo' }, table: SLOTS },
    },
    {
      placementId: 2,
      state: {
        kind: 'ranges',
        routedBy: 'id',
        table: {
          ranges: [
            { rangeId: 1, from: '', shardId: 0 },
            { rangeId: 2, from: 'm', shardId: 1 },
          ],
          nextRangeId: 3,
        },
      },
    },
    {
      placementId: 3,
      state: {
        kind: 'tenants',
        routedBy: 'tenant',
        layout: { name: 'ring', virtualNodes: 2 },
        limits: DEFAULT_TENANT_LIMITS,
        table: {
          slotTable: SLOTS,
          assignments: [{ tenant: 'beta', shardId: 3 }],
          dedicatedShardIds: [],
        },
      },
    },
  ],
  nextPlacementId: 4,
  nextChangeId: 8,
  change: {
    changeId: 7,
    placementId: 3,
    action: ASSIGN,
    commands: [
      { kind: 'moveUnit', unit: { kind: 'slot', slot: 5 }, fromShardId: 2, toShardId: 1 },
      ASSIGN,
    ],
    steps: [
      {
        shardId: 1,
        ownershipVersion: 2,
        change: {
          units: { added: [], removed: [5] },
          here: { added: [], removed: ['beta'] },
          elsewhere: { added: ['acme'], removed: [] },
        },
      },
    ],
    stage: 'fencing',
    by: 'an operator',
    atMs: 1_700_000_000_000,
  },
  audit: [
    { changeId: 5, action: { ...ASSIGN }, fromShardId: 1, by: '', atMs: 1, refused: REFUSED },
    { changeId: 6, action: { kind: 'dedicateShard', shardId: 3 }, by: 'ä', atMs: 2 },
  ],
};

const DOCUMENT: TopologyDocument = {
  ...genesis(),
  collections: [
    {
      collectionId: 1,
      config: config('grouped', { routing: 'shardKey', placement: 'modulo' }),
      state: 'active',
      placementId: 1,
    },
    {
      collectionId: 2,
      config: config('ranges', { placement: 'range', splitPoints: ['m'] }),
      state: 'creating',
      placementId: 2,
    },
  ],
  nextCollectionId: 3,
  placements: PLACEMENTS,
};

const COMMANDS: readonly TopologyCommand[] = [
  { kind: 'beginCreateCollection', config: config('items', { routing: 'tenant' }) },
  { kind: 'beginTenantChange', action: ASSIGN, by: 'an operator', atMs: 1_700_000_000_000 },
  { kind: 'decideTenantChange', changeId: 7, refused: REFUSED },
  { kind: 'finishTenantChange', changeId: 7 },
  { kind: 'setNodeZone', nodeId: 2, zone: 'rack-7' },
  { kind: 'promoteReplica', groupId: 0, replicaId: 6 },
  { kind: 'demoteReplica', groupId: 0, replicaId: 2 },
  {
    kind: 'advanceReplicaChange',
    groupId: 0,
    change: { promote: 6, stage: 'switching' },
  },
];

/** Zones and a vote that changes, and no other placement. */
const ZONED: TopologyDocument = {
  ...genesis(),
  nodes: genesis().nodes.map((one) => (one.nodeId === 3 ? one : { ...one, zone: 'rack-7' })),
  topologyGroup: { nextReplicaId: 4, resets: [], change: { demote: 2, stage: 'switching' } },
};

describe('a topology with placements, in format 2 (F-15)', () => {
  it('has the document', () => {
    golden.holds('document', DOCUMENT, { encode: encodeTopology, decode: decodeTopology });
  });

  it('has the document with zones and votes', () => {
    golden.holds('document with zones', ZONED, { encode: encodeTopology, decode: decodeTopology });
  });

  it('is in format 2 for zones alone, and for a vote alone', () => {
    const { topologyGroup, nodes } = ZONED;
    expect(encodeTopology({ ...genesis(), nodes })[0]).toBe(2);
    expect(encodeTopology({ ...genesis(), topologyGroup })[0]).toBe(2);
    expect(encodeTopologyCommand({ kind: 'setNodeZone', nodeId: 2 })[0]).toBe(2);
  });

  it.each(COMMANDS)('has the command $kind', (command) => {
    golden.holds<TopologyCommand>(`command ${command.kind}`, command, {
      encode: encodeTopologyCommand,
      decode: decodeTopologyCommand,
    });
  });

  it('is in format 1 as long as nothing names another placement', () => {
    const { placements: _, ...plain } = DOCUMENT;
    const [first] = encodeTopology({ ...plain, collections: [] });
    expect(first).toBe(1);
  });

  it('has no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
