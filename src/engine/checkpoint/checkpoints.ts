/**
 * The checkpoints of a shard's graphs: which are loaded after an open, when others are written, and
 * which a snapshot takes along. One thing at a time, beside the requests.
 *
 * What a checkpoint holds, the point store holds too: whatever is wrong with one, it is removed,
 * and the graph is made anew while searches are exact. Only a broken invariant is a failure.
 */
import { InvariantError } from '../../shared/assert.js';
import type { Disk } from '../../shared/environment.js';
import { FlotillaError, messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { lowWaterBytesOf } from '../../shared/low-water.js';
import type { AttachedFile } from '../../shared/snapshot-file.js';
import type { Collection } from '../collection.js';
import { type SliceEnvironment, Slices } from '../slices.js';
import { AttachedCheckpoints } from './attached-checkpoints.js';
import { type Checkpoint, CheckpointFiles } from './checkpoint-files.js';
import {
  type CheckpointPolicy,
  estimatedBytes,
  insertsDue,
  insertsDueAtClose,
  insertsDueBeforeSnapshot,
  isFresh,
} from './checkpoint-policy.js';
import { IdleWatch } from './idle-watch.js';
import { restoreGraph } from './restore-graph.js';
import { saveGraph } from './save-graph.js';

/** Of the space that is free above the low-water mark a checkpoint may take so much. */
const SPACE_SHARE_MAX = 0.5;

/** Inserts that make a checkpoint worth it. */
type InsertsDue = (collection: Collection, policy: CheckpointPolicy) => number;

export interface CheckpointsOptions {
  readonly environment: SliceEnvironment;
  readonly disk: Disk;
  /** Where the checkpoints of this generation of the store are. */
  readonly directory: string;
  readonly policy: CheckpointPolicy;
  readonly logger: Logger;
  readonly collections: () => Iterable<Collection>;
  /** `undefined` where it is dropped. */
  readonly collection: (collectionId: number) => Collection | undefined;
  readonly appliedIndex: () => number;
  /** Aborted when the engine is about to be closed. */
  readonly signal: AbortSignal;
  /** Called when rows of a collection may go into its graph again, or it may be renewed. */
  readonly onThaw: (collection: Collection) => void;
  /** Called when an invariant is broken; the shard cannot go on. */
  readonly onFailure: (error: unknown) => void;
}

export class Checkpoints {
  readonly #options: CheckpointsOptions;
  readonly #files: CheckpointFiles;
  /** To be loaded. */
  readonly #unloaded: Checkpoint[] = [];
  /** Of collections that were dropped: to be removed. */
  readonly #stale: Checkpoint[] = [];
  /** Due to be saved, by what they were when they were last looked at. */
  readonly #due = new Map<Collection, InsertsDue>();
  /** Of those that would be saved at a close; absent where they are saved at no other time. */
  readonly #idle: IdleWatch | undefined;
  /** By collection: inserts before which nothing is tried again, after it did not work. */
  readonly #retryAt = new Map<number, number>();
  readonly #stop = new AbortController();
  /** Whether the directory can be read. */
  #isUsable = true;
  #running: Promise<void> | undefined;
  /** Whether what runs is a load. */
  #isRestoring = false;

  constructor(options: CheckpointsOptions) {
    const { environment, policy } = options;
    const { idleMs } = policy;
    const onIdle = (collection: Collection): void => this.#saveResting(collection);
    this.#options = options;
    this.#idle = idleMs === undefined ? undefined : new IdleWatch({ environment, idleMs, onIdle });
    this.#files = new CheckpointFiles(options.disk, options.directory);
  }

  /**
   * Finds the checkpoints. To be called when all records are loaded and none is in a graph: those
   * of which there is a checkpoint wait for it.
   */
  async open(): Promise<void> {
    const { collection, disk } = this.#options;
    try {
      await this.#files.open();
    } catch (error) {
      this.#isUsable = false;
      this.#warn({ error: messageOf(error) }, 'the checkpoints of graphs cannot be read');
      return;
    }
    for (const checkpoint of this.#files.all()) {
      const index = collection(checkpoint.collectionId)?.index;
      if (index === undefined) this.#stale.push(checkpoint);
      if (index?.canSave(disk) !== true) continue;
      index.awaitRestore();
      this.#unloaded.push(checkpoint);
    }
  }

  /** Notes that a collection was dropped, before the next `wake`. */
  dropped(collectionId: number): void {
    const checkpoint = this.#files.newestOf(collectionId);
    if (checkpoint !== undefined) this.#stale.push(checkpoint);
  }

  /**
   * Goes on with what there is to do, if there is, and nothing is under way. Must be given each
   * collection of which the graph or the waiting rows have changed: no others are looked at.
   */
  wake(changed: Iterable<Collection> = []): void {
    for (const collection of changed) {
      this.#look(collection);
    }
    if (this.#running !== undefined || this.#stop.signal.aborted || !this.#isUsable) return;
    const job = this.#nextJob();
    if (job !== undefined) this.#running = this.#run(job);
  }

  /** Whether the files would leave many inserts to who loads them. Costs all collections. */
  get areOutdated(): boolean {
    return [...this.#options.collections()].some((collection) => this.#isOutdated(collection));
  }

  /**
   * Saves the graphs of which that is so, one after another. Where one cannot be saved, or any is
   * being loaded, the files stay as they are. Never rejects.
   */
  async freshen(): Promise<void> {
    for (const collection of [...this.#options.collections()]) {
      if (!this.#isOutdated(collection)) continue;
      while (this.#running !== undefined && !this.#isRestoring) await this.#running;
      if (this.#isRestoring || this.#isEnding || !this.#isUsable) return;
      if (!this.#isDue(collection, insertsDueBeforeSnapshot)) continue;
      this.#running = this.#run(() => this.#save(collection));
      await this.#running;
    }
  }

  /**
   * Calls `write` with the files of the checkpoints that spare who loads them most of the inserts.
   * They are held from the turn of the call on. Where one cannot be read it is removed, and `write`
   * is called again, without any.
   */
  async withFresh<T>(write: (files: readonly AttachedFile[]) => Promise<T>): Promise<T> {
    const { environment, disk, collection } = this.#options;
    const fresh = [...this.#files.all()].filter(({ collectionId }) => {
      const found = collection(collectionId);
      return found !== undefined && isFresh(found);
    });
    if (fresh.length === 0) return write([]);
    const slices = new Slices(environment);
    const attached = new AttachedCheckpoints(disk, this.#files, slices, fresh);
    try {
      const files: AttachedFile[] = [];
      for (const checkpoint of fresh) files.push(...(await attached.open(checkpoint)));
      try {
        return await write(files);
      } catch (error) {
        if (attached.unreadable.length === 0) throw error;
        return await write([]);
      }
    } finally {
      for (const checkpoint of attached.unreadable) {
        await this.#giveUp(checkpoint, 'it cannot be read');
      }
      await attached.close();
    }
  }

  /**
   * Ends what is under way; with `save`, then writes what is worth it. No row may go into a graph
   * any more.
   */
  async close({ save }: { readonly save: boolean }): Promise<void> {
    this.#stop.abort(new FlotillaError('NODE_NOT_READY', 'the engine is closed'));
    this.#idle?.close();
    await this.#running;
    if (!save || !this.#isUsable) return;
    for (const collection of this.#options.collections()) {
      if (this.#isDue(collection, insertsDueAtClose)) await this.#save(collection);
    }
  }

  /** Never rejects. */
  async #run(job: () => Promise<void>): Promise<void> {
    try {
      await job();
    } catch (error) {
      this.#stop.abort(error);
      this.#options.onFailure(error);
    } finally {
      this.#running = undefined;
      this.wake();
    }
  }

  #nextJob(): (() => Promise<void>) | undefined {
    const stale = this.#stale.shift();
    if (stale !== undefined) return () => this.#discard(stale);
    const unloaded = this.#unloaded.shift();
    if (unloaded !== undefined) return () => this.#restore(unloaded);
    for (const [one, due] of this.#due) {
      this.#due.delete(one);
      if (this.#isDue(one, due)) return () => this.#save(one);
    }
    return undefined;
  }

  #isOutdated(collection: Collection): boolean {
    const due = insertsDueBeforeSnapshot(collection, this.#options.policy);
    return collection.index.unsavedInserts >= due;
  }

  get #isEnding(): boolean {
    return this.#options.signal.aborted || this.#stop.signal.aborted;
  }

  /** Notes what is to be done of a graph that has changed: now, or when it rests. */
  #look(collection: Collection): void {
    if (this.#isDue(collection, insertsDue)) this.#due.set(collection, insertsDue);
    const { policy } = this.#options;
    const isWorthIt = collection.index.unsavedInserts >= insertsDueAtClose(collection, policy);
    if (isWorthIt && !this.#isEnding) this.#idle?.note(collection);
  }

  /** So that a crash of a node that rests costs no more than its stop would. */
  #saveResting(collection: Collection): void {
    if (collection.index.waitingRows > 0 || this.#due.has(collection)) return;
    this.#due.set(collection, insertsDueAtClose);
    this.wake();
  }

  #isDue(collection: Collection, due: InsertsDue): boolean {
    const { collectionId, index } = collection;
    const { policy, disk } = this.#options;
    const retryAt = this.#retryAt.get(collectionId) ?? 0;
    const inserts = Math.max(retryAt, due(collection, policy));
    return index.unsavedInserts >= inserts && index.canSave(disk);
  }

  async #save(collection: Collection): Promise<void> {
    const { environment, disk, logger, appliedIndex, policy } = this.#options;
    const { collectionId, index } = collection;
    const { clock } = environment;
    const startMs = clock.monotonicMs();
    try {
      const checkpoint = await this.#files.begin(collectionId);
      await this.#checkSpace(collection);
      const done = await saveGraph(collection, {
        disk,
        files: this.#files,
        checkpoint,
        appliedIndex: appliedIndex(),
        slices: new Slices(environment),
        clock,
        onThaw: () => this.#options.onThaw(collection),
      });
      if (done === undefined) return;
      this.#retryAt.delete(collectionId);
      const { points, sizeBytes } = done.saved;
      const frozenMs = Math.round(done.frozenMs);
      const durationMs = Math.round(clock.monotonicMs() - startMs);
      const figures = { collectionId, points, sizeBytes, durationMs, frozenMs };
      logger.info(figures, 'a graph is checkpointed');
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      this.#retryAt.set(collectionId, index.unsavedInserts + insertsDue(collection, policy));
      this.#warn({ collectionId, error: messageOf(error) }, 'a graph could not be checkpointed');
    } finally {
      // It may have got its name after the collection was dropped.
      if (index.disposed) this.dropped(collectionId);
      // Rows went into the graph while the file was sealed, and whether it is worn was not asked.
      this.#look(collection);
      this.#options.onThaw(collection);
    }
  }

  /** What can be made anew takes no space that records need, or a store that is opened again. */
  async #checkSpace(collection: Collection): Promise<void> {
    const { freeBytes, totalBytes } = await this.#options.disk.space(this.#files.directory);
    const neededBytes = estimatedBytes(collection);
    const keptBytes = Math.round(lowWaterBytesOf(totalBytes));
    if (neededBytes <= SPACE_SHARE_MAX * (freeBytes - keptBytes)) return;
    throw new Error(
      `it needs ${neededBytes} bytes, and ${freeBytes} are free, of which ${keptBytes} are kept`,
    );
  }

  async #restore(checkpoint: Checkpoint): Promise<void> {
    const { collectionId } = checkpoint;
    const { environment, disk, logger } = this.#options;
    const collection = this.#options.collection(collectionId);
    if (collection === undefined) return;
    const { index } = collection;
    const { clock } = environment;
    const startMs = clock.monotonicMs();
    this.#isRestoring = true;
    try {
      const slices = new Slices(environment, this.#stop.signal);
      await restoreGraph(collection, { disk, files: this.#files, checkpoint, slices });
      if (index.disposed) return;
      const [records, covered] = [index.size, index.coveredRows];
      const durationMs = Math.round(clock.monotonicMs() - startMs);
      logger.info({ collectionId, records, covered, durationMs }, 'a graph is loaded');
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      if (this.#stop.signal.aborted || index.disposed) return;
      await this.#giveUp(checkpoint, messageOf(error));
    } finally {
      this.#isRestoring = false;
      this.#options.onThaw(collection);
    }
  }

  async #giveUp(checkpoint: Checkpoint, why: string): Promise<void> {
    const { collectionId } = checkpoint;
    this.#warn({ collectionId, why }, 'the checkpoint of a graph cannot be used: it is removed');
    await this.#discard(checkpoint);
  }

  async #discard(checkpoint: Checkpoint): Promise<void> {
    const { collectionId } = checkpoint;
    await this.#files.discard(checkpoint).catch((error: unknown) => {
      this.#warn({ collectionId, error: messageOf(error) }, 'a checkpoint could not be removed');
    });
  }

  #warn(fields: object, message: string): void {
    this.#options.logger.warn(fields, message);
  }
}
