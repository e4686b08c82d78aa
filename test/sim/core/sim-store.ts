import type { ConfState, Entry, HardState, LogReader, Snapshot } from '../../../src/raft/types.js';
import { assert, defined } from '../../../src/shared/assert.js';
import { LogImage, type StoreWrite } from './log-image.js';
import type { StateImage } from './state-image.js';

interface PendingWrite {
  readonly write: StoreWrite;
  readonly done: () => void;
}

/**
 * The disk of one replica. Batches are atomic; one at a time is under way, and shown to the core
 * when it is synced. A crash meanwhile leaves it out, or has it on the disk, never a part of it.
 */
export class SimStore implements LogReader {
  /** What survives a crash for certain; also what the core may read. */
  readonly #disk: LogImage;
  #underWay: PendingWrite | undefined;
  #stateImage: StateImage;
  /** Makes snapshots on demand, as the host does (P1). */
  #makeSnapshot: () => Snapshot | undefined = () => undefined;

  constructor(confState: ConfState, image: StateImage) {
    this.#disk = new LogImage(confState);
    this.#stateImage = image;
  }

  get disk(): LogImage {
    return this.#disk;
  }

  /** The state machine as it survives a crash. */
  get stateImage(): StateImage {
    return this.#stateImage;
  }

  /** The state machine's own write: durable at once, in its own time. */
  saveState(image: StateImage): void {
    this.#stateImage = image;
  }

  set snapshotMaker(make: () => Snapshot | undefined) {
    this.#makeSnapshot = make;
  }

  /** Begins a batch; `finish` ends it when the disk has had its time. */
  write(write: StoreWrite, done: () => void): void {
    assert(this.#underWay === undefined, 'one batch at a time');
    this.#underWay = { write, done };
  }

  finish(): void {
    const { write, done } = defined(this.#underWay, 'the batch under way');
    this.#underWay = undefined;
    this.#disk.apply(write);
    done();
  }

  /** The process is gone; what was under way may have reached the disk all the same. */
  crash(reachedDisk: boolean): void {
    if (this.#underWay !== undefined && reachedDisk) this.#disk.apply(this.#underWay.write);
    this.#underWay = undefined;
  }

  initialState(): { readonly hardState: HardState; readonly confState: ConfState } {
    const { hardState, configuration } = this.#disk;
    // What was applied was committed, whatever commit index had reached the disk.
    const commit = Math.max(hardState.commit, this.#stateImage.machine.applied);
    return { hardState: { ...hardState, commit }, confState: configuration.confState };
  }

  entries(low: number, high: number, maxSizeBytes: number): readonly Entry[] {
    return this.#disk.entries(low, high, maxSizeBytes);
  }

  term(index: number): number {
    return this.#disk.term(index);
  }

  firstIndex(): number {
    return this.#disk.firstIndex;
  }

  lastIndex(): number {
    return this.#disk.lastIndex;
  }

  snapshot(): Snapshot | undefined {
    return this.#makeSnapshot();
  }
}
