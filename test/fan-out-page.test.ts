// Goal: the table of docs/fan-out.md says what its formula does.
// Method: the page is read, and each of its numbers computed from binomial distributions.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const PAGE = readFileSync(new URL('../docs/fan-out.md', import.meta.url), 'utf8');
const CHANCES = [0.1, 0.01, 0.001];
const DEPTHS = [10, 100];

/** The chance that a shard has more than `shardK` of the nearest `depth`, times the shards. */
function chanceOfMissing(depth: number, shards: number, shardK: number): number {
  const share = 1 / shards;
  // The chance of none, then each of one more.
  let exactly = (1 - share) ** depth;
  let more = 0;
  for (let count = 0; count <= depth; count++) {
    if (count > shardK) more += exactly;
    exactly *= ((depth - count) / (count + 1)) * (share / (1 - share));
  }
  return shards * more;
}

function leastShardK(depth: number, shards: number, chance: number): number {
  let shardK = 1;
  while (chanceOfMissing(depth, shards, shardK) > chance) shardK++;
  return shardK;
}

describe('docs/fan-out.md', () => {
  const rows = [...PAGE.matchAll(/^\| +(\d+) \|((?: +\d+ \|){6})$/gm)];

  it('has the least shardK for every chance, depth and number of shards', () => {
    expect(rows.map(([, shards]) => Number(shards))).toEqual([2, 4, 8, 16, 32]);
    for (const [, shards = '', cells = ''] of rows) {
      const expected = DEPTHS.flatMap((depth) =>
        CHANCES.map((chance) => leastShardK(depth, Number(shards), chance)),
      );
      expect(cells.match(/\d+/g)?.map(Number), `${shards} shards`).toEqual(expected);
    }
  });
});
