// Goal: a crash at any instant loses no acknowledged synced write, and the log opens clean (S-40).
// Method: random scripts beside a model of the state after each write; one of them must come back.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Entry, HardState } from '../../../src/raft/types.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import type { GroupWrite, LogStore } from '../../../src/storage/log-store.js';
import { openLogStore } from '../../../src/storage/open-log-store.js';
import {
  described,
  entriesOf,
  environmentOn,
  genesisOf,
  hardStateOf,
  ManualScheduler,
} from './harness.js';

const GROUPS = [1, 2, 3];

interface State {
  readonly hardState: HardState;
  readonly entries: readonly Entry[];
}

/** One group as it should be: the state after each of its writes, and which ones must survive. */
interface Model {
  history: State[];
  /** Position in `history` of the newest write that was acknowledged as synced. */
  durable: number;
}

type Step =
  | { readonly kind: 'append'; readonly count: number; readonly settle: boolean }
  | { readonly kind: 'replace'; readonly back: number; readonly settle: boolean }
  | { readonly kind: 'vote'; readonly replica: number; readonly settle: boolean }
  | { readonly kind: 'commit'; readonly by: number; readonly settle: boolean }
  | { readonly kind: 'period' }
  | { readonly kind: 'diskFull'; readonly at: 'database' | 'file' }
  | { readonly kind: 'crash'; readonly turns: number; readonly keepBatches: number };

const settle = fc.boolean();
const stepOf: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    count: fc.integer({ min: 1, max: 4 }),
    settle,
  }),
  fc.record({
    kind: fc.constant('replace' as const),
    back: fc.integer({ min: 1, max: 5 }),
    settle,
  }),
  fc.record({
    kind: fc.constant('vote' as const),
    replica: fc.integer({ min: 1, max: 3 }),
    settle,
  }),
  fc.record({ kind: fc.constant('commit' as const), by: fc.integer({ min: 1, max: 3 }), settle }),
  fc.record({ kind: fc.constant('period' as const) }),
  fc.record({
    kind: fc.constant('diskFull' as const),
    at: fc.constantFrom('database' as const, 'file' as const),
  }),
  fc.record({
    kind: fc.constant('crash' as const),
    turns: fc.nat({ max: 12 }),
    keepBatches: fc.nat({ max: 3 }),
  }),
);

/** What a Raft group in `state` could write next. */
function nextWrite(
  groupId: number,
  { hardState, entries }: State,
  step: Exclude<Step, { kind: 'period' | 'diskFull' | 'crash' }>,
): GroupWrite {
  const last = entries.length;
  const { term, vote, commit } = hardState;
  switch (step.kind) {
    case 'append': {
      const next = hardStateOf(Math.max(term, 1), vote, commit);
      const added = entriesOf(last + 1, last + step.count, next.term);
      return { groupId, hardState: next, entries: added, mustSync: true };
    }
    case 'replace': {
      const from = Math.max(commit + 1, last + 1 - step.back);
      const added = entriesOf(from, from + 1, term + 1);
      return {
        groupId,
        hardState: hardStateOf(term + 1, 0, commit),
        entries: added,
        mustSync: true,
      };
    }
    case 'vote': {
      const next = hardStateOf(term + 1, step.replica, commit);
      return { groupId, hardState: next, entries: [], mustSync: true };
    }
    case 'commit': {
      const next = hardStateOf(term, vote, Math.min(last, commit + step.by));
      return { groupId, hardState: next, entries: [], mustSync: false };
    }
  }
}

function after({ hardState, entries }: State, write: GroupWrite): State {
  const first = write.entries[0]?.index ?? entries.length + 1;
  return {
    hardState: write.hardState ?? hardState,
    entries: [...entries.slice(0, first - 1), ...write.entries],
  };
}

function textOf({ hardState, entries }: State): string {
  return JSON.stringify([hardState, described(entries)]);
}

function stateIn(store: LogStore, groupId: number): State {
  const reader = store.reader(groupId);
  return {
    hardState: reader.initialState().hardState,
    entries: reader.entries(reader.firstIndex(), reader.lastIndex() + 1, 1e9),
  };
}

class CrashRun {
  readonly #disk = new MemoryDisk();
  readonly #scheduler = new ManualScheduler();
  readonly #models = new Map<number, Model>();
  #store: LogStore | undefined;
  #pending: Promise<unknown>[] = [];

  async open(): Promise<void> {
    const environment = environmentOn(this.#disk, this.#scheduler);
    const options = { environment, directory: 'd', logger: silentLogger, cacheSizeBytes: 300 };
    this.#store = await openLogStore(options);
    expect(this.#store.damaged()).toEqual([]);
  }

  async start(): Promise<void> {
    await this.open();
    for (const groupId of GROUPS) {
      await this.#opened.createGroup(genesisOf(groupId));
      this.#models.set(groupId, {
        history: [{ hardState: hardStateOf(0), entries: [] }],
        durable: 0,
      });
    }
  }

  async take(groupId: number, step: Step): Promise<void> {
    if (step.kind === 'period') return this.#scheduler.fire();
    if (step.kind === 'diskFull') return this.#fillDisk(step.at);
    if (step.kind === 'crash') return this.#crash(step);
    const model = this.#models.get(groupId) as Model;
    const current = model.history[model.history.length - 1] as State;
    const write = nextWrite(groupId, current, step);
    model.history.push(after(current, write));
    const position = model.history.length - 1;
    const writing = this.#opened.write(write).then(
      () => {
        if (write.mustSync) model.durable = Math.max(model.durable, position);
      },
      () => undefined,
    );
    this.#pending.push(writing);
    if (step.settle) await this.#settle();
  }

  async #crash({ turns, keepBatches }: { turns: number; keepBatches: number }): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    this.#disk.crash(keepBatches);
    await this.#settle();
    await this.#opened.close().catch(() => undefined);
    // The disk may still be full for the open, which then leaves everything as it was.
    await this.open().catch(() => this.open());
    for (const [groupId, model] of this.#models) {
      const recovered = stateIn(this.#opened, groupId);
      const allowed = model.history.slice(model.durable).map(textOf);
      expect(allowed).toContain(textOf(recovered));
      model.history = [recovered];
      model.durable = 0;
    }
  }

  /** The next write to the database, or to a file beside it, fails and changes nothing. */
  #fillDisk(at: 'database' | 'file'): void {
    const full = new Error('no space left on device');
    if (at === 'file') this.#disk.failNextFileWrite(full);
    else this.#disk.kv('d/log').failNextBatch(full);
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#pending);
    this.#pending = [];
  }

  get #opened(): LogStore {
    return this.#store as LogStore;
  }
}

it('keeps acknowledged writes over crashes and full disks (S-40, S-41, S-48)', async () => {
  const script = fc.array(fc.tuple(fc.constantFrom(...GROUPS), stepOf), {
    minLength: 5,
    maxLength: 60,
  });
  await fc.assert(
    fc.asyncProperty(script, async (steps) => {
      const run = new CrashRun();
      await run.start();
      for (const [groupId, step] of steps) await run.take(groupId, step);
      await run.take(1, { kind: 'crash', turns: 0, keepBatches: 0 });
    }),
    { numRuns: 300 },
  );
});

it('keeps them over a crash after each step of one long script (S-40)', async () => {
  const run = new CrashRun();
  await run.start();
  for (let step = 0; step < 300; step++) {
    const groupId = GROUPS[step % 3] as number;
    const kinds: Step[] = [
      { kind: 'append', count: 1 + (step % 4), settle: step % 2 === 0 },
      { kind: 'commit', by: 2, settle: false },
      { kind: 'replace', back: step % 5, settle: false },
      { kind: 'vote', replica: 1 + (step % 3), settle: step % 7 === 0 },
    ];
    await run.take(groupId, kinds[(step * 7) % 4] as Step);
    await run.take(groupId, { kind: 'crash', turns: step % 13, keepBatches: step % 3 });
  }
});
