// Goal: docs/capacity.md says what the plan calculates with, and what comes out.
// Method: read its two tables; compare the constants, and recalculate the sizes.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCount, parseSize } from '../../../src/cli/quantities.js';
import { COSTS } from '../../../src/placement/capacity-costs.js';
import { CAPACITY_DEFAULTS } from '../../../src/placement/capacity-input.js';
import { planCapacity } from '../../../src/placement/capacity-plan.js';

const page = readFileSync(new URL('../../../docs/capacity.md', import.meta.url), 'utf8');

/** The cells of the table that follows a mark, without its head. */
function tableAfter(mark: string): string[][] {
  const [, text = ''] = page.split(`<!-- ${mark}: `);
  const [, ...lines] = text.split('\n');
  const first = lines.findIndex((line) => line.startsWith('|'));
  const rows = lines.slice(first + 2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

describe('docs/capacity.md (M-17)', () => {
  it('lists all constants with their values', () => {
    const listed = tableAfter('costs').map(([name = '', value = '']) => [
      name.replaceAll('`', ''),
      Number(value.replaceAll(',', '')),
    ]);
    expect(Object.fromEntries(listed)).toEqual(COSTS);
  });

  const sizes = tableAfter('sizes');
  it('has sizes to recalculate', () => {
    expect(sizes.length).toBeGreaterThan(4);
  });

  it.each(sizes)('says what is planned for %s vectors of %s dimensions on %s', (...cells) => {
    const [vectors = '', dimension, memory = '', ...numbers] = cells;
    const planned = ['300k', '16M'].flatMap((shardVectors) => {
      const { shards, nodes } = planCapacity({
        ...CAPACITY_DEFAULTS,
        vectors: parseCount(vectors) ?? 0,
        dimension: Number(dimension),
        nodeMemoryBytes: parseSize(memory) ?? 0,
        nodeDiskBytes: 4 * 1024 ** 4,
        shardVectorsMax: parseCount(shardVectors) ?? 0,
      });
      return [shards.count, nodes.count];
    });
    expect(numbers.map(Number)).toEqual(planned);
  });
});
