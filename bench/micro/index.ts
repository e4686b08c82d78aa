/**
 * The index alone, as its library was compiled: inserts, searches, the way to a file and back. Run
 * it again after `npm run build:addon -- --plain` or `-- --native` to compare.
 *
 * Run compiled. Arguments: points of 128 floats (20,000) and of 768 floats (10,000).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, cpuUsage } from 'node:process';
import { HnswIndex } from '../../src/engine/index/hnsw-index.js';
import { describeIndexLibrary } from '../../src/engine/index/index-library.js';
import { RealDisk } from '../../src/node/real-disk.js';
import { defined } from '../../src/shared/assert.js';
import { clusteredVectors } from '../../test/support/vectors.js';

const SIZES = [
  { dimension: 128, count: Number(argv[2] ?? 20_000) },
  { dimension: 768, count: Number(argv[3] ?? 10_000) },
];
const EFS = [16, 50, 100];
const SEARCHES = 2_000;
const RUNS = 7;
const K = 10;

interface Row {
  readonly what: string;
  readonly figure: string;
}

const rows: Row[] = [];

function report(what: string, value: number, unit: string): void {
  rows.push({ what, figure: `${Number(value.toPrecision(3)).toLocaleString('en')} ${unit}` });
}

/** Time on a CPU: the same on a busy machine, but for what others do to the caches. */
function cpuMs(work: () => void): number {
  const start = cpuUsage();
  work();
  const { user, system } = cpuUsage(start);
  return (user + system) / 1_000;
}

function bestCpuMs(work: () => void): number {
  return Math.min(...Array.from({ length: RUNS }, () => cpuMs(work)));
}

async function benchSize(dimension: number, count: number): Promise<void> {
  const vectors = clusteredVectors({ count, dimension, seed: 7 });
  const options = { dimension, metric: 'l2', m: 16, efConstruction: 200 } as const;
  const index = new HnswIndex(options);
  const name = `${dimension}-d`;
  const insertMs = cpuMs(() => {
    for (const [label, vector] of vectors.entries()) index.add(label, vector);
  });
  report(`${name}: inserts`, (1_000 * count) / insertMs, '/s');
  for (const ef of EFS) {
    const searchMs = bestCpuMs(() => {
      for (let at = 0; at < SEARCHES; at++) {
        index.search(defined(vectors[(at * 7) % count], 'vector'), K, ef);
      }
    });
    report(`${name}: search, ef ${ef}`, (1_000 * searchMs) / SEARCHES, 'us');
  }
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  const disk = new RealDisk();
  const path = join(directory, 'index');
  let startMs = performance.now();
  const written = await index.write(disk, path);
  report(`${name}: frozen by a save`, performance.now() - startMs, 'ms');
  const saved = await written.seal();
  report(`${name}: save`, saved.sizeBytes / 1_000 / (performance.now() - startMs), 'MB/s');
  index.dispose();
  const loaded = new HnswIndex(options);
  startMs = performance.now();
  await loaded.load(disk, path, saved);
  report(`${name}: load`, saved.sizeBytes / 1_000 / (performance.now() - startMs), 'MB/s');
  report(`${name}: load beside the inserts`, insertMs / (performance.now() - startMs), 'times');
  loaded.dispose();
  rmSync(directory, { recursive: true });
}

const clock = { wallMs: () => 0, monotonicMs: () => performance.now() };
const library = describeIndexLibrary(clock);
console.log(`compiled for ${library.built} on ${library.machine}, by ${library.compiler}`);
report('distances of 256 floats', library.distancesPerSecond, '/s');
for (const { dimension, count } of SIZES) await benchSize(dimension, count);
console.table(rows);
