// Goal: vector files are read exactly, from any position, and malformed ones are named precisely.
// Method: files written to a temporary folder; properties over random rows and chunk borders.
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  batchesOf,
  type FilePosition,
  type FileRecord,
  formatOf,
  readIntegerVectors,
  readVectorFile,
  type VectorFormat,
} from '../../../src/cli/vector-files.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-vectors-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function fileOf(name: string, content: Uint8Array | string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

const read = (path: string, format: VectorFormat, start?: FilePosition): Promise<FileRecord[]> =>
  collect(readVectorFile(path, format, start));

function fvecs(rows: readonly (readonly number[])[]): Buffer {
  return Buffer.concat(
    rows.map((row) => {
      const bytes = Buffer.alloc(4 + 4 * row.length);
      bytes.writeInt32LE(row.length, 0);
      for (const [at, value] of row.entries()) bytes.writeFloatLE(value, 4 + 4 * at);
      return bytes;
    }),
  );
}

describe('fvecs and bvecs', () => {
  it('reads what was written, whole or from the end of any record', async () => {
    const float = fc.float({ noNaN: true, noDefaultInfinity: true });
    const rows = fc.array(fc.array(float, { minLength: 3, maxLength: 3 }), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(rows, fc.nat(), async (vectors, seed) => {
        const path = await fileOf('random.fvecs', fvecs(vectors));
        const records = await read(path, 'fvecs');
        expect(records.map((record) => [...record.values])).toEqual(vectors);
        expect(records.map((record) => record.row)).toEqual(vectors.map((_, row) => row));
        const from = seed % records.length;
        const offset = from === 0 ? 0 : (records[from - 1]?.endOffset ?? 0);
        expect(await read(path, 'fvecs', { row: from, offset })).toEqual(records.slice(from));
      }),
      { numRuns: 30 },
    );
  });

  it('joins vectors that cross the border of two reads', async () => {
    const vectors = Array.from({ length: 1_100 }, (_, row) => Array(300).fill(row));
    const path = await fileOf('large.fvecs', fvecs(vectors));
    const records = await read(path, 'fvecs');
    expect(records).toHaveLength(vectors.length);
    expect(records.every(({ row, values }) => values.every((value) => value === row))).toBe(true);
  });

  it('reads bytes as numbers from 0 to 255', async () => {
    const path = await fileOf('b.bvecs', Uint8Array.of(3, 0, 0, 0, 0, 128, 255));
    expect(await read(path, 'bvecs')).toEqual([
      { row: 0, values: Float32Array.of(0, 128, 255), endOffset: 7 },
    ]);
  });

  it.each([
    [
      'cut off in the vector',
      fvecs([
        [1, 2],
        [3, 4],
      ]).subarray(0, 20),
      'offset 12, is cut off',
    ],
    ['cut off in the dimension', fvecs([[1, 2]]).subarray(0, 2), 'offset 0, is cut off'],
    ['of another dimension later', fvecs([[1, 2], [3]]), 'record 1 has 1 values'],
    ['of dimension 0', Buffer.alloc(4), 'at offset 0 a vector says that it has 0 elements'],
    ['of a huge dimension', Buffer.alloc(4, 0x7f), 'says that it has 2139062143'],
    ['with NaN', fvecs([[1], [Number.NaN]]), 'at offset 8 holds NaN or infinity'],
  ])('refuses a file %s', async (_, content, message) => {
    const path = await fileOf('bad.fvecs', content);
    await expect(read(path, 'fvecs')).rejects.toThrow(message);
    await expect(read(path, 'fvecs')).rejects.toThrow(path);
  });

  it('has no records in an empty file', async () => {
    expect(await read(await fileOf('empty.fvecs', ''), 'fvecs')).toEqual([]);
  });
});

describe('ivecs', () => {
  it('keeps whole numbers that a float could not hold', async () => {
    const path = await fileOf('n.ivecs', new Uint8Array(Int32Array.of(2, 16_777_217, -1).buffer));
    expect(await collect(readIntegerVectors(path))).toEqual([Int32Array.of(16_777_217, -1)]);
  });

  const mnist = new URL('../../../../shared/data/mnist10k/', import.meta.url).pathname;
  it.skipIf(!existsSync(mnist))(
    'reads the MNIST set where the shared folder has it (skips elsewhere)',
    async () => {
      const queries = await read(join(mnist, 'query.bvecs'), 'bvecs');
      const neighbours = await collect(readIntegerVectors(join(mnist, 'groundtruth.ivecs')));
      expect(queries).toHaveLength(200);
      expect(queries[0]?.values).toHaveLength(784);
      expect(neighbours).toHaveLength(200);
      expect(neighbours[0]).toHaveLength(100);
    },
  );
});

describe('jsonl', () => {
  it('reads ids, values and metadata, and skips blank lines', async () => {
    const first = '\uFEFF{"id": "a", "values": [1, 2], "metadata": {"t": "é"}}\r\n';
    const text = `${first}\n{"values": [3, 4], "id": "b", "metadata": null}`;
    const endOffset = Buffer.byteLength(first);
    expect(await read(await fileOf('a.jsonl', text), 'jsonl')).toEqual([
      { row: 0, id: 'a', values: Float32Array.of(1, 2), metadata: { t: 'é' }, endOffset },
      { row: 1, id: 'b', values: Float32Array.of(3, 4), endOffset: Buffer.byteLength(text) },
    ]);
  });

  it('goes on from the end of any record', async () => {
    const lines = Array.from({ length: 40 }, (_, at) => `{"id": "${at}", "values": [${at}]}`);
    const path = await fileOf('many.jsonl', `${lines.join('\n\n')}\n`);
    const records = await read(path, 'jsonl');
    expect(records.map(({ id }) => id)).toEqual(lines.map((_, at) => String(at)));
    for (const [at, { endOffset }] of records.entries()) {
      const rest = await read(path, 'jsonl', { row: at + 1, offset: endOffset });
      expect(rest).toEqual(records.slice(at + 1));
    }
  });

  it('reads what `flotilla scroll` wrote', async () => {
    const written = '{"id": "a", "version": "77", "metadata": {"year": 1}, "values": [1, 2]}';
    const [record] = await read(await fileOf('scrolled.jsonl', written), 'jsonl');
    expect(record).toMatchObject({ id: 'a', values: Float32Array.of(1, 2), metadata: { year: 1 } });
    expect(record).not.toHaveProperty('version');
  });

  it('reads lines longer than one read', async () => {
    const long = 'x'.repeat(1_500_000);
    const line = JSON.stringify({ id: 'a', values: [1], metadata: { long } });
    const path = await fileOf('long.jsonl', `${line}\n${line}`);
    expect((await read(path, 'jsonl')).map(({ metadata }) => metadata)).toEqual([
      { long },
      { long },
    ]);
  });

  const good = '{"id": "a", "values": [1]}\n';
  it.each([
    ['nonsense', 'is not JSON'],
    ['[]', 'is not an object'],
    ['{"values": [1]}', 'has no "id"'],
    ['{"id": "", "values": [1]}', 'has no "id"'],
    ['{"id": 7, "values": [1]}', 'has no "id"'],
    ['{"id": "b"}', 'has no "values"'],
    ['{"id": "b", "values": []}', 'has no "values"'],
    ['{"id": "b", "values": [1e39]}', 'has no "values"'],
    ['{"id": "b", "values": ["1"]}', 'has no "values"'],
    ['{"id": "b", "values": [1, 2]}', 'record 1 has 2 values'],
    ['{"id": "b", "values": [1], "metadata": []}', 'has "metadata" that is not an object'],
    ['{"id": "b", "vector": [1]}', 'has the unknown field "vector"'],
  ])('refuses %s and names the line', async (line, message) => {
    const path = await fileOf('bad.jsonl', good + line);
    await expect(read(path, 'jsonl')).rejects.toThrow(message);
    const place = message.startsWith('record') ? path : `${path}:2`;
    await expect(read(path, 'jsonl')).rejects.toThrow(place);
  });

  it('refuses bytes that are not UTF-8, and endless lines', async () => {
    const latin = Buffer.from('{"id": "\xe9", "values": [1]}', 'latin1');
    await expect(read(await fileOf('l.jsonl', latin), 'jsonl')).rejects.toThrow('1 is not UTF-8');
    const endless = await fileOf('endless.jsonl', 'x'.repeat(6 * 1024 * 1024));
    await expect(read(endless, 'jsonl')).rejects.toThrow('is longer than');
  });
});

describe('helpers', () => {
  it('takes the format from the name', () => {
    expect(formatOf('/a/b.fvecs')).toBe('fvecs');
    expect(formatOf('B.JSONL')).toBe('jsonl');
    expect(formatOf('a.ivecs')).toBeUndefined();
  });

  it('batches keep order and count', async () => {
    async function* numbers() {
      for (let at = 0; at < 7; at++) yield at;
    }
    expect(await collect(batchesOf(numbers(), 3))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
  });
});
