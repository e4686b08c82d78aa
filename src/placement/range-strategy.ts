/** Ranges of keys dealt out to shards. */
import { compareBytes, utf8 } from '../shared/bytes.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { evenDeal } from './even-deal.js';
import type { UnitMove } from './ownership-unit.js';
import { checkSplitPoint, RangeTable } from './range-table.js';
import type { PlacementStrategy, ShardChange } from './strategy.js';

/**
 * For keys with an order that matters: dates, prefixes, sorted exports. Every shard gets the same
 * number of ranges to within one, in turn, and only as many move as that takes when shards join or
 * leave. How many keys that are depends on where they are split: without split points all keys
 * begin in one range on one shard, and whoever writes ascending keys always writes to the last one.
 */
export class RangeStrategy implements PlacementStrategy<RangeTable> {
  readonly name = 'range';
  readonly #starts: readonly string[];

  /**
   * `splitPoints` are the first keys of all ranges but the first, in any order. Throws
   * INVALID_REQUEST for one that is empty, given twice or no UTF-8, and LIMIT_EXCEEDED.
   */
  constructor(splitPoints: readonly string[] = []) {
    if (splitPoints.length >= LIMITS.rangesMax.value) {
      throw limitExceeded('rangesMax', 'splitPoints', splitPoints.length + 1);
    }
    for (const point of splitPoints) checkSplitPoint(point);
    const starts = ['', ...splitPoints];
    if (new Set(starts).size !== starts.length) {
      const message = 'The split points must be different from each other, and not empty';
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'splitPoints' });
    }
    this.#starts = starts.sort((a, b) => compareBytes(utf8(a), utf8(b)));
  }

  place(shardIds: readonly number[]): RangeTable {
    const nobody = new Array<undefined>(this.#starts.length).fill(undefined);
    const owners = evenDeal(nobody, shardIds);
    return new RangeTable({
      ranges: this.#starts.map((from, at) => ({
        rangeId: at + 1,
        from,
        shardId: owners[at] as number,
      })),
      nextRangeId: this.#starts.length + 1,
    });
  }

  unitMoves(table: RangeTable, { after }: ShardChange): UnitMove[] {
    const { ranges } = table.state;
    const owners = evenDeal(
      ranges.map(({ shardId }) => shardId),
      after,
    );
    return ranges.flatMap(({ rangeId, shardId }, at) => {
      const toShardId = owners[at] as number;
      return toShardId === shardId
        ? []
        : [{ unit: { kind: 'range', rangeId }, fromShardId: shardId, toShardId }];
    });
  }
}

/**
 * Split points that cut a sample of keys into `ranges` parts of about the same size; fewer where
 * the sample has too few different keys. Costs a sort of the sample.
 */
export function evenSplitPoints(sample: readonly string[], ranges: number): string[] {
  const keys = [...new Set(sample)].sort((a, b) => compareBytes(utf8(a), utf8(b)));
  const borders = new Set(
    Array.from({ length: ranges }, (_, part) => Math.floor((part * keys.length) / ranges)),
  );
  // No part begins below the smallest key, where the first range begins anyway.
  return keys.filter((_, at) => at > 0 && borders.has(at));
}
