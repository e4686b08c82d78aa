/** How long an engine takes from its start to its first answer, and until its graph is whole. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BareIndex } from '../harness/bare-index.js';
import { atLeast } from '../harness/bars.js';
import { type Dataset, idOfRow, inTurn, NEIGHBOURS } from '../harness/dataset.js';
import { EngineShard, searchQuery } from '../harness/engine-shard.js';
import { median } from '../harness/statistics.js';
import { type Effort, type Findings, GRAPH } from './findings.js';

const RECORDS_PER_ENTRY = 100;
/** A graph that is loaded should be there so many times sooner than one that is made. */
const TIMES_MIN = 10;

export interface RestartOptions {
  readonly dataset: Dataset;
  readonly effort: Effort;
  readonly progress: (line: string) => void;
}

interface Restart {
  readonly openMs: number;
  /** Counted from the start of the thread, as the others. */
  readonly firstAnswerMs: number;
  readonly fullSpeedMs: number;
}

/**
 * A rebuild is counted as the inserts of the bare library alone, which is less than what it takes.
 * The files are in the system's cache: what is measured is the engine, not the disk.
 */
export async function measureRestart(options: RestartOptions): Promise<Partial<Findings>> {
  const { dataset, effort, progress } = options;
  const { base, dimension } = dataset;
  const directory = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
  try {
    const path = join(directory, 'points');
    progress(`restart: filling ${base.length} records`);
    await fill(path, dataset);
    const restarts: Restart[] = [];
    for (let run = 0; run < effort.runs; run++) {
      progress(`restart: run ${run + 1} of ${effort.runs}`);
      restarts.push(await restart(path, dataset));
    }
    progress('restart: inserts of the bare library');
    const bare = new BareIndex({ dimension, ...GRAPH, capacity: base.length });
    const insertsMs = bare.insertAll(base);
    const name = `restart at ${base.length} x ${dimension}`;
    const middle = (of: (one: Restart) => number): number => median(restarts.map(of));
    const quantity = (what: string, value: number) => ({
      name: `${name}: ${what}`,
      value,
      unit: 'ms',
    });
    const fullSpeedMs = middle((one) => one.fullSpeedMs);
    const times = {
      name: `${name}: rebuild by restart`,
      value: insertsMs / fullSpeedMs,
      unit: 'x',
    };
    return {
      quantities: [
        quantity(
          'open',
          middle((one) => one.openMs),
        ),
        quantity(
          'first answer',
          middle((one) => one.firstAnswerMs),
        ),
        quantity('all records in the graph', fullSpeedMs),
        quantity('inserts into the bare library', insertsMs),
      ],
      bars: [atLeast(times, TIMES_MIN)],
    };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function fill(path: string, { base, dimension }: Dataset): Promise<void> {
  const shard = EngineShard.inThread(path);
  await shard.open();
  await shard.createCollection({ dimension, ...GRAPH });
  const records = base.map((values, row) => ({ id: idOfRow(row), values }));
  await shard.writeAll(records, RECORDS_PER_ENTRY);
  await shard.settled();
  await shard.close();
}

async function restart(path: string, { queries }: Dataset): Promise<Restart> {
  const startMs = performance.now();
  const passedMs = (): number => performance.now() - startMs;
  const shard = EngineShard.inThread(path);
  try {
    await shard.open();
    const openMs = passedMs();
    await shard.search(searchQuery(inTurn(queries, 0), { k: NEIGHBOURS, ef: 0 }));
    const firstAnswerMs = passedMs();
    await shard.settled();
    return { openMs, firstAnswerMs, fullSpeedMs: passedMs() };
  } finally {
    await shard.close();
  }
}
