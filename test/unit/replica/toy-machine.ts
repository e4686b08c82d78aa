// Goal: a state machine that shows each mistake of its driver.
// Method: an append-only list that checks order on apply and outlives its process, as a disk does.
import { utf8 } from '../../../src/shared/bytes.js';
import type { Disk } from '../../../src/shared/environment.js';
import { MemoryDisk } from '../../../src/shared/memory-disk.js';
import { SnapshotFileReader, writeSnapshotFile } from '../../../src/shared/snapshot-file.js';
import type {
  CommittedEntry,
  StateMachine,
  WrittenSnapshot,
} from '../../../src/shared/state-machine.js';

const MACHINE = 'toy';

export interface ToyItem {
  readonly index: number;
  readonly text: string;
}

/** What is stored of a machine: batches, so that a crash can lose the newest of them. */
export interface ToyContent {
  batches: { readonly lastIndex: number; readonly items: readonly ToyItem[] }[];
}

export function itemsOf({ batches }: ToyContent): ToyItem[] {
  return batches.flatMap((batch) => [...batch.items]);
}

export class ToyMachine implements StateMachine<string> {
  readonly #content: ToyContent;
  readonly #durableIndex: () => number;
  readonly #disk: Disk;
  /** Set by tests: what the next batches wait for. */
  gate: Promise<void> | undefined;
  /** Set by tests: the next batch rejects with it. */
  failure: Error | undefined;
  /** A dead machine changes nothing any more, as a process that was killed does not. */
  isDead = false;
  isClosed = false;

  /**
   * `durableIndex` tells up to where the replica's own log is durable; snapshots lie on `disk`.
   */
  constructor(content: ToyContent, durableIndex: () => number, disk: Disk = new MemoryDisk()) {
    this.#content = content;
    this.#durableIndex = durableIndex;
    this.#disk = disk;
  }

  get appliedIndex(): number {
    return this.#content.batches.at(-1)?.lastIndex ?? 0;
  }

  get items(): ToyItem[] {
    return itemsOf(this.#content);
  }

  async open(): Promise<{ appliedIndex: number }> {
    return { appliedIndex: this.appliedIndex };
  }

  async apply(entries: readonly CommittedEntry[], lastIndex: number): Promise<string[]> {
    if (this.isClosed) throw new Error('apply after close');
    await this.gate;
    if (this.isDead) return new Promise(() => undefined);
    if (this.failure !== undefined) throw this.failure;
    this.#check(entries, lastIndex);
    const items = entries.map(({ index, data }) => ({ index, text: Buffer.from(data).toString() }));
    this.#content.batches.push({ lastIndex, items });
    return items.map(({ text }) => `did ${text}`);
  }

  writeSnapshot(path: string): Promise<WrittenSnapshot> {
    if (this.isClosed) throw new Error('writeSnapshot after close');
    const header = { machine: MACHINE, appliedIndex: this.appliedIndex };
    const entries = this.items.map(({ index, text }) => {
      return { key: utf8(String(index)), value: utf8(text) };
    });
    return writeSnapshotFile(this.#disk, path, header, [entries]);
  }

  async installSnapshot(path: string): Promise<{ appliedIndex: number }> {
    if (this.isClosed) throw new Error('installSnapshot after close');
    const reader = await SnapshotFileReader.open(this.#disk, path, MACHINE);
    const items: ToyItem[] = [];
    for await (const page of reader.pages()) {
      for (const { key, value } of page) {
        items.push({ index: Number(Buffer.from(key)), text: Buffer.from(value).toString() });
      }
    }
    await reader.close();
    if (this.isDead) return new Promise(() => undefined);
    const { appliedIndex } = reader.header;
    this.#content.batches = [{ lastIndex: appliedIndex, items }];
    return { appliedIndex };
  }

  async close(): Promise<void> {
    this.isClosed = true;
  }

  #check(entries: readonly CommittedEntry[], lastIndex: number): void {
    let previous = this.appliedIndex;
    for (const { index } of entries) {
      if (index <= previous) throw new Error(`entry ${index} applied after ${previous}`);
      previous = index;
    }
    if (lastIndex < previous) throw new Error(`skipped back from ${previous} to ${lastIndex}`);
    const durable = this.#durableIndex();
    if (lastIndex > durable) throw new Error(`applied ${lastIndex} of ${durable} durable entries`);
  }
}
