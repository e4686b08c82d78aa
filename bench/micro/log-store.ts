/**
 * Entries a second through the log store beside raw LevelDB batches of the same bytes, each synced.
 *
 * Each writer waits for its write before it sends the next one. Store: one group per writer, one
 * entry and the group's commit index per write. Raw: one synced batch per writer at a time.
 */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RealDisk } from '../../src/node/real-disk.js';
import { silentLogger } from '../../src/shared/logger.js';
import type { GroupGenesis } from '../../src/storage/log-store.js';
import { openLogStore } from '../../src/storage/open-log-store.js';

const WRITERS = [1, 16, 64];
const ROUND_MS = 2_000;
const DATA = new Uint8Array(1_024).fill(7);

const disk = new RealDisk();
const environment = {
  disk,
  random: { next: Math.random, uuid: randomUUID },
  scheduler: {
    after: () => ({ cancel: () => undefined }),
    every: (periodMs: number, task: () => void) => {
      const timer = setInterval(task, periodMs);
      return { cancel: () => clearInterval(timer) };
    },
    soon: setImmediate,
  },
};

function genesisOf(groupId: number): GroupGenesis {
  const sets = { votersOutgoing: [], learners: [], learnersNext: [], autoLeave: false };
  return { groupId, replicaId: 1, confState: { voters: [1], ...sets }, members: [] };
}

interface Round {
  readonly entriesPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Runs `write` in a loop by each writer; the n-th call of a writer gets n, from 1. */
async function measure(
  writers: number,
  write: (writer: number, count: number) => Promise<void>,
): Promise<Round> {
  const latencies: number[] = [];
  const start = performance.now();
  const loops = Array.from({ length: writers }, async (_, writer) => {
    for (let count = 1; performance.now() - start < ROUND_MS; count++) {
      const before = performance.now();
      await write(writer, count);
      latencies.push(performance.now() - before);
    }
  });
  await Promise.all(loops);
  const elapsedMs = performance.now() - start;
  latencies.sort((a, b) => a - b);
  const quantile = (share: number): number =>
    latencies[Math.floor((latencies.length - 1) * share)] ?? 0;
  return {
    entriesPerSecond: Math.round((latencies.length * 1_000) / elapsedMs),
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
  };
}

async function measureStore(directory: string, writers: number): Promise<Round> {
  const store = await openLogStore({ environment, directory, logger: silentLogger });
  for (let groupId = 0; groupId < writers; groupId++) await store.createGroup(genesisOf(groupId));
  const round = await measure(writers, (groupId, index) =>
    store.write({
      groupId,
      hardState: { term: 1, vote: 1, commit: index - 1 },
      entries: [{ type: 'EntryNormal', term: 1, index, data: DATA }],
      mustSync: true,
    }),
  );
  await store.close();
  return round;
}

async function measureRaw(directory: string, writers: number): Promise<Round> {
  const kv = await disk.openKv(directory, { writeBufferSizeBytes: 32 * 1024 * 1024 });
  const round = await measure(writers, (writer, count) => {
    const key = new Uint8Array(13);
    const view = new DataView(key.buffer);
    view.setUint32(0, writer);
    view.setUint32(9, count);
    return kv.batch([{ type: 'put', key, value: DATA }], { sync: true });
  });
  await kv.close();
  return round;
}

function printRow(cells: readonly (string | number)[]): void {
  process.stdout.write(`${cells.map((cell) => String(cell).padStart(12)).join('')}\n`);
}

const root = mkdtempSync(join(tmpdir(), 'flotilla-bench-'));
try {
  printRow(['', 'writers', 'entries/s', 'p50 ms', 'p99 ms']);
  for (const writers of WRITERS) {
    const kinds = { 'log store': measureStore, 'raw batches': measureRaw };
    for (const [name, run] of Object.entries(kinds)) {
      const { entriesPerSecond, p50Ms, p99Ms } = await run(
        join(root, `${name}-${writers}`),
        writers,
      );
      printRow([name, writers, entriesPerSecond, p50Ms.toFixed(2), p99Ms.toFixed(2)]);
    }
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
