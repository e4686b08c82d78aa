// Goal: the first layout of a cluster outlives the loss of any zone as far as zones let it (M-16).
// Method: properties over zones of any sizes; commands that move a node to another zone.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { spreadOver, type Zone, zonesOf } from '../../../src/placement/zones.js';
import { LIMITS } from '../../../src/shared/limits.js';
import type { TopologyCommand, TopologyDocument } from '../../../src/topology/document.js';
import { documentFault } from '../../../src/topology/document.js';
import { initialTopology, type TopologySeed } from '../../../src/topology/initial-topology.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { spreadFault, zonedCases } from '../placement/allocations.js';
import { genesis, node, seed } from './topology-fixtures.js';

function zonedSeed(
  zones: ReadonlyMap<number, string>,
  shards: number,
  replicationFactor: number,
): TopologySeed {
  const nodes = [...zones].map(([nodeId, zone]) => ({ ...node(nodeId), zone }));
  const { settings, ...rest } = seed();
  return { ...rest, settings: { ...settings, shards, replicationFactor }, nodes };
}

const votersOf = ({ topologyReplicas }: TopologyDocument): number[] =>
  topologyReplicas.flatMap(({ nodeId, learner }) => (learner ? [] : [nodeId]));

/** Node 1 in zone a, 2 in b, 3 in c, 4 in a, ... */
const threeZones = (nodes: number): ReadonlyMap<number, string> =>
  new Map(Array.from({ length: nodes }, (_, at) => [at + 1, 'abc'.charAt(at % 3)]));

describe('the first layout over zones', () => {
  it('spreads each shard, and the voters of the topology, as evenly as it can', () => {
    fc.assert(
      fc.property(zonedCases, ({ zones, shards, replicationFactor }) => {
        const document = initialTopology(zonedSeed(zones, shards, replicationFactor));
        expect(documentFault(document)).toBeUndefined();
        const layout = zonesOf([...zones.keys()], zones);
        for (const { shardId, replicas } of document.shards) {
          const nodeIds = replicas.map(({ nodeId }) => nodeId);
          expect(spreadFault({ shardId, nodeIds }, layout)).toBeUndefined();
        }
        const nodeIds = votersOf(document);
        expect(spreadFault({ shardId: 0, nodeIds }, layout)).toBeUndefined();
      }),
      { numRuns: 60 },
    );
  });

  it('lets as many nodes vote as may, and fewer only to outlive the loss of any zone', () => {
    const outlives = (layout: readonly Zone[], voters: number): boolean =>
      voters - Math.max(...spreadOver(layout, voters).most) > voters / 2;
    fc.assert(
      fc.property(zonedCases, ({ zones }) => {
        const voters = votersOf(initialTopology(zonedSeed(zones, 1, 1))).length;
        const layout = zonesOf([...zones.keys()], zones);
        const most = Math.min(LIMITS.topologyVotersMax.value, zones.size);
        const choices = Array.from({ length: most }, (_, fewer) => most - fewer);
        expect(voters).toBe(choices.find((choice) => outlives(layout, choice)) ?? most);
      }),
      { numRuns: 60 },
    );
  });

  it.each([
    ['aabc', [1, 3, 4]],
    ['aaabc', [1, 4, 5]],
    ['aabbc', [1, 2, 3, 4, 5]],
    ['aabb', [1, 2, 3, 4]],
  ])('lets of nodes in the zones %s vote nodes %j', (names, voters) => {
    const zones = new Map([...names].map((zone, at) => [at + 1, zone]));
    expect(votersOf(initialTopology(zonedSeed(zones, 1, 1)))).toEqual(voters);
  });

  it('loses no more of a shard with a zone than ZoneSpread says', () => {
    fc.assert(
      fc.property(zonedCases, ({ zones, shards, replicationFactor }) => {
        const { shards: laidOut } = initialTopology(zonedSeed(zones, shards, replicationFactor));
        const layout = zonesOf([...zones.keys()], zones);
        const { most } = spreadOver(layout, replicationFactor);
        for (const [at, zone] of layout.entries()) {
          for (const { replicas } of laidOut) {
            const lost = replicas.filter(({ nodeId }) => zone.includes(nodeId)).length;
            expect(lost).toBeLessThanOrEqual(most[at] ?? 0);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it.each([3, 6, 9, 12])('keeps all majorities of %i nodes in three zones without one', (nodes) => {
    const document = initialTopology(zonedSeed(threeZones(nodes), 8, 3));
    for (const zone of ['a', 'b', 'c']) {
      const isLeft = (nodeId: number): boolean => threeZones(nodes).get(nodeId) !== zone;
      for (const { replicas } of document.shards) {
        expect(replicas.filter(({ nodeId }) => isLeft(nodeId))).toHaveLength(2);
      }
      const voters = votersOf(document);
      expect(voters.filter(isLeft).length).toBeGreaterThan(voters.length / 2);
    }
  });

  it('is that of before where no node names a zone, or all name the same', () => {
    const plain = initialTopology(seed(7, 5));
    expect(votersOf(plain)).toEqual([1, 2, 3, 4, 5]);
    const nodes = seed(7, 5).nodes.map((one) => ({ ...one, zone: 'here' }));
    const together = initialTopology({ ...seed(7, 5), nodes });
    expect(together.shards).toEqual(plain.shards);
    expect(together.topologyReplicas).toEqual(plain.topologyReplicas);
  });

  it('takes nodes that name none for one zone together', () => {
    const nodes = [node(1), node(2), { ...node(3), zone: 'b' }, node(4)];
    const { shards } = initialTopology({ ...seed(4, 6, 2), nodes });
    for (const { replicas } of shards) expect(replicas.map(({ nodeId }) => nodeId)).toContain(3);
  });

  it('refuses what is no name of a zone, naming node and limit (P-9)', () => {
    const { value } = LIMITS.zoneBytesMax;
    const layOut = (zone: string) => (): unknown =>
      initialTopology({ ...seed(), nodes: [node(1), node(2), { ...node(3), zone }] });
    for (const good of ['a', 'eu-west_1.b', 'z'.repeat(value - 1), 'z'.repeat(value)]) {
      expect(layOut(good)).not.toThrow();
    }
    expect(layOut('z'.repeat(value + 1))).toThrow(
      expect.objectContaining({ reason: 'LIMIT_EXCEEDED', field: 'zone of node 3' }),
    );
    for (const bad of ['', 'a b', 'ä', 'a/b', 'a\n']) {
      expect(layOut(bad), bad).toThrow(
        expect.objectContaining({ reason: 'INVALID_REQUEST', field: 'zone of node 3' }),
      );
    }
  });
});

describe('a node that is in another zone now', () => {
  const zoneOf = ({ nodes }: TopologyDocument, nodeId: number): string | undefined =>
    nodes.find((one) => one.nodeId === nodeId)?.zone;

  it('is listed there, and nothing else changes; saying it again changes nothing', () => {
    const before = genesis();
    const command: TopologyCommand = { kind: 'setNodeZone', nodeId: 2, zone: 'b' };
    const { document, result } = applyTopologyCommand(before, command);
    expect(result).toEqual({ kind: 'done' });
    expect(zoneOf(document, 2)).toBe('b');
    expect(document.epoch).toBe(before.epoch + 1);
    expect(document.shards).toBe(before.shards);
    expect(applyTopologyCommand(document, command).document).toBe(document);
    const none = applyTopologyCommand(document, { kind: 'setNodeZone', nodeId: 2 });
    expect(none.document).toEqual({ ...before, epoch: before.epoch + 2 });
  });

  it('keeps its zone when it is readmitted', () => {
    const moved = applyTopologyCommand(genesis(), { kind: 'setNodeZone', nodeId: 2, zone: 'b' });
    const readmit: TopologyCommand = { kind: 'readmitNode', nodeId: 2, storeId: 'new' };
    expect(zoneOf(applyTopologyCommand(moved.document, readmit).document, 2)).toBe('b');
  });

  it.each([
    [{ nodeId: 9, zone: 'b' }, 'NODE_NOT_FOUND'],
    [{ nodeId: 2, zone: '' }, 'INVALID_REQUEST'],
    [{ nodeId: 2, zone: 'z'.repeat(65) }, 'LIMIT_EXCEEDED'],
  ])('is refused as %o: %s', (what, reason) => {
    const before = genesis();
    const { document, result } = applyTopologyCommand(before, { kind: 'setNodeZone', ...what });
    expect(document).toBe(before);
    expect(result).toMatchObject({ kind: 'refused', error: { reason } });
  });
});
