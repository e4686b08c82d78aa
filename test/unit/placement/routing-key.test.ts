// Goal: the right part of a record decides on its shard, and entity groups stay together.
// Method: every kind of routing over every kind of placement; each refusal by its field.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ModuloStrategy } from '../../../src/placement/modulo.js';
import { RangeStrategy } from '../../../src/placement/range-strategy.js';
import { RendezvousStrategy } from '../../../src/placement/rendezvous.js';
import { RingStrategy } from '../../../src/placement/ring-strategy.js';
import { routingKeyOf } from '../../../src/placement/routing-key.js';
import type { PlacementStrategy } from '../../../src/placement/strategy.js';
import { TenantStrategy } from '../../../src/placement/tenant-strategy.js';
import { VirtualShardStrategy } from '../../../src/placement/virtual-shards.js';
import { errorOf } from '../../support/error-of.js';

const record = { id: 'order-17', tenant: 'acme' };
const strategies: readonly PlacementStrategy[] = [
  new RingStrategy(),
  new ModuloStrategy(),
  new RendezvousStrategy(),
  new VirtualShardStrategy(),
  new RangeStrategy(['g', 'p']),
];

describe('the routing key', () => {
  it('is the id, the shard key or the tenant, as the collection says (M-9, M-18)', () => {
    expect(routingKeyOf('id', record)).toBe('order-17');
    expect(routingKeyOf('shardKey', { ...record, shardKey: 'customer-3' })).toBe('customer-3');
    expect(routingKeyOf('tenant', record)).toBe('acme');
    expect(routingKeyOf('shardKey', { ...record, shardKey: '' })).toBe('');
  });

  it('refuses a record without its shard key, and a shard key where none is asked (P-9)', () => {
    const refusal = { reason: 'INVALID_REQUEST', field: 'shardKey' };
    expect(errorOf(() => routingKeyOf('shardKey', record))).toMatchObject(refusal);
    for (const routedBy of ['id', 'tenant'] as const) {
      const given = { ...record, shardKey: 'customer-3' };
      expect(errorOf(() => routingKeyOf(routedBy, given))).toMatchObject(refusal);
    }
  });
});

describe('an entity group', () => {
  it('is in one unit on one shard, before, during and after a change of shards (M-19)', () => {
    const change = { before: [1, 2, 3], after: [2, 3, 4] };
    for (const strategy of strategies) {
      const placed = strategy.place(change.before);
      const moves = strategy.unitMoves(placed, change);
      const half = moves
        .slice(0, moves.length / 2)
        .reduce((moving, move) => moving.moved(move), placed);
      const text = fc.string({ maxLength: 8 });
      fc.assert(
        fc.property(text, fc.array(text, { minLength: 2, maxLength: 5 }), (shardKey, ids) => {
          const keys = ids.map((id) => routingKeyOf('shardKey', { id, tenant: '', shardKey }));
          expect(new Set(keys.map((key) => JSON.stringify(half.unitOf(key)))).size).toBe(1);
          expect(new Set(keys.map((key) => half.shardOf(key))).size).toBe(1);
        }),
        { numRuns: 20 },
      );
    }
  });

  it('of a tenant is on the tenant’s shard', () => {
    const directory = new TenantStrategy(new RingStrategy()).place([0, 1]).assign('acme', 1);
    for (const id of ['a', 'b', 'c']) {
      expect(directory.shardOf(routingKeyOf('tenant', { id, tenant: 'acme' }))).toBe(1);
    }
  });
});
