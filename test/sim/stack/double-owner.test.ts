// Goal: two shards that own one key are found, however each came to it (O3).
// Method: replays of logs by hand.
import { describe, expect, it } from 'vitest';
import { slotOfKey } from '../../../src/placement/slot-table.js';
import { encodeCommand } from '../../../src/shared/codec/command.js';
import { collectionConfig } from '../../unit/engine/shard-driver.js';
import { doubleOwner } from './double-owner.js';
import { ShardReplay } from './shard-replay.js';

const TENANT = 'acme';
const SLOT = slotOfKey(TENANT);

interface Owned {
  readonly units?: readonly number[];
  readonly here?: readonly string[];
  readonly elsewhere?: readonly string[];
}

/** A shard that owns this of the tenant directory. */
function shard(slots: readonly number[], { units = [], here = [], elsewhere = [] }: Owned) {
  const replay = new ShardReplay({ ownershipVersion: 1, slots }, () => undefined);
  const data = encodeCommand({
    kind: 'createCollection',
    collectionId: 1,
    config: collectionConfig({ routing: 'tenant' }),
    ownership: { placementId: 1, units, tenants: { here, elsewhere } },
  });
  replay.take([{ index: 1, term: 1, data }]);
  return replay;
}

function both(one: Owned, other: Owned): string {
  return doubleOwner(
    new Map([
      [0, shard([1], one)],
      [1, shard([2], other)],
    ]),
  );
}

describe('one owner', () => {
  it('is what a tenant has that is assigned away from its slot', () => {
    expect(both({ units: [SLOT], elsewhere: [TENANT] }, { here: [TENANT] })).toBe('');
    expect(both({ units: [SLOT] }, { units: [SLOT + 1] })).toBe('');
  });

  it.each([
    ['a slot', { units: [SLOT] }, { units: [SLOT] }],
    ['a tenant', { here: [TENANT] }, { here: [TENANT] }],
    ['a tenant and its slot', { units: [SLOT] }, { here: [TENANT] }],
  ])('is what %s must have', (_, one, other) => {
    expect(both(one, other)).toMatch(/shards (0 and 1|1 and 0)/);
  });
});
