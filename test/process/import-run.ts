// Goal: what the process tests share: many writers, and an exact account of what was acknowledged.
// Method: several upserts in flight; each outcome is noted, also of what failed.
import { expect } from 'vitest';
import type { Flotilla } from '../../src/client/index.js';
import type { ErrorReason } from '../../src/shared/error-codes.js';
import { FlotillaError, isFlotillaError } from '../../src/shared/errors.js';

export interface ImportOptions {
  readonly collection: string;
  readonly vectors: readonly Float32Array[];
  /** @default 100 */
  readonly batch?: number;
  /** @default 8 */
  readonly writers?: number;
  readonly onProgress?: (acknowledged: number) => void;
}

export class ImportRun {
  readonly acknowledged = new Set<string>();
  /** Reasons of records and requests that were not acknowledged. */
  readonly failures = new Map<ErrorReason, number>();
  readonly #client: Flotilla;
  readonly #options: ImportOptions;
  #nextRow = 0;
  #isStopped = false;

  constructor(client: Flotilla, options: ImportOptions) {
    this.#client = client;
    this.#options = options;
  }

  /** Resolves when every vector was sent once, or `stop` was called. Never rejects for an error. */
  async run(): Promise<void> {
    const { writers = 8 } = this.#options;
    await Promise.all(Array.from({ length: writers }, () => this.#write()));
  }

  stop(): void {
    this.#isStopped = true;
  }

  async #write(): Promise<void> {
    const { collection, vectors, batch = 100, onProgress } = this.#options;
    while (!this.#isStopped && this.#nextRow < vectors.length) {
      const from = this.#nextRow;
      this.#nextRow += batch;
      const records = vectors
        .slice(from, from + batch)
        .map((values, at) => ({ id: idOf(from + at), values, metadata: { row: from + at } }));
      try {
        const { outcomes } = await this.#client.collection(collection).upsert(records);
        for (const outcome of outcomes) {
          if (outcome.kind === 'applied') this.acknowledged.add(outcome.id);
          else this.#noteFailure(outcome.reason);
        }
      } catch (error) {
        if (!isFlotillaError(error)) throw error;
        this.#noteFailure(error.reason);
      }
      onProgress?.(this.acknowledged.size);
    }
  }

  #noteFailure(reason: ErrorReason): void {
    this.failures.set(reason, (this.failures.get(reason) ?? 0) + 1);
  }
}

export function idOf(row: number): string {
  return `row-${row}`;
}

/** Every id is there, with the very vector that was sent. */
export async function expectAllThere(
  client: Flotilla,
  { collection, vectors }: ImportOptions,
  ids: ReadonlySet<string>,
): Promise<void> {
  const wanted = [...ids];
  for (let at = 0; at < wanted.length; at += 500) {
    const part = wanted.slice(at, at + 500);
    const found = await client.collection<{ row: number }>(collection).fetch(part);
    expect(found.map(({ id }) => id)).toEqual(part);
    const wrong = found.filter(({ id, values, metadata }) => {
      const sent = vectors[metadata?.row ?? -1];
      return id !== idOf(metadata?.row ?? -1) || !sent?.every((value, i) => value === values?.[i]);
    });
    expect(wrong.map(({ id }) => id)).toEqual([]);
  }
}

/** Whether an error says that a write did not get through for want of nodes, time or space. */
export function isFromOutage(reason: ErrorReason): boolean {
  const { code } = new FlotillaError(reason, '');
  return ['UNAVAILABLE', 'DEADLINE_EXCEEDED', 'RESOURCE_EXHAUSTED', 'CANCELLED'].includes(code);
}
