// Goal: what a node tells clients of where to go is what its own router would do.
// Method: documents with collections on each kind of placement, beside the route of the topology.
import { describe, expect, it } from 'vitest';
import { clusterRoutes } from '../../../src/node/cluster-routes.js';
import { createPlacement, type PlacementSpec } from '../../../src/placement/placement-state.js';
import { DEFAULT_TENANT_LIMITS } from '../../../src/placement/tenant-limits.js';
import type { Routes } from '../../../src/shared/codec/routes-messages.js';
import { slotOfKey } from '../../../src/shared/slot.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { NO_PLACEMENTS } from '../../../src/topology/placements.js';
import { routeOf } from '../../../src/topology/routes.js';
import { config, genesis } from '../topology/topology-fixtures.js';

/** A document with one collection, `things`, on a placement of its own if it has a spec. */
function documentWith(more: Partial<CollectionConfig>, spec?: PlacementSpec): TopologyDocument {
  const document = genesis();
  const shardIds = document.shards.map(({ shardId }) => shardId);
  const things = { collectionId: 1, config: config('things', more), state: 'active' } as const;
  if (spec === undefined) return { ...document, collections: [things] };
  const entries = [{ placementId: 1, state: createPlacement(spec, shardIds) }];
  return {
    ...document,
    collections: [{ ...things, placementId: 1 }],
    placements: { ...NO_PLACEMENTS, entries, nextPlacementId: 2 },
  };
}

function routes(document: TopologyDocument, tenant = '', collection = 'things'): Routes {
  const leaderOf = (shardId: number) => (shardId === 3 ? undefined : 1 + (shardId % 3));
  return clusterRoutes({ document, nodeId: 2, leaderOf }, { collection, tenant });
}

describe('the routes that a node tells', () => {
  it('name its cluster, itself, all nodes, and the leaders that it knows', () => {
    const document = documentWith({});
    expect(routes(document)).toMatchObject({
      clusterId: document.clusterId,
      epoch: document.epoch,
      answeredBy: 2,
      nodes: document.nodes.map(({ nodeId, clientAddress }) => ({ nodeId, clientAddress })),
      shards: [1, 2, 3, 0].map((leaderNodeId, shardId) => ({
        shardId,
        leaderNodeId,
        replicaNodeIds: document.shards[shardId]?.replicas.map(({ nodeId }) => nodeId),
      })),
    });
  });

  it('name the zones of nodes that are in one (M-14)', () => {
    const document = documentWith({});
    const zones = [undefined, 'a', 'b'];
    const nodes = document.nodes.map((node, at) => {
      const zone = zones[at];
      return zone === undefined ? node : { ...node, zone };
    });
    expect(routes({ ...document, nodes }).nodes.map(({ zone }) => zone)).toEqual(zones);
  });

  it('leave the collection out where there is none', () => {
    expect(routes(documentWith({}), '', 'nothing').collection).toBeUndefined();
    expect(routes(documentWith({}), '', '').collection).toBeUndefined();
  });

  it.each([
    ['by default', {}, undefined],
    [
      'by modulo',
      { placement: 'modulo' },
      { kind: 'slots', routedBy: 'id', layout: { name: 'modulo' } },
    ],
    [
      'by shard key',
      { routing: 'shardKey', placement: 'rendezvous' },
      { kind: 'slots', routedBy: 'shardKey', layout: { name: 'rendezvous' } },
    ],
  ] as const)('have the table of slots, %s (M-9)', (_, more, spec) => {
    const document = documentWith(more, spec);
    const [{ placementId } = { placementId: undefined }] = document.collections;
    const route = routeOf(document, placementId);
    const { collection } = routes(document);
    expect(collection?.routedBy).toBe(spec?.routedBy ?? 'id');
    for (const key of ['a', 'b', 'c', 'ä', '']) {
      const slot = slotOfKey(key);
      expect(collection?.slotTable[slot]).toBe(route?.shardOf({ slot, tenant: '' }));
    }
  });

  it('have no table where ranges decide', () => {
    const spec = { kind: 'ranges', routedBy: 'id', splitPoints: ['m'] } as const;
    const { collection } = routes(documentWith({ placement: 'range', splitPoints: ['m'] }, spec));
    expect(collection).toEqual({ routedBy: 'id', slotTable: [] });
  });

  it('name the one shard of a tenant where tenants decide (M-20)', () => {
    const layout = { name: 'ring', virtualNodes: 100 } as const;
    const limits = DEFAULT_TENANT_LIMITS;
    const spec = { kind: 'tenants', routedBy: 'tenant', layout, limits } as const;
    const document = documentWith({ routing: 'tenant' }, spec);
    const route = routeOf(document, 1);
    for (const tenant of ['acme', 'zeta', 'ü']) {
      const tenantShardId = route?.shardOf({ slot: slotOfKey(tenant), tenant });
      expect(routes(document, tenant).collection).toEqual({
        routedBy: 'tenant',
        slotTable: [],
        tenantShardId,
      });
    }
  });
});
