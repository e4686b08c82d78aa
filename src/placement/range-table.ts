/**
 * Ranges: keys in the order of their UTF-8 bytes, cut at split points. Keys that are close together
 * are on one shard, and a range that has grown too large is split where it lies.
 */
import { assert } from '../shared/assert.js';
import { compareBytes, isWellFormed, utf8, utf8Length } from '../shared/bytes.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { OwnershipUnit, UnitMove } from './ownership-unit.js';
import { isOutstanding, noSuchUnit, type Placement } from './strategy.js';

export interface RangeEntry {
  /** Names these borders for ever; counts from 1 and is never used again. */
  readonly rangeId: number;
  /** The first key that may be in the range; it ends where the next one begins. */
  readonly from: string;
  readonly shardId: number;
}

export interface RangeTableState {
  /** In the order of their keys. The first one begins with the empty string. */
  readonly ranges: readonly RangeEntry[];
  readonly nextRangeId: number;
}

/** A lookup encodes the key and searches in halves; making one, or a change, costs the ranges. */
export class RangeTable implements Placement {
  readonly state: RangeTableState;
  readonly #starts: readonly Uint8Array[];

  /** Of a state without `rangeTableFault`. */
  constructor(state: RangeTableState) {
    const fault = rangeTableFault(state);
    assert(fault === undefined, () => `the ranges are not sound: ${fault}`);
    this.state = state;
    this.#starts = state.ranges.map(({ from }) => utf8(from));
  }

  shardOf(routingKey: string): number {
    return this.rangeOf(routingKey).shardId;
  }

  rangeOf(routingKey: string): RangeEntry {
    const key = utf8(routingKey);
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.#starts[middle] as Uint8Array, key) <= 0) low = middle;
      else high = middle;
    }
    return this.state.ranges[low] as RangeEntry;
  }

  unitOf(routingKey: string): OwnershipUnit {
    return { kind: 'range', rangeId: this.rangeOf(routingKey).rangeId };
  }

  units(): OwnershipUnit[] {
    return this.state.ranges.map(({ rangeId }) => ({ kind: 'range', rangeId }));
  }

  ownerOf(unit: OwnershipUnit): number {
    const range = unit.kind === 'range' ? this.#rangeById(unit.rangeId) : undefined;
    if (range === undefined) throw noSuchUnit(unit);
    return range.shardId;
  }

  moved(move: UnitMove): RangeTable {
    const { unit, toShardId } = move;
    if (unit.kind !== 'range') throw noSuchUnit(unit);
    if (!isOutstanding(this, move)) return this;
    const ranges = this.state.ranges.map((range) =>
      range.rangeId === unit.rangeId ? { ...range, shardId: toShardId } : range,
    );
    return new RangeTable({ ...this.state, ranges });
  }

  /**
   * Cuts a range in two at `at`, which becomes the first key of the upper half. Both halves stay on
   * their shard and get new ids. Throws INVALID_REQUEST for a range that does not exist and for a
   * place that is not inside it, LIMIT_EXCEEDED for a long key or too many ranges.
   */
  split(rangeId: number, at: string): RangeTable {
    checkSplitPoint(at);
    const { ranges, nextRangeId } = this.state;
    const range = this.#rangeById(rangeId);
    if (range === undefined) throw noSuchUnit({ kind: 'range', rangeId });
    if (this.rangeOf(at) !== range || at === range.from) {
      const message = `${JSON.stringify(at)} does not cut range ${rangeId} in two`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'at' });
    }
    if (ranges.length >= LIMITS.rangesMax.value) {
      throw limitExceeded('rangesMax', 'ranges', ranges.length + 1);
    }
    const halves = [
      { ...range, rangeId: nextRangeId },
      { ...range, rangeId: nextRangeId + 1, from: at },
    ];
    return new RangeTable({
      ranges: ranges.flatMap((one) => (one === range ? halves : [one])),
      nextRangeId: nextRangeId + 2,
    });
  }

  /**
   * Makes one range of two neighbours, under a new id. Throws INVALID_REQUEST where one does not
   * exist, where they are no neighbours in this order, and where they are on different shards: one
   * of them has to move first.
   */
  merge(leftRangeId: number, rightRangeId: number): RangeTable {
    const { ranges, nextRangeId } = this.state;
    const at = ranges.findIndex(({ rangeId }) => rangeId === leftRangeId);
    const [left, right] = [ranges[at], ranges[at + 1]];
    if (left === undefined) throw noSuchUnit({ kind: 'range', rangeId: leftRangeId });
    if (right?.rangeId !== rightRangeId) {
      const message = `range ${rightRangeId} does not follow range ${leftRangeId}`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'rightRangeId' });
    }
    if (left.shardId !== right.shardId) {
      const message =
        `range ${leftRangeId} is on shard ${left.shardId} and range ${rightRangeId} on shard ` +
        `${right.shardId}: move one of them first`;
      throw new FlotillaError('INVALID_REQUEST', message, { field: 'rightRangeId' });
    }
    const merged = { ...left, rangeId: nextRangeId };
    return new RangeTable({
      ranges: ranges.toSpliced(at, 2, merged),
      nextRangeId: nextRangeId + 1,
    });
  }

  #rangeById(rangeId: number): RangeEntry | undefined {
    return this.state.ranges.find((range) => range.rangeId === rangeId);
  }
}

/** What is wrong with a table, as one sentence; undefined for a sound one. Linear in the ranges. */
export function rangeTableFault({ ranges, nextRangeId }: RangeTableState): string | undefined {
  if (ranges[0]?.from !== '') return 'no range begins with the empty key';
  if (ranges.length > LIMITS.rangesMax.value) return `there are ${ranges.length} ranges`;
  const ids = ranges.map(({ rangeId }) => rangeId);
  if (new Set(ids).size !== ids.length) return 'two ranges have one id';
  if (ids.some((id) => id >= nextRangeId)) return 'a range id would be given out again';
  if (!ranges.every(({ from }) => isWellFormed(from))) return 'a border is no UTF-8';
  const starts = ranges.map(({ from }) => utf8(from));
  const disordered = starts.findIndex((start, at) => {
    const previous = starts[at - 1];
    return previous !== undefined && compareBytes(previous, start) >= 0;
  });
  return disordered === -1 ? undefined : `range ${ids[disordered]} begins before the one before it`;
}

/** Throws INVALID_REQUEST or LIMIT_EXCEEDED for what cannot be the first key of a range. */
export function checkSplitPoint(at: string): void {
  const sizeBytes = utf8Length(at);
  if (sizeBytes > LIMITS.routingKeyBytesMax.value) {
    throw limitExceeded('routingKeyBytesMax', 'at', sizeBytes);
  }
  if (isWellFormed(at)) return;
  const message = 'A split point must be text that UTF-8 can hold';
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'at' });
}
