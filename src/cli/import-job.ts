/**
 * Reads a vector file and writes its records in batches, several at a time. Memory holds at most
 * the batches in flight and the one being read.
 */
import type { JsonObject } from '../shared/codec/struct.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { ImportState } from './import-state.js';
import { type OwnerOptions, ownerOf, type RecordOwner } from './record-owner.js';
import {
  batchesOf,
  type FilePosition,
  type FileRecord,
  readVectorFile,
  type VectorFormat,
} from './vector-files.js';

/** A record as it is written. */
export interface ImportRecord extends RecordOwner {
  readonly id: string;
  readonly values: Float32Array;
  readonly metadata?: JsonObject;
  /** How long it lives from now on. @default what the collection says */
  readonly ttlMs?: number;
}

/** A record that was not written, and why. */
export interface ImportFailure {
  readonly row: number;
  readonly id: string;
  readonly reason: string;
  readonly message: string;
}

export interface ImportOptions extends OwnerOptions {
  readonly path: string;
  readonly format: VectorFormat;
  readonly idPrefix: string;
  /** Of records whose file does not say when they expire, 0 for ever. @default the collection's */
  readonly ttlMs?: number;
  readonly batchSize: number;
  /** Batches in flight. */
  readonly concurrency: number;
  readonly start: FilePosition;
  readonly state: ImportState;
  /** Writes one batch: one element per record, `undefined` where it was applied. */
  readonly write: (
    records: readonly ImportRecord[],
  ) => Promise<readonly ({ reason: string; message: string } | undefined)[]>;
  readonly monotonicMs: () => number;
  readonly wallMs: () => number;
  readonly onProgress: (progress: ImportProgress) => void;
  /** Ends the import after the batches in flight. */
  readonly signal: AbortSignal;
}

export interface ImportProgress {
  /** Records written by this run. */
  readonly records: number;
  readonly failures: number;
  /** Bytes of the file that are done, those of earlier runs included. */
  readonly offset: number;
}

export interface ImportResult extends ImportProgress {
  /** The first failures, at most `FAILURES_KEPT_MAX`. */
  readonly firstFailures: readonly ImportFailure[];
  readonly durationMs: number;
  /** Why the import ended before the end of the file; absent where it did not. */
  readonly stoppedBy?: unknown;
}

export const FAILURES_KEPT_MAX = 10;
const STATE_PERIOD_MS = 1_000;
const RECORD_FIELD = /^records\[(\d+)\]/;

/** Runs the import to its end, the first error or the signal. Never rejects for a failed batch. */
export async function runImport(options: ImportOptions): Promise<ImportResult> {
  return new ImportJob(options).run();
}

class ImportJob {
  readonly #options: ImportOptions;
  readonly #startMs: number;
  readonly #firstFailures: ImportFailure[] = [];
  /** End of each batch that is written while one before it is not, by its first row. */
  readonly #writtenAhead = new Map<number, FilePosition>();
  /** Everything before it is written. */
  #position: FilePosition;
  #furthestOffset: number;
  #records = 0;
  #failures = 0;
  #stop: { readonly reason: unknown } | undefined;
  #savedMs: number;
  #saving = false;

  constructor(options: ImportOptions) {
    this.#options = options;
    this.#startMs = options.monotonicMs();
    this.#savedMs = this.#startMs;
    this.#position = options.start;
    this.#furthestOffset = options.start.offset;
  }

  async run(): Promise<ImportResult> {
    const { path, format, start, batchSize, concurrency, state, monotonicMs } = this.#options;
    const batches = batchesOf(readVectorFile(path, format, start), batchSize);
    await Promise.all(Array.from({ length: concurrency }, () => this.#work(batches)));
    await batches.return(undefined);
    const complete = this.#stop === undefined && this.#failures === 0;
    if (complete) await state.remove();
    else if (this.#position.row > start.row) await state.save(this.#position);
    return {
      ...this.#progress(),
      firstFailures: this.#firstFailures,
      durationMs: monotonicMs() - this.#startMs,
      ...(this.#stop !== undefined && { stoppedBy: this.#stop.reason }),
    };
  }

  async #work(batches: AsyncGenerator<FileRecord[]>): Promise<void> {
    const { signal } = this.#options;
    try {
      while (this.#stop === undefined) {
        signal.throwIfAborted();
        const next = await batches.next();
        if (next.done) return;
        await this.#write(next.value);
        await this.#saveNowAndThen();
      }
    } catch (reason) {
      this.#stop ??= { reason };
    }
  }

  async #write(batch: readonly FileRecord[]): Promise<void> {
    const { idPrefix, write, onProgress } = this.#options;
    const records = batch.map((record) => {
      const { id, row, values, metadata } = record;
      const ttlMs = this.#ttlMsOf(record);
      return {
        id: `${idPrefix}${id ?? row}`,
        values,
        ...ownerOf(record, this.#options),
        ...(metadata !== undefined && { metadata }),
        ...(ttlMs !== undefined && { ttlMs }),
      };
    });
    const outcomes = await write(records).catch((error: unknown) => {
      throw this.#located(error, batch, records);
    });
    let failed = 0;
    for (const [index, { row }] of batch.entries()) {
      const error = outcomes[index];
      if (error === undefined) continue;
      failed += 1;
      if (this.#firstFailures.length < FAILURES_KEPT_MAX) {
        this.#firstFailures.push({ row, id: records[index]?.id ?? '', ...error });
      }
    }
    this.#failures += failed;
    this.#records += batch.length - failed;
    // A batch with a failure counts as not written: a resumed import begins with it.
    this.#advance(batch, failed === 0);
    onProgress(this.#progress());
  }

  #ttlMsOf({ expiresAtMs }: FileRecord): number | undefined {
    const { ttlMs, wallMs } = this.#options;
    // 0 would be for ever: what has expired since goes as soon as it can.
    return expiresAtMs === undefined ? ttlMs : Math.max(1, expiresAtMs - wallMs());
  }

  /** The error of a batch counts records within it, which says nothing to who has the file. */
  #located(
    error: unknown,
    batch: readonly FileRecord[],
    records: readonly ImportRecord[],
  ): unknown {
    if (!isFlotillaError(error)) return error;
    const [, digits] = RECORD_FIELD.exec(error.field ?? '') ?? [];
    const [read, written] = [batch[Number(digits)], records[Number(digits)]];
    if (read === undefined || written === undefined) return error;
    const place = `${this.#options.path}: record ${read.row} (id ${JSON.stringify(written.id)})`;
    return FlotillaError.fromBody({ ...error.body, message: `${place}: ${error.message}` }, error);
  }

  #advance(batch: readonly FileRecord[], written: boolean): void {
    const first = batch[0];
    const last = batch.at(-1);
    if (first === undefined || last === undefined) return;
    this.#furthestOffset = Math.max(this.#furthestOffset, last.endOffset);
    if (!written) return;
    this.#writtenAhead.set(first.row, { row: last.row + 1, offset: last.endOffset });
    for (;;) {
      const end = this.#writtenAhead.get(this.#position.row);
      if (end === undefined) return;
      this.#writtenAhead.delete(this.#position.row);
      this.#position = end;
    }
  }

  async #saveNowAndThen(): Promise<void> {
    const { state, start, monotonicMs } = this.#options;
    const nowMs = monotonicMs();
    if (this.#saving || nowMs - this.#savedMs < STATE_PERIOD_MS) return;
    if (this.#position.row === start.row) return;
    this.#saving = true;
    try {
      await state.save(this.#position);
      this.#savedMs = nowMs;
    } finally {
      this.#saving = false;
    }
  }

  #progress(): ImportProgress {
    return {
      records: this.#records,
      failures: this.#failures,
      offset: this.#furthestOffset,
    };
  }
}
