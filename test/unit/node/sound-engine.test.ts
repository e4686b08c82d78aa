// Goal: a lost state is made again from what the replica's own log stands behind alone (P-8, L5).
// Method: engines whose stores are damaged; snapshot files before, in and beside the log.
import { expect, it } from 'vitest';
import type { Engine } from '../../../src/engine/engine.js';
import { openSoundEngine, StateLostError } from '../../../src/node/sound-engine.js';
import type { LogReader } from '../../../src/raft/types.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { SnapshotFile, SnapshotFiles } from '../../../src/storage/snapshot-files.js';

const DAMAGED = new FlotillaError('LOG_DAMAGED', 'a record is damaged');
const TERM = 2;

interface Case {
  /** Indexes of the log, both included. */
  readonly log: readonly [number, number];
  /** `index/term` of the snapshots that are here, newest first. */
  readonly snapshots: readonly string[];
  /** Those that are damaged. */
  readonly damaged?: readonly string[];
}

interface Outcome {
  readonly installed: readonly string[];
  readonly removed: readonly string[];
  readonly unclosed: number;
  readonly result: 'mended' | 'lost';
}

/** Opens a replica whose point store is damaged until a snapshot or nothing takes its place. */
async function mend({ log: [first, last], snapshots, damaged = [] }: Case): Promise<Outcome> {
  const disk = new MemoryDisk();
  await disk.writeFile('store/points-1/damage', new Uint8Array(1));
  const installed: string[] = [];
  const removed: string[] = [];
  let open = 0;
  const state = { appliedIndex: 0, lastVersion: 0n };
  let isReplaced = false;
  const createEngine = (): Engine => {
    open += 1;
    return {
      open: async () => {
        const isThere = (await disk.list('store/points-1')).includes('damage');
        if (isThere && !isReplaced) throw DAMAGED;
        return state;
      },
      installSnapshot: async (path: string) => {
        if (damaged.includes(path)) throw DAMAGED;
        installed.push(path);
        isReplaced = true;
        return state;
      },
      close: async () => {
        open -= 1;
      },
    } as Partial<Engine> as Engine;
  };
  const log = { firstIndex: () => first, lastIndex: () => last, term: () => TERM };
  const files = {
    list: () =>
      snapshots.map((path): Partial<SnapshotFile> => {
        const [index, term] = path.split('/').map(Number);
        return { path, index: index ?? 0, term: term ?? 0 };
      }),
    remove: async ({ path }: SnapshotFile) => void removed.push(path),
  } as Partial<SnapshotFiles> as SnapshotFiles;
  const opening = openSoundEngine({
    groupId: 2,
    createEngine,
    path: 'store',
    disk,
    log: log as Partial<LogReader> as LogReader,
    files,
    logger: silentLogger,
  });
  const result = await opening.then(
    () => 'mended' as const,
    (error: unknown) => {
      if (error instanceof StateLostError) return 'lost' as const;
      throw error;
    },
  );
  return { installed, removed, unclosed: open, result };
}

it('takes the newest snapshot that the log contains or begins after', async () => {
  const inLog = await mend({ log: [11, 40], snapshots: ['30/2', '10/2'] });
  expect(inLog).toEqual({ installed: ['30/2'], removed: [], unclosed: 1, result: 'mended' });
  const before = await mend({ log: [11, 40], snapshots: ['10/2', '5/2'] });
  expect(before.installed).toEqual(['10/2']);
});

it('leaves those of another history, ahead of the log or too old alone (L5)', async () => {
  const none = await mend({ log: [11, 40], snapshots: ['50/2', '30/3', '9/2'] });
  expect(none).toEqual({ installed: [], removed: [], unclosed: 0, result: 'lost' });
});

it('goes on to the next where one is damaged too, and removes that', async () => {
  const both = { log: [11, 40], snapshots: ['30/2', '20/2'] } as const;
  const second = await mend({ ...both, damaged: ['30/2'] });
  expect(second).toMatchObject({ installed: ['20/2'], removed: ['30/2'], unclosed: 1 });
  const neither = await mend({ ...both, damaged: both.snapshots });
  expect(neither).toMatchObject({ unclosed: 0, result: 'lost' });
});

it('begins from nothing only where the log has its first entry', async () => {
  const whole = await mend({ log: [1, 40], snapshots: [] });
  expect(whole).toEqual({ installed: [], removed: [], unclosed: 1, result: 'mended' });
  expect((await mend({ log: [2, 40], snapshots: [] })).result).toBe('lost');
});
