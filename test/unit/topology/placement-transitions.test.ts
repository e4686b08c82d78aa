// Goal: whatever happens to placements, each key has one owner, and documents stay sound (M-9, O1).
// Method: random commands, as every replica of the topology applies them; a table-driven rest.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  applyPlacementCommand,
  applyPlacementCommands,
  type PlacementCommand,
} from '../../../src/placement/placement-state.js';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { defined } from '../../../src/shared/assert.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import {
  changedOwnership,
  isNoChange,
  mayLose,
  ownershipChange,
  type PlacementOwnership,
} from '../../../src/shared/ownership.js';
import type { CollectionConfig } from '../../../src/shared/types.js';
import {
  decodeTopology,
  decodeTopologyCommand,
  encodeTopology,
  encodeTopologyCommand,
} from '../../../src/topology/codec.js';
import {
  documentFault,
  type TopologyCommand,
  type TopologyDocument,
} from '../../../src/topology/document.js';
import {
  NO_PLACEMENTS,
  ownershipsOf,
  type PlacementEntry,
  type TenantAction,
} from '../../../src/topology/placements.js';
import { routeOf } from '../../../src/topology/routes.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { config, genesis } from './topology-fixtures.js';

const NAMES = ['a', 'b', 'c', 'd'];
const TENANTS = ['acme', 'beta', 'ä', ''];
const SHAPES: readonly Partial<CollectionConfig>[] = [
  {},
  { routing: 'tenant' },
  { routing: 'shardKey' },
  { placement: 'modulo' },
  { placement: 'rendezvous', routing: 'shardKey' },
  { placement: 'virtual-shards' },
  { placement: 'range', splitPoints: ['b', 'm'] },
];

const tenant = fc.constantFrom(...TENANTS);
const shardId = fc.nat(4);
const action: fc.Arbitrary<TenantAction> = fc.oneof(
  fc.record({ kind: fc.constant('assignTenant' as const), tenant, shardId }),
  fc.record({ kind: fc.constant('releaseTenant' as const), tenant }),
  fc.record({ kind: fc.constant('dedicateShard' as const), shardId }),
  fc.record({ kind: fc.constant('shareShard' as const), shardId }),
);
const changeId = fc.integer({ min: 1, max: 12 });
const collectionId = fc.integer({ min: 1, max: 8 });
const refused = { reason: 'TENANT_HAS_DATA', message: 'it has' } as const;
const beginTenantChange = fc
  .record({
    kind: fc.constant('beginTenantChange' as const),
    action,
    by: fc.constantFrom('', 'ops'),
    atMs: fc.nat(3),
  })
  .map((one): TopologyCommand => one);
const command: fc.Arbitrary<TopologyCommand> = fc.oneof(
  fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...SHAPES)).map(
    ([name, shape]): TopologyCommand => ({
      kind: 'beginCreateCollection',
      config: config(name, shape),
    }),
  ),
  collectionId.map((id): TopologyCommand => ({ kind: 'finishCreateCollection', collectionId: id })),
  collectionId.map((id): TopologyCommand => ({ kind: 'beginDropCollection', collectionId: id })),
  collectionId.map((id): TopologyCommand => ({ kind: 'finishDropCollection', collectionId: id })),
  { weight: 6, arbitrary: beginTenantChange },
  changeId.map((id): TopologyCommand => ({ kind: 'decideTenantChange', changeId: id })),
  changeId.map((id): TopologyCommand => ({ kind: 'decideTenantChange', changeId: id, refused })),
  changeId.map((id): TopologyCommand => ({ kind: 'finishTenantChange', changeId: id })),
);

const KEYS = [...TENANTS, 'anybody', 'b', 'z'];

function owns({ units, tenants }: PlacementOwnership, slot: number, name: string): boolean {
  if (tenants?.here.includes(name) === true) return true;
  return units.includes(slot) && tenants?.elsewhere.includes(name) !== true;
}

function ownersOf(owned: Map<number, PlacementOwnership>, slot: number, name: string): number[] {
  return [...owned].flatMap(([id, ownership]) => (owns(ownership, slot, name) ? [id] : []));
}

/** Every unit and every tenant that is named is owned by one shard, the one that routers ask. */
function expectOneOwner(document: TopologyDocument): void {
  for (const entry of (document.placements ?? NO_PLACEMENTS).entries) {
    const route = defined(routeOf(document, entry.placementId), 'the route');
    const owned = ownershipsOf(entry, shardIdsOf(document));
    for (const name of KEYS) {
      const key = { slot: route.unitOf(name), tenant: name };
      const owners = ownersOf(owned, key.slot, name);
      expect(owners).toEqual([route.shardOf(key)]);
      expect(route.shardIds).toContain(owners[0]);
    }
  }
}

/** However far a change has come, no key has two owners, and who is not fenced loses none (O3). */
function expectOneOwnerAtMost(document: TopologyDocument): void {
  const { placements } = document;
  const change = placements?.change;
  if (change?.stage !== 'fencing') return;
  const before = defined(
    placements?.entries.find(({ placementId }) => placementId === change.placementId),
    'the directory',
  );
  const owned = ownershipsOf(before, shardIdsOf(document));
  for (const { shardId: id, change: step } of change.steps) {
    const had = defined(owned.get(id), 'what the shard owned');
    const has = changedOwnership(had, step);
    owned.set(id, has);
    const units = [...owned.values()].flatMap((ownership) => ownership.units);
    expect(new Set(units).size).toBe(units.length);
    for (const name of KEYS) {
      const slot = slotOfKey(name);
      expect(ownersOf(owned, slot, name).length).toBeLessThanOrEqual(1);
      if (!mayLose(step) && owns(had, slot, name)) expect(owns(has, slot, name)).toBe(true);
    }
  }
}

function shardIdsOf({ shards }: TopologyDocument): number[] {
  return shards.map((shard) => shard.shardId);
}

describe('placements', () => {
  it('stay sound, and have one owner for each key, through any commands (M-9, O1)', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 30, size: 'max' }), (commands) => {
        let document = genesis();
        const left = [...commands];
        for (let one = left.shift(); one !== undefined; one = left.shift()) {
          const read = decodeTopologyCommand(encodeTopologyCommand(one));
          const { document: next, result } = applyTopologyCommand(document, read);
          expect(documentFault(next)).toBeUndefined();
          expect(next.epoch).toBe(document.epoch + (next === document ? 0 : 1));
          if (result.kind === 'refused') expect(next).toBe(document);
          for (const [at, { ownershipVersion }] of next.shards.entries()) {
            const before = document.shards[at]?.ownershipVersion ?? 0;
            expect(ownershipVersion - before).toBeGreaterThanOrEqual(0);
          }
          expectOneOwner(next);
          expectOneOwnerAtMost(next);
          expect(decodeTopology(encodeTopology(next))).toEqual(next);
          document = next;
          // Half of the changes of tenants go through at once: others are to follow them.
          const { changeId: id } = next.placements?.change ?? {};
          const isQuick = one.kind === 'beginTenantChange' && one.atMs % 2 === 1;
          if (id !== undefined && isQuick) left.unshift(decide(id), finish(id));
        }
      }),
      { numRuns: 40 },
    );
  });

  it('tell the shard that gives slots away first, also where a tenant is pinned to it (O3)', () => {
    for (const target of [0, 1, 2, 3]) {
      const begun = applyTopologyCommand(genesis(), assign('acme', target));
      const decided = applyTopologyCommand(begun.document, decide(1));
      const { document } = applyTopologyCommand(decided.document, finish(1));
      const dedicate = { kind: 'dedicateShard', shardId: target } as const;
      const { document: next } = applyTopologyCommand(document, {
        kind: 'beginTenantChange',
        action: dedicate,
        by: '',
        atMs: 0,
      });
      const steps = defined(next.placements?.change, 'the change').steps;
      expect(steps.map(({ shardId: id, change }) => [id, mayLose(change)])).toEqual([
        [target, true],
        ...[0, 1, 2, 3].filter((id) => id !== target).map((id) => [id, false]),
      ]);
      expectOneOwnerAtMost(next);
    }
  });

  it('cost what they hold, however many shards and moves there are (P-10)', () => {
    const { document } = applyTopologyCommand(genesis(), assign('acme', 0));
    const [entry] = defined(document.placements, 'the placements').entries;
    const { state, placementId } = defined(entry, 'the directory');
    if (state.kind !== 'tenants') throw new Error('it is the tenant directory');
    let reads = 0;
    const counted = new Proxy(
      Array.from({ length: 500 }, (_, at) => ({
        tenant: `t-${String(at).padStart(3, '0')}`,
        shardId: at % 4,
      })),
      {
        get(list, name, receiver) {
          if (typeof name === 'string' && /^[0-9]+$/.test(name)) reads++;
          return Reflect.get(list, name, receiver);
        },
      },
    );
    const table = { ...state.table, assignments: counted };
    const large: PlacementEntry = { placementId, state: { ...state, table } };
    const readsFor = (work: () => unknown): number => {
      reads = 0;
      work();
      return reads;
    };
    const shards = Array.from({ length: 64 }, (_, at) => at);
    const few = readsFor(() => ownershipsOf(large, [0, 1, 2, 3]));
    expect(readsFor(() => ownershipsOf(large, shards))).toBe(few);
    const moves = state.table.slotTable.flatMap((from, slot): PlacementCommand[] =>
      from === 3
        ? [{ kind: 'moveUnit', unit: { kind: 'slot', slot }, fromShardId: 3, toShardId: 1 }]
        : [],
    );
    expect(moves.length).toBeGreaterThan(100);
    const one = readsFor(() => applyPlacementCommands(large.state, moves.slice(0, 1)));
    expect(readsFor(() => applyPlacementCommands(large.state, moves))).toBe(one);
    expect(applyPlacementCommands(large.state, moves)).toEqual(
      moves.reduce(applyPlacementCommand, large.state),
    );
  });

  it('take the same change again for the one that is under way, whoever asks (M-18)', () => {
    const { document } = applyTopologyCommand(genesis(), assign('acme', 1));
    const again = applyTopologyCommand(document, { ...assign('acme', 1), by: 'other', atMs: 9 });
    expect(again.document).toBe(document);
    expect(again.result).toEqual({ kind: 'tenants', changeId: 1 });
    const isBusy = { error: { reason: 'TENANT_CHANGE_IN_PROGRESS' } };
    expect(applyTopologyCommand(document, assign('acme', 2)).result).toMatchObject(isBusy);
    // One that was refused is a new one, when that is over.
    const refusal: TopologyCommand = { kind: 'decideTenantChange', changeId: 1, refused };
    const lifting = applyTopologyCommand(document, refusal).document;
    expect(applyTopologyCommand(lifting, assign('acme', 1)).result).toMatchObject(isBusy);
    const over = applyTopologyCommand(lifting, finish(1)).document;
    expect(applyTopologyCommand(over, assign('acme', 1)).result).toEqual({
      kind: 'tenants',
      changeId: 2,
    });
  });

  it('say by their changes what each shard owns after them (O3)', () => {
    const list = fc.uniqueArray(fc.nat(20));
    const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd'));
    const ownership = fc.record({ units: list, here: names, elsewhere: names }).map((one) => ({
      placementId: 1,
      units: [...one.units].sort((a, b) => a - b),
      tenants: { here: [...one.here].sort(), elsewhere: [...one.elsewhere].sort() },
    }));
    fc.assert(
      fc.property(ownership, ownership, (before, after) => {
        const change = ownershipChange(before, after);
        expect(changedOwnership(before, change)).toEqual(after);
        // Told twice it is the same.
        expect(changedOwnership(after, change)).toEqual(after);
        expect(isNoChange(ownershipChange(after, after))).toBe(true);
      }),
    );
  });

  it('are not made of what is no placement, nor changed by who is no shard (P-9)', () => {
    const refusals: [TopologyCommand, string][] = [
      [create({ placement: 'range', splitPoints: ['b', 'a'] }), 'config.splitPoints[1]'],
      [create({ placement: 'range', splitPoints: [''] }), 'config.splitPoints[0]'],
      [create({ placement: 'range', splitPoints: [] }), 'config.splitPoints'],
      [create({ placement: 'modulo', splitPoints: ['a'] }), 'config.splitPoints'],
      [create({ placement: 'modulo', routing: 'tenant' }), 'config.placement'],
      [assign('acme', 4), 'shardId'],
      [{ ...assign('acme', 0), by: 'b'.repeat(257) }, 'by'],
      [assign('a'.repeat(LIMITS.routingKeyBytesMax.value + 1), 0), 'tenant'],
    ];
    for (const [one, field] of refusals) {
      const { document, result } = applyTopologyCommand(genesis(), one);
      expect(document.epoch).toBe(1);
      expect(result).toMatchObject({ kind: 'refused', error: { field } });
    }
  });

  it('bound the names of all tenants that are assigned (P-10)', () => {
    let document = genesis();
    const name = (at: number): string => String(at).padStart(512, '-');
    const most = LIMITS.tenantAssignmentBytesMax.value / 512;
    for (let at = 1; at <= most; at++) {
      const begun = applyTopologyCommand(document, assign(name(at), at % 4));
      const decided = applyTopologyCommand(begun.document, decide(at));
      document = applyTopologyCommand(decided.document, finish(at)).document;
    }
    expect(document.placements?.entries[0]?.state.table).toMatchObject({
      assignments: expect.objectContaining({ length: most }),
    });
    const { result } = applyTopologyCommand(document, assign('x', 0));
    expect(result).toMatchObject({
      error: { reason: 'LIMIT_EXCEEDED', limit: { name: 'tenantAssignmentBytesMax' } },
    });
  });

  it('are refused by decoders where their parts do not fit together (P-8)', () => {
    const { document } = applyTopologyCommand(genesis(), create({ placement: 'modulo' }));
    const placements = defined(document.placements, 'the placements');
    const [entry] = placements.entries;
    const wrong: Partial<TopologyDocument>[] = [
      { placements: { ...placements, entries: [] } },
      { placements: { ...placements, nextPlacementId: 1 } },
      { placements: { ...placements, entries: [...placements.entries, defined(entry, 'it')] } },
      { placements: { ...placements, nextChangeId: 1, audit: [AUDIT] } },
    ];
    for (const parts of wrong) {
      expect(() => decodeTopology(encodeTopology({ ...document, ...parts }))).toThrow('not sound');
    }
    expect(() => decodeTopology(Uint8Array.of(3))).toThrow(FlotillaError);
  });
});

const AUDIT = {
  changeId: 1,
  action: { kind: 'shareShard', shardId: 0 },
  by: '',
  atMs: 0,
} as const;

function create(shape: Partial<CollectionConfig>): TopologyCommand {
  return { kind: 'beginCreateCollection', config: config('a', shape) };
}

function assign(
  name: string,
  target: number,
): Extract<TopologyCommand, { kind: 'beginTenantChange' }> {
  const assigned = { kind: 'assignTenant', tenant: name, shardId: target } as const;
  return { kind: 'beginTenantChange', action: assigned, by: '', atMs: 0 };
}

function decide(id: number): TopologyCommand {
  return { kind: 'decideTenantChange', changeId: id };
}

function finish(id: number): TopologyCommand {
  return { kind: 'finishTenantChange', changeId: id };
}
