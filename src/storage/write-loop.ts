/**
 * Group commit: what all groups submit while one batch is being written goes into the next one.
 *
 * There is one batch under way at a time and no waiting for more work: alone, a write costs one
 * sync; under load, one sync carries everything that came during the last one.
 */
import { FlotillaError } from '../shared/errors.js';

/** A batch ends with the job that reaches this size, so that one sync stays bounded. */
const BATCH_SIZE_MAX_BYTES = 8 * 1024 * 1024;

export interface WriteTarget<Job, Batch> {
  begin(): Batch;
  /** Adds a job; all earlier jobs are in the batch or committed. Throwing refuses the job alone. */
  add(batch: Batch, job: Job): void;
  /** Makes the batch durable and then visible. Rejecting poisons the loop. */
  commit(batch: Batch): Promise<void>;
}

interface Waiting<Job> {
  readonly job: Job;
  readonly sizeBytes: number;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

function errorOf(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

export class WriteLoop<Job, Batch> {
  readonly #target: WriteTarget<Job, Batch>;
  #waiting: Waiting<Job>[] = [];
  #running: Promise<void> | undefined;
  #poisoned: FlotillaError | undefined;
  #closed = false;

  constructor(target: WriteTarget<Job, Batch>) {
    this.#target = target;
  }

  /** STORE_POISONED with the first write error as its cause, once there was one. */
  get poisoned(): FlotillaError | undefined {
    return this.#poisoned;
  }

  /**
   * Resolves when the job is committed. Jobs are committed in the order of submission, those of
   * one turn of the event loop together. Rejects with what `add` threw for this job, with
   * STORE_POISONED after any failed commit, and with NODE_NOT_READY once closed.
   */
  submit(job: Job, sizeBytes: number): Promise<void> {
    if (this.#poisoned) return Promise.reject(this.#poisoned);
    if (this.#closed) {
      return Promise.reject(new FlotillaError('NODE_NOT_READY', 'the log store is closed'));
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, sizeBytes, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /**
   * Stops for ever: all jobs that have not settled are refused, those under way included. Returns
   * what they are refused with.
   */
  poison(thrown: unknown): FlotillaError {
    const cause = errorOf(thrown);
    const message = `the log store failed: ${cause.message}`;
    this.#poisoned ??= new FlotillaError('STORE_POISONED', message, { cause });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#poisoned);
    return this.#poisoned;
  }

  /** Takes no more jobs and waits for those that it has. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    // What else is submitted in this turn joins the first batch.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#commit(this.#take());
    this.#running = undefined;
  }

  #take(): Waiting<Job>[] {
    let count = 0;
    for (let sizeBytes = 0; sizeBytes < BATCH_SIZE_MAX_BYTES; count++) {
      const next = this.#waiting[count];
      if (!next) break;
      sizeBytes += next.sizeBytes;
    }
    return this.#waiting.splice(0, count);
  }

  async #commit(taken: readonly Waiting<Job>[]): Promise<void> {
    const batch = this.#target.begin();
    const added = taken.filter((waiting) => this.#add(batch, waiting));
    if (added.length === 0) return;
    try {
      await this.#target.commit(batch);
    } catch (thrown) {
      this.poison(thrown);
    }
    for (const { resolve, reject } of added) {
      if (this.#poisoned) reject(this.#poisoned);
      else resolve();
    }
  }

  #add(batch: Batch, { job, reject }: Waiting<Job>): boolean {
    try {
      this.#target.add(batch, job);
      return true;
    } catch (thrown) {
      reject(errorOf(thrown));
      return false;
    }
  }
}
