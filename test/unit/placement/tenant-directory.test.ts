// Goal: assigned tenants are where they were assigned, all others where their hash says.
// Method: laws of each transition, a model of many of them, and each refusal by its field.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { UnitMove } from '../../../src/placement/ownership-unit.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { TenantDirectory, tenantDirectoryFault } from '../../../src/placement/tenant-directory.js';
import { TenantStrategy } from '../../../src/placement/tenant-strategy.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { errorOf } from '../../support/error-of.js';

const SHARDS = [0, 1, 2, 3];
const TENANTS = ['', 'acme', 'globex', 'initech', 'umbrella', 'zürich'];
const strategy = new TenantStrategy(new RingStrategy());
const empty = strategy.place(SHARDS);
const byHash = new RingStrategy().place(SHARDS);

const applied = (directory: TenantDirectory, moves: readonly UnitMove[]): TenantDirectory =>
  moves.reduce((moving, move) => moving.moved(move), directory);

/** Shard 3 has been emptied of slots and takes assigned tenants only. */
const dedicated = applied(empty, strategy.dedicationMoves(empty, SHARDS, 3)).dedicate(3);

function otherShard(shardId: number): number {
  return (shardId + 1) % SHARDS.length;
}

describe('the tenant directory', () => {
  it('spreads tenants by hash until they are assigned (M-18)', () => {
    for (const tenant of TENANTS) {
      expect(empty.shardOf(tenant)).toBe(byHash.shardOf(tenant));
      expect(empty.unitOf(tenant)).toEqual({ kind: 'slot', slot: slotOfKey(tenant) });
      const target = otherShard(empty.shardOf(tenant));
      const assigned = empty.assign(tenant, target);
      expect(assigned.unitOf(tenant)).toEqual({ kind: 'tenant', tenant });
      for (const other of TENANTS) {
        expect(assigned.shardOf(other)).toBe(other === tenant ? target : empty.shardOf(other));
      }
    }
  });

  it('keeps an assigned tenant where it is when its slot moves, and takes the others along', () => {
    const slot = slotOfKey('acme');
    const from = empty.shardOf('acme');
    const companion = Array.from({ length: 100_000 }, (_, at) => `tenant-${at}`).find(
      (tenant) => slotOfKey(tenant) === slot,
    ) as string;
    const move = {
      unit: { kind: 'slot', slot },
      fromShardId: from,
      toShardId: otherShard(from),
    } as const;
    const moved = empty.assign('acme', from).moved(move);
    expect(moved.shardOf('acme')).toBe(from);
    expect(moved.shardOf(companion)).toBe(otherShard(from));
  });

  it('takes a tenant out of its slot by moving it, and nobody else (M-19, M-22)', () => {
    const from = empty.shardOf('acme');
    const unit = { kind: 'tenant', tenant: 'acme' } as const;
    expect(empty.ownerOf(unit)).toBe(from);
    const moved = empty.moved({ unit, fromShardId: from, toShardId: otherShard(from) });
    expect(moved.state).toEqual({
      ...empty.state,
      assignments: [{ tenant: 'acme', shardId: otherShard(from) }],
    });
    const stale = { unit, fromShardId: from, toShardId: otherShard(otherShard(from)) };
    expect(errorOf(() => moved.moved(stale))).toMatchObject({ field: 'fromShardId' });
  });

  it('gives a tenant back to its hash only where its records are', () => {
    const home = empty.shardOf('acme');
    const away = empty.assign('acme', otherShard(home));
    expect(errorOf(() => away.release('acme'))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'tenant',
    });
    expect(away.assign('acme', home).release('acme').state).toEqual(empty.state);
    expect(empty.release('acme')).toBe(empty);
  });

  it('has dedicated shards, which own no slot and take tenants by name (M-19)', () => {
    for (const tenant of TENANTS) {
      expect(dedicated.shardOf(tenant)).not.toBe(3);
      expect(dedicated.assign(tenant, 3).shardOf(tenant)).toBe(3);
    }
    const unit = dedicated.unitOf('acme');
    const move = { unit, fromShardId: dedicated.shardOf('acme'), toShardId: 3 };
    expect(errorOf(() => dedicated.moved(move))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'toShardId',
    });
    expect(dedicated.share(3).moved(move).shardOf('acme')).toBe(3);
  });

  it('dedicates a shard only when its slots are gone', () => {
    expect(errorOf(() => empty.dedicate(3))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'shardId',
      message: expect.stringMatching(/still owns \d+ slots/),
    });
    expect(dedicated.dedicate(3)).toBe(dedicated);
    expect(empty.share(3)).toBe(empty);
  });

  it('says the same again without a change', () => {
    const once = empty.assign('acme', 2);
    expect(once.assign('acme', 2)).toBe(once);
  });

  it('is the same whatever order it came about in', () => {
    const steps = [
      (directory: TenantDirectory) => directory.assign('b', 1),
      (directory: TenantDirectory) => directory.assign('a', 2),
      (directory: TenantDirectory) => directory.assign('ä', 0),
    ];
    const states = [steps, steps.toReversed()].map(
      (order) => order.reduce((directory, step) => step(directory), empty).state,
    );
    expect(states[0]).toEqual(states[1]);
    expect(states[0]?.assignments.map(({ tenant }) => tenant)).toEqual(['a', 'b', 'ä']);
  });

  it('agrees with a plain map over any sequence of assignments and moves', () => {
    const tenant = fc.constantFrom(...TENANTS);
    const shard = fc.constantFrom(...SHARDS);
    fc.assert(
      fc.property(fc.array(fc.tuple(tenant, shard, fc.boolean())), (steps) => {
        const model = new Map<string, number>();
        let directory = empty;
        for (const [who, shardId, byMove] of steps) {
          const from = directory.shardOf(who);
          if (byMove) {
            const unit = { kind: 'tenant', tenant: who } as const;
            directory = directory.moved({ unit, fromShardId: from, toShardId: shardId });
          } else {
            directory = directory.assign(who, shardId);
          }
          model.set(who, shardId);
          expect(tenantDirectoryFault(directory.state)).toBeUndefined();
        }
        for (const who of TENANTS) {
          expect(directory.shardOf(who)).toBe(model.get(who) ?? byHash.shardOf(who));
        }
      }),
    );
  });

  it('has tenants of up to routingKeyBytesMax, and only such as UTF-8 can hold', () => {
    const longest = 't'.repeat(LIMITS.routingKeyBytesMax.value);
    expect(empty.assign(longest, 1).shardOf(longest)).toBe(1);
    expect(errorOf(() => empty.assign(`${longest}t`, 1))).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field: 'tenant',
    });
    expect(errorOf(() => empty.assign('\udfff', 1))).toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'tenant',
    });
  });

  it('has up to tenantAssignmentsMax assignments', () => {
    const max = LIMITS.tenantAssignmentsMax.value;
    const assignments = Array.from({ length: max - 1 }, (_, at) => ({
      tenant: `t${String(at).padStart(6, '0')}`,
      shardId: 1,
    }));
    const full = new TenantDirectory({ ...empty.state, assignments }).assign('a', 2);
    expect(full.state.assignments).toHaveLength(max);
    expect(full.assign('a', 3).shardOf('a')).toBe(3);
    expect(errorOf(() => full.assign('b', 2))).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      limit: { name: 'tenantAssignmentsMax', value: max },
    });
  });

  it.each([
    ['a short table', { slotTable: [1, 2] }],
    ['a tenant twice', { assignments: [0, 1].map((shardId) => ({ tenant: 'a', shardId })) }],
    ['a dedicated shard twice', { dedicatedShardIds: [7, 7] }],
    ['a slot on a dedicated shard', { dedicatedShardIds: [0] }],
  ])('finds %s in a state', (_, change) => {
    const state = { ...empty.state, ...change };
    expect(tenantDirectoryFault(state)).toMatch(/./);
    expect(() => new TenantDirectory(state)).toThrow(/not sound/);
  });
});

describe('the tenant strategy', () => {
  it('moves slots between shards that are not dedicated, and leaves assigned tenants', () => {
    const before = dedicated.assign('acme', 3).assign('globex', 1);
    const moves = strategy.unitMoves(before, { before: SHARDS, after: [...SHARDS, 4] });
    expect(moves.length).toBeGreaterThan(0);
    expect(new Set(moves.map(({ toShardId }) => toShardId))).toEqual(new Set([4]));
    expect(moves.map(({ fromShardId }) => fromShardId)).not.toContain(3);
    expect(moves.every(({ unit }) => unit.kind === 'slot')).toBe(true);
    const shared = new RingStrategy().place([0, 1, 2, 4]);
    expect(applied(before, moves).state.slotTable).toEqual(shared.shardIds);
  });

  it('sends the tenants of a shard that leaves where their hash says then', () => {
    const before = ['globex', 'initech', 'umbrella'].reduce(
      (directory, tenant) => directory.assign(tenant, directory.shardOf(tenant)),
      dedicated.assign('acme', 3),
    );
    for (const leaving of SHARDS) {
      const left = SHARDS.filter((shardId) => shardId !== leaving);
      const moves = strategy.unitMoves(before, { before: SHARDS, after: left });
      const after = applied(before, moves);
      expect(after.units().map((unit) => after.ownerOf(unit))).not.toContain(leaving);
      for (const { tenant, shardId } of before.state.assignments) {
        if (shardId !== leaving) expect(after.shardOf(tenant)).toBe(shardId);
        else expect(after.release(tenant).shardOf(tenant)).toBe(after.shardOf(tenant));
      }
    }
  });

  it('dedicates shards until one is left for the others', () => {
    const moves = strategy.dedicationMoves(dedicated, SHARDS, 2);
    expect(new Set(moves.map(({ fromShardId }) => fromShardId))).toEqual(new Set([2]));
    const two = applied(dedicated, moves).dedicate(2);
    const one = applied(two, strategy.dedicationMoves(two, SHARDS, 1)).dedicate(1);
    expect(one.shardOf('anybody')).toBe(0);
    const refusal = { reason: 'INVALID_REQUEST', field: 'shardIds' };
    expect(errorOf(() => strategy.dedicationMoves(one, SHARDS, 0))).toMatchObject(refusal);
    const change = { before: SHARDS, after: [1, 2, 3] };
    expect(errorOf(() => strategy.unitMoves(one, change))).toMatchObject(refusal);
  });
});
