// Goal: a label table gives back exactly what was written, or says that it is damaged (H5, P-8).
// Method: random entries there and back; every byte flipped, every length cut.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type LabelEntry,
  LabelTableReader,
  writeLabelTable,
} from '../../../../src/engine/checkpoint/label-table.js';
import type { SavedIndex } from '../../../../src/engine/index/vector-index.js';
import { defined } from '../../../../src/shared/assert.js';
import { MemoryDisk } from '../../../../src/shared/memory-disk.js';
import { METRICS } from '../../../../src/shared/types.js';

const HEADER = { collectionId: 7, appliedIndex: 2 ** 40 };
const UINT64_MAX = 2n ** 64n - 1n;

function savedIndex(entries: readonly LabelEntry[], more: Partial<SavedIndex> = {}): SavedIndex {
  return {
    kind: 'flat-1',
    options: { dimension: 3, metric: 'l2', m: 16, efConstruction: 100 },
    points: entries.length + 2,
    removedPoints: 2,
    lastLabel: entries.at(-1)?.label ?? 1,
    sizeBytes: 12_345_678_901,
    crc32c: 0xfedc_ba98,
    ...more,
  };
}

async function write(
  disk: MemoryDisk,
  pages: readonly (readonly LabelEntry[])[],
  saved: SavedIndex = savedIndex(pages.flat()),
): Promise<void> {
  async function* each(): AsyncGenerator<readonly LabelEntry[]> {
    yield* pages;
  }
  await writeLabelTable(disk, 'labels', HEADER, each(), Promise.resolve(saved));
}

async function read(disk: MemoryDisk): Promise<{ entries: LabelEntry[]; saved: SavedIndex }> {
  const table = await LabelTableReader.open(disk, 'labels');
  try {
    expect(table.header).toEqual(HEADER);
    const entries: LabelEntry[] = [];
    for await (const page of table.pages()) entries.push(...page);
    return { entries, saved: table.saved };
  } finally {
    await table.close();
  }
}

const record = fc.option(
  fc.record({
    name: fc.string({ unit: 'grapheme', minLength: 1 }),
    version: fc.bigInt({ min: 0n, max: UINT64_MAX }),
  }),
  { nil: undefined },
);

const SMALL: readonly LabelEntry[] = [
  { label: 0, record: { name: '1/0/a', version: 1n } },
  { label: 5, record: undefined },
  { label: 2 ** 32 - 2, record: { name: '1/2/é b', version: UINT64_MAX } },
];

describe('a label table', () => {
  it('gives back its entries in order, whatever pages they came in', async () => {
    const gap = fc.constantFrom(0, 0, 0, 1, 130, 70_000);
    const pages = fc.array(fc.array(fc.record({ gap, record }), { maxLength: 5 }));
    await fc.assert(
      fc.asyncProperty(pages, fc.constantFrom(...METRICS), async (given, metric) => {
        let next = 0;
        const entries = given.map((page) =>
          page.map((one): LabelEntry => {
            const label = next + one.gap;
            next = label + 1;
            return { label, record: one.record };
          }),
        );
        const options = { dimension: 4_096, metric, m: 2, efConstruction: 1 };
        const saved = savedIndex(entries.flat(), { options });
        const disk = new MemoryDisk();
        await write(disk, entries, saved);
        expect(await read(disk)).toEqual({ entries: entries.flat(), saved });
      }),
      { numRuns: 60 },
    );
  });

  it('is cut into pages, and replaces a longer one', async () => {
    const disk = new MemoryDisk();
    const many = Array.from({ length: 3_000 }, (_, label): LabelEntry => {
      return { label, record: { name: `3/0/record ${label}`, version: BigInt(label) } };
    });
    const pages = Array.from({ length: 6 }, (_, at) => many.slice(500 * at, 500 * (at + 1)));
    await write(disk, pages);
    const table = await LabelTableReader.open(disk, 'labels');
    const sizes: number[] = [];
    for await (const page of table.pages()) sizes.push(page.length);
    expect(sizes.length).toBeGreaterThan(2);
    await table.close();
    expect((await read(disk)).entries).toEqual(many);
    await write(disk, [SMALL]);
    expect((await read(disk)).entries).toEqual(SMALL);
  });

  it('passes with no byte flipped, none missing, and none too many (P-8)', async () => {
    const disk = new MemoryDisk();
    await write(disk, [SMALL]);
    const whole = defined(await disk.readFile('labels'), 'file');
    const damaged = { reason: 'LOG_DAMAGED' };
    for (let at = 0; at < whole.length; at++) {
      for (const bit of [1, 128]) {
        const flipped = whole.slice();
        flipped[at] = defined(flipped[at], 'byte') ^ bit;
        await disk.writeFile('labels', flipped);
        await expect(read(disk)).rejects.toMatchObject(damaged);
      }
      await disk.writeFile('labels', whole.slice(0, at));
      await expect(read(disk)).rejects.toMatchObject(damaged);
    }
    await disk.writeFile('labels', Uint8Array.of(...whole, 0));
    await expect(read(disk)).rejects.toMatchObject(damaged);
    await disk.writeFile('labels', whole);
    expect((await read(disk)).entries).toEqual(SMALL);
  });

  it('is not whole where the graph was not saved, or has other points', async () => {
    const disk = new MemoryDisk();
    for (const more of [{ points: 4 }, { removedPoints: 1 }, { lastLabel: 2 ** 32 - 3 }]) {
      await write(disk, [SMALL], savedIndex(SMALL, more));
      await expect(read(disk)).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
    }
    async function* none(): AsyncGenerator<LabelEntry[]> {
      yield [...SMALL];
    }
    const failed = Promise.reject(new Error('no space'));
    await expect(writeLabelTable(disk, 'labels', HEADER, none(), failed)).rejects.toThrow(
      'no space',
    );
    await expect(read(disk)).rejects.toMatchObject({ reason: 'LOG_DAMAGED' });
  });
});
