// Goal: an import writes every record, several batches at once, and resumes without losing one.
// Method: a fake cluster that fails, delays or stops at chosen batches; real files and state.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ImportOptions, type ImportRecord, runImport } from '../../../src/cli/import-job.js';
import { ImportState, ImportStateError } from '../../../src/cli/import-state.js';
import { FILE_START, VectorFileError } from '../../../src/cli/vector-files.js';
import { FlotillaError } from '../../../src/shared/errors.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-import-'));
});
afterAll(() => rm(folder, { recursive: true }));

const ROWS = 25;
const lines = Array.from({ length: ROWS }, (_, at) => `{"id": "r${at}", "values": [${at}]}`);
const allIds = lines.map((_, at) => `r${at}`);

async function inputFile(name: string, extra = ''): Promise<string> {
  const path = join(folder, `${name}.jsonl`);
  await writeFile(path, `${lines.join('\n')}\n${extra}`);
  return path;
}

function stateOf(path: string, target: { collection?: string; idPrefix?: string } = {}) {
  const { collection = 'docs', idPrefix = '' } = target;
  return new ImportState(`${path}.state`, { input: path, collection, idPrefix });
}

async function importWith(
  path: string,
  write: ImportOptions['write'],
  options: Partial<ImportOptions> = {},
) {
  const state = options.state ?? stateOf(path);
  return runImport({
    path,
    format: 'jsonl',
    idPrefix: '',
    batchSize: 4,
    concurrency: 3,
    start: (await state.load()) ?? FILE_START,
    state,
    write,
    monotonicMs: () => 0,
    wallMs: () => 1_000,
    onProgress: () => undefined,
    signal: new AbortController().signal,
    ...options,
  });
}

/** Remembers what was written. */
function makeCluster() {
  const ids: string[] = [];
  const accept = (records: readonly ImportRecord[]) => {
    ids.push(...records.map(({ id }) => id));
    return records.map(() => undefined);
  };
  return { ids, accept };
}

describe('runImport', () => {
  it('writes every record once and leaves no state behind', async () => {
    const path = await inputFile('whole');
    const cluster = makeCluster();
    const progress: number[] = [];
    const result = await importWith(path, async (records) => cluster.accept(records), {
      onProgress: ({ offset }) => progress.push(offset),
    });
    expect(cluster.ids).toEqual(allIds);
    expect(result).toMatchObject({ records: ROWS, failures: 0 });
    expect(result).not.toHaveProperty('stoppedBy');
    expect(progress.at(-1)).toBe((await readFile(path)).length);
    expect(await stateOf(path).exists()).toBe(false);
  });

  it('gives records that expire what is left of their time, and at least a moment', async () => {
    const path = join(folder, 'mortal.jsonl');
    const of = (id: string, expiresAtMs?: number) =>
      JSON.stringify({ id, values: [1], version: '7', expiresAtMs });
    await writeFile(path, [of('a', 6_000), of('b', 400), of('c')].join('\n'));
    const written: ImportRecord[] = [];
    await importWith(path, async (records) => {
      written.push(...records);
      return records.map(() => undefined);
    });
    expect(written.map(({ id, ttlMs }) => [id, ttlMs])).toEqual([
      ['a', 5_000],
      ['b', 1],
      ['c', undefined],
    ]);
    await writeFile(path, of('d', -1));
    const { stoppedBy } = await importWith(path, async () => []);
    expect(String(stoppedBy)).toMatch(/mortal\.jsonl:1 has "expiresAtMs" that are no milli/);
  });

  it('says of a batch that is refused which record of the file it was', async () => {
    const path = await inputFile('wrong-record');
    const { stoppedBy } = await importWith(
      path,
      async (records) => {
        const field = 'records[1].values';
        if (records[1]?.id !== 'r9') return records.map(() => undefined);
        throw new FlotillaError('ZERO_VECTOR', `${field} has a length of 0`, { field });
      },
      { concurrency: 1 },
    );
    expect(stoppedBy).toMatchObject({ reason: 'ZERO_VECTOR', field: 'records[1].values' });
    expect(String(stoppedBy)).toContain(
      `${path}: record 9 (id "r9"): records[1].values has a length of 0`,
    );
  });

  it('keeps as many batches in flight as asked, and no more', async () => {
    const path = await inputFile('parallel');
    let inFlight = 0;
    let inFlightMax = 0;
    const result = await importWith(path, async (records) => {
      inFlight += 1;
      inFlightMax = Math.max(inFlightMax, inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight -= 1;
      return records.map(() => undefined);
    });
    expect(result.records).toBe(ROWS);
    expect(inFlightMax).toBe(3);
  });

  it('makes ids from the prefix and the row where the file has none', async () => {
    const path = join(folder, 'rows.bvecs');
    await writeFile(path, Uint8Array.of(1, 0, 0, 0, 7, 1, 0, 0, 0, 8));
    const cluster = makeCluster();
    await importWith(path, async (records) => cluster.accept(records), {
      format: 'bvecs',
      idPrefix: 'img-',
    });
    expect(cluster.ids).toEqual(['img-0', 'img-1']);
  });

  it('counts records that are refused, goes on, and resumes with the first of them', async () => {
    const path = await inputFile('refused');
    const cluster = makeCluster();
    const refuse = { reason: 'LIMIT_EXCEEDED', message: 'too large' };
    const first = await importWith(path, async (records) =>
      cluster.accept(records).map((_, at) => (records[at]?.id === 'r9' ? refuse : undefined)),
    );
    expect(first).toMatchObject({
      records: ROWS - 1,
      failures: 1,
      firstFailures: [{ row: 9, id: 'r9', ...refuse }],
    });
    expect(await stateOf(path).load()).toMatchObject({ row: 8 });

    const again = makeCluster();
    await importWith(path, async (records) => again.accept(records));
    expect(again.ids).toEqual(allIds.slice(8));
    expect(await stateOf(path).exists()).toBe(false);
  });

  it('stops at a malformed line after the batches before it, and resumes once mended', async () => {
    const path = await inputFile('malformed', 'nonsense\n');
    const cluster = makeCluster();
    const result = await importWith(path, async (records) => cluster.accept(records));
    expect(result.stoppedBy).toBeInstanceOf(VectorFileError);
    expect(cluster.ids).toEqual(allIds.slice(0, 24));

    await writeFile(path, `${lines.join('\n')}\n{"id": "last", "values": [0]}\n`);
    await importWith(path, async (records) => cluster.accept(records));
    expect(new Set(cluster.ids)).toEqual(new Set([...allIds, 'last']));
  });

  it('ends in order when it is told to stop', async () => {
    const path = await inputFile('signal');
    const cluster = makeCluster();
    const stopping = new AbortController();
    const result = await importWith(
      path,
      async (records) => {
        stopping.abort(new Error('enough'));
        return cluster.accept(records);
      },
      { signal: stopping.signal },
    );
    expect(result.stoppedBy).toEqual(new Error('enough'));
    expect(cluster.ids.length).toBeLessThan(ROWS);
    expect(await stateOf(path).load()).toMatchObject({ row: cluster.ids.length });
  });

  it('never loses a record over any sequence of failures and resumes', async () => {
    const path = await inputFile('property');
    const run = fc.record({ failAt: fc.nat(8), concurrency: fc.integer({ min: 1, max: 4 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(run, { maxLength: 4 }), async (runs) => {
        await stateOf(path).remove();
        const cluster = makeCluster();
        for (const { failAt, concurrency } of runs) {
          let batches = 0;
          await importWith(
            path,
            async (records) => {
              const batch = batches++;
              // Later batches overtake earlier ones.
              for (let turn = batch; turn < 6; turn++) await Promise.resolve();
              if (batch === failAt) throw new Error('no leader');
              return cluster.accept(records);
            },
            { concurrency, monotonicMs: () => batches * 2_000 },
          );
        }
        await importWith(path, async (records) => cluster.accept(records));
        expect(new Set(cluster.ids)).toEqual(new Set(allIds));
      }),
      { numRuns: 40 },
    );
  });
});

describe('ImportState', () => {
  it('is refused for another collection, another prefix and a changed file', async () => {
    const path = await inputFile('state');
    await stateOf(path).save({ row: 2, offset: 56 });
    expect(await stateOf(path).load()).toEqual({ row: 2, offset: 56 });
    await expect(stateOf(path, { collection: 'b' }).load()).rejects.toThrow(ImportStateError);
    await expect(stateOf(path, { idPrefix: 'b' }).load()).rejects.toThrow(ImportStateError);
    await writeFile(path, lines.join('\n').replace('r1', 'x1'));
    await expect(stateOf(path).load()).rejects.toThrow('has changed since');
  });

  it.each(['', '{}', 'null', '{"format": 2, "row": 1}', '{"format": 1, "row": -1}'])(
    'refuses a file that holds %s',
    async (text) => {
      const path = await inputFile('nonsense');
      await writeFile(`${path}.state`, text);
      await expect(stateOf(path).load()).rejects.toThrow('is not the state of an import');
    },
  );
});
