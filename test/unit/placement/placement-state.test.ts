// Goal: a placement is plain data that the topology can hold, and each command changes one thing.
// Method: every kind of placement through JSON between all steps, against the strategies.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyPlacementCommand,
  createPlacement,
  openPlacement,
  type PlacementCommand,
  type PlacementSpec,
  type PlacementState,
  placementFault,
  unitMovesOf,
} from '../../../src/placement/placement-state.js';
import { DEFAULT_TENANT_LIMITS } from '../../../src/placement/tenant-limits.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { errorOf } from '../../support/error-of.js';

const ring = { name: 'ring', virtualNodes: 100 } as const;
const limits = DEFAULT_TENANT_LIMITS;
const SPECS: readonly PlacementSpec[] = [
  { kind: 'slots', routedBy: 'id', layout: ring },
  { kind: 'slots', routedBy: 'shardKey', layout: { name: 'modulo' } },
  { kind: 'slots', routedBy: 'id', layout: { name: 'rendezvous' } },
  { kind: 'slots', routedBy: 'id', layout: { name: 'virtual-shards' } },
  { kind: 'ranges', routedBy: 'shardKey', splitPoints: ['c', 'k', 's', 'x'] },
  { kind: 'tenants', routedBy: 'tenant', layout: ring, limits },
];
const KEYS = Array.from({ length: 500 }, (_, at) => `${String.fromCharCode(97 + (at % 26))}${at}`);

/** As it comes out of a log, or arrives at another node. */
const stored = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

function ownersOf(state: PlacementState): number[] {
  const placement = openPlacement(state);
  return KEYS.map((key) => placement.shardOf(key));
}

const tenants = createPlacement(
  { kind: 'tenants', routedBy: 'tenant', layout: ring, limits },
  [0, 1, 2],
);
const ranges = createPlacement({ kind: 'ranges', routedBy: 'id', splitPoints: ['m'] }, [0, 1]);
const slots = createPlacement({ kind: 'slots', routedBy: 'id', layout: ring }, [0, 1, 2]);

const NAMED = SPECS.map((spec) => ({
  name: spec.kind === 'ranges' ? spec.kind : `${spec.kind} by ${spec.layout.name}`,
  spec,
}));

describe.each(NAMED)('a placement of $name', ({ spec }) => {
  it('is plain data that means the same after a restart', () => {
    const state = createPlacement(spec, [3, 1, 2]);
    expect(stored(state)).toEqual(state);
    expect(createPlacement(stored(spec), [1, 2, 3])).toEqual(state);
    expect(ownersOf(stored(state))).toEqual(ownersOf(state));
    expect(placementFault(state, [1, 2, 3])).toBeUndefined();
    expect(placementFault(state, [1, 2])).toBe('shard 3 does not exist');
  });

  it('follows a change of shards by commands that move a unit each (M-22)', () => {
    const change = { before: [1, 2, 3], after: [2, 3, 4, 5] };
    const state = createPlacement(spec, change.before);
    const moves = unitMovesOf(state, change);
    expect(moves.length).toBeGreaterThan(0);
    let moving = state;
    for (const move of stored(moves)) {
      const command: PlacementCommand = { kind: 'moveUnit', ...move };
      const next = stored(applyPlacementCommand(moving, command));
      expect(placementFault(next, [1, 2, 3, 4, 5])).toBeUndefined();
      expect(openPlacement(next).ownerOf(move.unit)).toBe(move.toShardId);
      moving = next;
    }
    expect(placementFault(moving, change.after)).toBeUndefined();
    expect(unitMovesOf(moving, { before: change.after, after: change.after })).toEqual([]);
  });

  it('is the very same object where a command holds already', () => {
    const state = createPlacement(spec, [1, 2]);
    const unit = openPlacement(state).unitOf('k');
    const fromShardId = openPlacement(state).ownerOf(unit);
    const move = { kind: 'moveUnit', unit, fromShardId, toShardId: 9 } as const;
    const moved = applyPlacementCommand(state, move);
    expect(moved).not.toEqual(state);
    expect(applyPlacementCommand(moved, move)).toBe(moved);
  });
});

describe('commands', () => {
  it('split and merge ranges', () => {
    const split = applyPlacementCommand(ranges, { kind: 'splitRange', rangeId: 1, at: 'f' });
    expect(ownersOf(split)).toEqual(ownersOf(ranges));
    expect(openPlacement(split).units()).toHaveLength(3);
    const merge = { kind: 'mergeRanges', leftRangeId: 3, rightRangeId: 4 } as const;
    expect(openPlacement(applyPlacementCommand(split, merge)).units()).toHaveLength(2);
  });

  it('assign and release tenants, dedicate and share shards', () => {
    const home = openPlacement(tenants).shardOf('acme');
    const assign = { kind: 'assignTenant', tenant: 'acme', shardId: home } as const;
    const assigned = applyPlacementCommand(tenants, assign);
    expect(openPlacement(assigned).unitOf('acme')).toEqual({ kind: 'tenant', tenant: 'acme' });
    expect(applyPlacementCommand(assigned, assign)).toBe(assigned);
    const release = { kind: 'releaseTenant', tenant: 'acme' } as const;
    expect(applyPlacementCommand(assigned, release)).toEqual(tenants);
    const dedicated = applyPlacementCommand(tenants, { kind: 'dedicateShard', shardId: 8 });
    expect(placementFault(dedicated, [0, 1, 2])).toBe('shard 8 does not exist');
    const share = { kind: 'shareShard', shardId: 8 } as const;
    expect(applyPlacementCommand(dedicated, share)).toEqual(tenants);
  });

  it('are refused by placements of another kind, and change nothing (P-9)', () => {
    const commands: readonly [PlacementState, PlacementCommand][] = [
      [slots, { kind: 'splitRange', rangeId: 1, at: 'f' }],
      [slots, { kind: 'assignTenant', tenant: 'acme', shardId: 1 }],
      [ranges, { kind: 'releaseTenant', tenant: 'acme' }],
      [ranges, { kind: 'dedicateShard', shardId: 1 }],
      [tenants, { kind: 'splitRange', rangeId: 1, at: 'f' }],
      [tenants, { kind: 'mergeRanges', leftRangeId: 1, rightRangeId: 2 }],
    ];
    for (const [state, command] of commands) {
      expect(errorOf(() => applyPlacementCommand(state, command))).toMatchObject({
        reason: 'INVALID_REQUEST',
        field: 'kind',
      });
    }
  });

  it('never throw anything but a FlotillaError, and never leave an unsound state', () => {
    const shardId = fc.nat({ max: 3 });
    const rangeId = fc.nat({ max: 8 });
    const tenant = fc.constantFrom('a', 'b', '\ud800');
    const unit = fc.oneof(
      fc.record({ kind: fc.constant('slot' as const), slot: fc.nat({ max: 1_030 }) }),
      fc.record({ kind: fc.constant('range' as const), rangeId }),
      fc.record({ kind: fc.constant('tenant' as const), tenant }),
    );
    const command: fc.Arbitrary<PlacementCommand> = fc.oneof(
      fc.record({
        kind: fc.constant('moveUnit' as const),
        unit,
        fromShardId: shardId,
        toShardId: shardId,
      }),
      fc.record({ kind: fc.constant('splitRange' as const), rangeId, at: fc.string() }),
      fc.record({
        kind: fc.constant('mergeRanges' as const),
        leftRangeId: rangeId,
        rightRangeId: rangeId,
      }),
      fc.record({ kind: fc.constant('assignTenant' as const), tenant, shardId }),
      fc.record({ kind: fc.constant('releaseTenant' as const), tenant }),
      fc.record({ kind: fc.constant('dedicateShard' as const), shardId }),
      fc.record({ kind: fc.constant('shareShard' as const), shardId }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(slots, ranges, tenants),
        fc.array(command, { maxLength: 30 }),
        (first, commands) => {
          let state = first;
          for (const one of commands) {
            const next = errorOf(() => applyPlacementCommand(state, one));
            if (next instanceof Error) expect(next.name).toBe('FlotillaError');
            else state = next as PlacementState;
            expect(placementFault(state, [0, 1, 2, 3])).toBeUndefined();
          }
        },
      ),
    );
  });
});

describe('createPlacement', () => {
  it.each([0, -1, 1.5, Number.NaN])('refuses a ring of %d virtual nodes (P-9)', (virtualNodes) => {
    const layout = { name: 'ring', virtualNodes } as const;
    const field = 'layout.virtualNodes';
    for (const spec of [
      { kind: 'slots', routedBy: 'id', layout },
      { kind: 'tenants', routedBy: 'tenant', layout, limits },
    ] as const) {
      const refusal = { reason: 'INVALID_REQUEST', field };
      expect(errorOf(() => createPlacement(spec, [1]))).toMatchObject(refusal);
    }
  });

  it('takes up to virtualNodesMax virtual nodes', () => {
    const max = LIMITS.virtualNodesMax.value;
    const spec = (virtualNodes: number): PlacementSpec => ({
      kind: 'slots',
      routedBy: 'id',
      layout: { name: 'ring', virtualNodes },
    });
    for (const points of [1, max - 1, max]) {
      expect(placementFault(createPlacement(spec(points), [1, 2]), [1, 2])).toBeUndefined();
    }
    expect(errorOf(() => createPlacement(spec(max + 1), [1, 2]))).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      limit: { name: 'virtualNodesMax', value: max },
    });
  });

  it('refuses limits of tenants that are none (P-9)', () => {
    const wrong = { ...limits, tenantsPerShardWarning: 21 };
    const spec = { kind: 'tenants', routedBy: 'tenant', layout: ring, limits: wrong } as const;
    expect(errorOf(() => createPlacement(spec, [1]))).toMatchObject({ field: 'limits' });
  });
});

describe('placementFault', () => {
  it.each<[string, PlacementState, RegExp]>([
    ['a short table', { ...slots, table: [0] } as PlacementState, /1 slots/],
    ['no range', { ...ranges, table: { ranges: [], nextRangeId: 1 } } as PlacementState, /empty/],
    [
      'limits that are none',
      { ...tenants, limits: { ...limits, tenantsPerShardMax: 0 } } as PlacementState,
      /tenantsPerShardMax is 0/,
    ],
  ])('finds %s', (_, state, fault) => {
    expect(placementFault(state, [0, 1, 2])).toMatch(fault);
  });
});
