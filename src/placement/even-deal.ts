/** Units dealt out to shards so that all hold equally many, with as few moves as that takes. */
import { assert, defined } from '../shared/assert.js';
import { ascendingShards } from './strategy.js';

/**
 * The owner of each unit. Shards hold the same number of units to within one, and no other such
 * deal leaves more units where they are: what moves comes from shards that have too many, the last
 * of their units first, or from those that are not in `shardIds` any more.
 *
 * `owners` has the present shard of each unit, undefined for a unit that nobody holds yet; those
 * are dealt out in turn. Costs units x log(units) + shards x log(shards).
 */
export function evenDeal(
  owners: readonly (number | undefined)[],
  shardIds: readonly number[],
): number[] {
  const hands = new Map<number, number[]>(ascendingShards(shardIds).map((id) => [id, []]));
  const free: number[] = [];
  for (const [unit, owner] of owners.entries()) {
    const hand = owner === undefined ? undefined : hands.get(owner);
    (hand ?? free).push(unit);
  }
  const sizes = evenSizes(hands, owners.length);
  for (const [shardId, hand] of hands) {
    free.push(...hand.splice(defined(sizes.get(shardId), `the size of shard ${shardId}`)));
  }
  dealInTurn(
    free.sort((a, b) => a - b),
    hands,
    sizes,
  );
  const dealt = new Array<number>(owners.length);
  for (const [shardId, hand] of hands) for (const unit of hand) dealt[unit] = shardId;
  return dealt;
}

/** How many units each shard is to hold. The odd ones stay with those who hold the most. */
function evenSizes(
  hands: ReadonlyMap<number, readonly number[]>,
  units: number,
): Map<number, number> {
  const least = Math.floor(units / hands.size);
  const odd = units % hands.size;
  // The map is ascending by shard and the sort is stable: of equal hands the lowest id is first.
  const fullestFirst = [...hands].sort(([, a], [, b]) => b.length - a.length);
  return new Map(
    fullestFirst.map(([shardId], rank) => [shardId, rank < odd ? least + 1 : least] as const),
  );
}

function dealInTurn(
  units: readonly number[],
  hands: ReadonlyMap<number, number[]>,
  sizes: ReadonlyMap<number, number>,
): void {
  let open = [...hands].map(([shardId, hand]) => ({ hand, size: sizes.get(shardId) ?? 0 }));
  let dealt = 0;
  while (dealt < units.length) {
    open = open.filter(({ hand, size }) => hand.length < size);
    assert(open.length > 0, () => `${units.length - dealt} units are left over`);
    for (const { hand } of open) {
      const unit = units[dealt++];
      if (unit !== undefined) hand.push(unit);
    }
  }
}
