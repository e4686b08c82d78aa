// Goal: a plan is large enough, not larger than it must be, and says where it cannot be.
// Method: figures worked out by hand; properties over inputs; every warning below, at and above.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { capacityAlternatives } from '../../../src/placement/capacity-alternatives.js';
import {
  CAPACITY_BOUNDS,
  CAPACITY_DEFAULTS,
  type CapacityInput,
  type CapacityNumber,
} from '../../../src/placement/capacity-input.js';
import { holdingsOfNodes, sharesOfShards } from '../../../src/placement/capacity-layout.js';
import {
  type CapacityPlan,
  GRAPH_RECORDS_MAX,
  planCapacity,
} from '../../../src/placement/capacity-plan.js';
import { type ResourceUse, SHARES_MAX } from '../../../src/placement/capacity-use.js';
import {
  type CapacityWarning,
  capacityWarnings,
} from '../../../src/placement/capacity-warnings.js';
import { LIMITS } from '../../../src/shared/limits.js';

const GIBIBYTE = 1024 ** 3;

function input(more: Partial<CapacityInput> = {}): CapacityInput {
  return { ...CAPACITY_DEFAULTS, vectors: 1_000_000, dimension: 128, ...more };
}

const plan = (more: Partial<CapacityInput> = {}): CapacityPlan => planCapacity(input(more));

function recordBytesOf({ parts }: ResourceUse<string>): Record<string, number> {
  return Object.fromEntries(parts.map(({ part, recordBytes }) => [part, recordBytes]));
}

/** Small enough to be fast, and such that clusters of one to many nodes come of it. */
const inputs = fc
  .record({
    vectors: fc.integer({ min: 1, max: 20_000_000 }),
    dimension: fc.constantFrom(1, 128, 768, 4_096),
    replicationFactor: fc.integer({ min: 1, max: 5 }),
    m: fc.constantFrom(2, 16, 128),
    metadataBytes: fc.constantFrom(0, 200, 65_536),
    indexedFields: fc.integer({ min: 0, max: 64 }),
    exactCopy: fc.boolean(),
    growth: fc.constantFrom(1, 1.5, 3),
    nodeMemoryBytes: fc.constantFrom(16, 64, 256).map((size) => size * GIBIBYTE),
    shardVectorsMax: fc.constantFrom(300_000, 3_000_000),
  })
  .map(input);

describe('planCapacity (M-17)', () => {
  it('adds up what a record takes, part by part', () => {
    const { memory, disk } = plan({ dimension: 128, m: 16, idBytes: 8, indexedFields: 1 });
    // 512 of floats, 128 + 4.53 of links, 12 of head, 136 of tables.
    expect(recordBytesOf(memory)).toMatchObject({
      graph: 793,
      tombstones: 198,
      exactCopy: 516,
      tables: 168,
      payloadIndex: 32,
      renewal: 1_509,
    });
    // 64 + 8 + 200 + 512 of a record; 1.25 x 660.5 of a point and 32 of its label.
    expect(recordBytesOf(disk)).toMatchObject({
      pointStore: 1_372,
      compaction: 588,
      checkpoints: 858,
      snapshot: 1_642,
    });
  });

  it('has points in files of 660 and 3,220 bytes, as measured (ADR 12)', () => {
    const pointBytes = (dimension: number) =>
      ((recordBytesOf(plan({ dimension }).disk).checkpoints ?? 0) - 24 - 36) / 1.25;
    expect(pointBytes(128)).toBeCloseTo(660.5, 0);
    expect(pointBytes(768)).toBeCloseTo(3_220.5, 0);
  });

  it('adds parts up to what is there at all times, and at most', () => {
    const { memory, disk } = plan({ vectors: 5_000_000 });
    for (const { parts, lasting, peak } of [memory, disk] as ResourceUse<string>[]) {
      for (const column of ['recordBytes', 'shardBytes', 'nodeBytes', 'clusterBytes'] as const) {
        const sumOf = (chosen: typeof parts) => chosen.reduce((sum, one) => sum + one[column], 0);
        const unrounded = parts.length;
        const lastingSum = sumOf(parts.filter(({ lasts }) => lasts));
        expect(Math.abs(lasting[column] - lastingSum)).toBeLessThan(unrounded);
        expect(Math.abs(peak[column] - sumOf(parts))).toBeLessThan(unrounded);
      }
    }
  });

  it('lets all replicas together take what all records take, times the replicas', () => {
    const { memory, shards, nodes } = plan({ vectors: 5_000_000, shards: 10, nodes: 4 });
    const [graph, , , , , buffers, node] = memory.parts;
    expect(graph?.clusterBytes).toBeCloseTo(3 * 5_000_000 * 792.533, -6);
    expect(buffers?.clusterBytes).toBe(3 * shards.count * (buffers?.shardBytes ?? 0));
    expect(node?.clusterBytes).toBe(nodes.count * (node?.nodeBytes ?? 0));
  });

  it('fills no node too much, and needs each of them', () => {
    fc.assert(
      fc.property(inputs, (one) => {
        const { nodes, memory, disk } = planCapacity(one);
        if (nodes.reason === 'limit') return;
        expect(memory.nodeShares.lasting).toBeLessThanOrEqual(SHARES_MAX.memory.lasting);
        expect(memory.nodeShares.peak).toBeLessThanOrEqual(SHARES_MAX.memory.peak);
        expect(disk.nodeShares.lasting).toBeLessThanOrEqual(SHARES_MAX.disk.lasting);
        expect(disk.nodeShares.peak).toBeLessThanOrEqual(SHARES_MAX.disk.peak);
        expect(nodes.count).toBeGreaterThanOrEqual(one.replicationFactor);
        if (nodes.reason === 'replication') expect(nodes.count).toBe(one.replicationFactor);
        else if (nodes.count <= LIMITS.nodesMax.value) {
          const fewer = planCapacity({ ...one, nodes: nodes.count - 1 });
          const codes = capacityWarnings(fewer).map(({ code }) => code);
          expect(codes.some((code) => code.startsWith(nodes.reason))).toBe(true);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('makes shards as small as asked for, wherever there can be so many', () => {
    fc.assert(
      fc.property(inputs, (one) => {
        const { shards, records } = planCapacity(one);
        if (shards.reason === 'limit') return;
        expect(shards.recordsMean).toBeLessThanOrEqual(Math.min(one.shardVectorsMax, records));
        expect(shards.recordsMax).toBeLessThanOrEqual(one.shardVectorsMax);
        expect(shards.count).toBeLessThanOrEqual(LIMITS.shardsMax.value);
      }),
      { numRuns: 30 },
    );
  });

  it('takes no less where there are more vectors', () => {
    fc.assert(
      fc.property(inputs, fc.integer({ min: 0, max: 1_000_000 }), (one, more) => {
        const [few, many] = [one, { ...one, vectors: one.vectors + more }].map((each) =>
          planCapacity({ ...each, shards: 16, nodes: 6 }),
        );
        for (const resource of ['memory', 'disk'] as const) {
          const [less = 0, least = 0] = [many, few].map(
            (each) => each?.[resource].lasting.clusterBytes,
          );
          expect(less).toBeGreaterThanOrEqual(least);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('plans for the vectors that are to come', () => {
    const grown = plan({ vectors: 1_000_000, growth: 1.5 });
    expect(grown.records).toBe(1_500_000);
    const { input: _, ...figures } = grown;
    expect(plan({ vectors: 1_500_000 })).toMatchObject(figures);
    expect(plan({ vectors: 3, growth: 1.1 }).records).toBe(4);
  });

  it('saves the copy of the vectors where it is off', () => {
    const saved =
      plan({ shards: 4, nodes: 3 }).memory.lasting.recordBytes -
      plan({ shards: 4, nodes: 3, exactCopy: false }).memory.lasting.recordBytes;
    expect(saved).toBe(4 * 128 + 4);
  });

  it('takes the ring while it is even, and else what is', () => {
    expect(plan({ vectors: 1_000_000 }).shards).toMatchObject({ count: 4, strategy: 'ring' });
    const many = plan({ vectors: 20_000_000 });
    expect(many.shards.strategy).toBe('virtual-shards');
    expect(many.shards.recordsMax).toBeLessThanOrEqual(300_000);
    const ring = plan({ vectors: 20_000_000, strategy: 'ring' });
    expect(ring.shards.strategy).toBe('ring');
    expect(ring.shards.recordsMax).toBeGreaterThan(1.3 * ring.shards.recordsMean);
  });

  it('goes by the allocation that the cluster gets, not by averages', () => {
    const { shards, nodes, memory } = plan({ vectors: 2_000_000, shards: 7, nodes: 5 });
    const shares = sharesOfShards(7, 'ring');
    const holdings = holdingsOfNodes({
      shares,
      records: 2_000_000,
      replicationFactor: 3,
      nodes: 5,
    });
    expect(nodes.replicasMax).toBe(5);
    expect(nodes.recordsMax).toBe(Math.round(Math.max(...holdings.map((one) => one.records))));
    expect(nodes.recordsMax).toBeGreaterThan((3 * 2_000_000) / 5);
    expect(shards.recordsMax).toBe(Math.round(2_000_000 * Math.max(...shares)));
    const perRecord = memory.parts[0]?.recordBytes ?? 0;
    expect(memory.parts[0]?.nodeBytes).toBeCloseTo(perRecord * nodes.recordsMax, -7);
  });

  it('counts what passes for the largest replica of a node, and what lasts for all of them', () => {
    const shares = [0.5, 0.3, 0.2];
    const request = { shares, records: 1_000, replicationFactor: 1, nodes: 1 };
    expect(holdingsOfNodes(request)).toEqual([{ replicas: 3, records: 1_000, recordsMax: 500 }]);
    expect(holdingsOfNodes({ ...request, nodes: 3 })).toEqual(
      [500, 300, 200].map((records) => ({ replicas: 1, records, recordsMax: records })),
    );
  });

  it('names the bound that asks for so many shards and nodes', () => {
    const reasons = ({ shards, nodes }: CapacityPlan) => [shards.reason, nodes.reason];
    expect(reasons(plan())).toEqual(['vectors', 'replication']);
    expect(reasons(plan({ shards: 4, nodes: 3 }))).toEqual(['given', 'given']);
    expect(reasons(plan({ vectors: 50_000_000, dimension: 768 }))).toEqual(['vectors', 'memory']);
    expect(reasons(plan({ vectors: 5_000_000, nodeDiskBytes: 16 * GIBIBYTE }))[1]).toBe('disk');
    const large = { shardVectorsMax: 1e12, nodeMemoryBytes: 1024 * GIBIBYTE };
    expect(reasons(plan({ vectors: 100_000_000, ...large }))[0]).toBe('graph');
    expect(reasons(plan({ vectors: 50_000_000, shardVectorsMax: 1e12 }))[0]).toBe('node');
    expect(reasons(plan({ vectors: 10_000_000_000 }))).toEqual(['limit', 'limit']);
    expect(reasons(plan({ nodeMemoryBytes: GIBIBYTE }))).toEqual(['vectors', 'limit']);
  });

  it('refuses what is out of bounds, naming field and bounds (P-9)', () => {
    for (const [name, { min, max }] of Object.entries(CAPACITY_BOUNDS)) {
      const field = name as CapacityNumber;
      const wrong = [min - 1, max + 1, Number.NaN, ...(field === 'growth' ? [] : [min + 0.5])];
      for (const value of wrong) {
        const message = expect.stringContaining(`from ${min} to ${max}`);
        const refusal = { reason: 'INVALID_REQUEST', message, body: { field } };
        expect(() => plan({ [field]: value }), `${field} ${value}`).toThrow(
          expect.objectContaining({ ...refusal, body: expect.objectContaining({ field }) }),
        );
      }
      const small = { vectors: 1, shards: 1, nodes: 7 };
      expect(plan({ ...small, [field]: min }).input[field]).toBe(min);
    }
  });
});

describe('capacityWarnings (M-17)', () => {
  /** Fits with room to spare: nothing to warn of. */
  const roomy = { shards: 1, nodes: 3, nodeMemoryBytes: 1024 * GIBIBYTE, shardVectorsMax: 1e12 };
  const codesOf = (more: Partial<CapacityInput>): CapacityWarning['code'][] =>
    capacityWarnings(plan({ ...roomy, ...more })).map(({ code }) => code);

  it.each<[CapacityWarning['code'], Partial<CapacityInput>, Partial<CapacityInput>]>([
    ['shard-vectors', { vectors: 300_000 }, { vectors: 300_001 }],
    ['graph-records', { vectors: GRAPH_RECORDS_MAX }, { vectors: GRAPH_RECORDS_MAX + 1 }],
    ['shards', { shards: 256 }, { shards: 257 }],
    ['slots', { shards: 1_024 }, { shards: 1_025 }],
    ['nodes', { nodes: 48 }, { nodes: 49 }],
    ['replication', { nodes: 3 }, { nodes: 2 }],
    ['tenants', { tenants: 17 }, { tenants: 18 }],
    ['tenants', { shards: 4, tenants: 71 }, { shards: 4, tenants: 72 }],
    ['uneven-shards', { shards: 16 }, { shards: 64, strategy: 'ring' }],
    ['single-replica', { replicationFactor: 2 }, { replicationFactor: 1 }],
  ])('warns of %s above its limit, and not at it', (code, within, beyond) => {
    expect(codesOf(within)).not.toContain(code);
    expect(codesOf(beyond)).toContain(code);
  });

  it('warns of nodes that are too full, from the very byte on', () => {
    const full = { ...roomy, vectors: 3_000_000 };
    const { memory, disk } = plan(full);
    const most = { memory: memory.lasting.nodeBytes / 0.7, disk: disk.lasting.nodeBytes / 0.8 };
    const withMemory = (bytes: number) => codesOf({ ...full, nodeMemoryBytes: Math.round(bytes) });
    expect(withMemory(most.memory + 4)).not.toContain('memory');
    expect(withMemory(most.memory - 4)).toContain('memory');
    expect(withMemory(memory.peak.nodeBytes / 0.9 - 4)).toContain('memory-peak');
    const withDisk = (bytes: number) => codesOf({ ...full, nodeDiskBytes: Math.round(bytes) });
    expect(withDisk(most.disk + 4)).not.toContain('disk');
    expect(withDisk(most.disk - 4)).toContain('disk');
    expect(withDisk(disk.peak.nodeBytes + 4)).not.toContain('disk-peak');
    expect(withDisk(disk.peak.nodeBytes - 4)).toContain('disk-peak');
  });

  it('has none for a plan of its own choice that can be built', () => {
    expect(capacityWarnings(plan({ vectors: 2_000_000 }))).toEqual([]);
    expect(capacityWarnings(plan({ vectors: 20_000_000, dimension: 768 }))).toEqual([]);
  });
});

describe('capacityAlternatives (M-17)', () => {
  it('says how few nodes would do without the copy, and with larger ones', () => {
    const tooMany = plan({ vectors: 50_000_000, dimension: 768 });
    expect(tooMany.nodes.count).toBeGreaterThan(LIMITS.nodesMax.value);
    const [withoutCopy, larger] = capacityAlternatives(tooMany);
    expect(withoutCopy).toMatchObject({ kind: 'without-copy' });
    expect(withoutCopy?.nodes).toBeLessThan(tooMany.nodes.count);
    expect(larger).toMatchObject({ kind: 'larger-nodes', nodeMemoryBytes: 64 * GIBIBYTE });
    expect(larger?.nodes).toBeLessThanOrEqual(LIMITS.nodesMax.value);
  });

  it('has none where memory is not what asks for nodes', () => {
    expect(capacityAlternatives(plan())).toEqual([]);
    expect(capacityAlternatives(plan({ nodes: 3 }))).toEqual([]);
  });
});
