/** What the tests of the log store in processes share: what was acknowledged, and checking it. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { RealDisk } from '../../src/node/real-disk.js';
import { silentLogger } from '../../src/shared/logger.js';
import type { LogStore } from '../../src/storage/log-store.js';
import { type LogStoreOptions, openLogStore } from '../../src/storage/open-log-store.js';

/** The last acknowledged entry of each group. */
export type Acknowledged = Map<number, { readonly index: number; readonly term: number }>;

/** Timers that never fire but by `fire`. */
export class SilentScheduler {
  readonly #tasks = new Set<() => void>();

  after(_delayMs: number, task: () => void): { cancel: () => void } {
    return this.every(0, task);
  }

  every(_periodMs: number, task: () => void): { cancel: () => void } {
    this.#tasks.add(task);
    return { cancel: () => this.#tasks.delete(task) };
  }

  soon(task: () => void): void {
    setImmediate(task);
  }

  fire(): void {
    for (const task of this.#tasks) task();
  }
}

export function openStore(
  directory: string,
  scheduler = new SilentScheduler(),
  options: Partial<LogStoreOptions> = {},
): Promise<LogStore> {
  const random = { next: () => 0.5, uuid: randomUUID };
  const environment = { disk: new RealDisk(), random, scheduler };
  return openLogStore({ environment, directory, logger: silentLogger, ...options });
}

/** Takes over what a child has written down. Returns how many writes that was. */
export function readAcknowledged(path: string, acknowledged: Acknowledged): number {
  // The last line may be cut off by the kill.
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  for (const line of lines) {
    const [groupId, index, term] = line.split(' ').map(Number) as [number, number, number];
    acknowledged.set(groupId, { index, term });
  }
  return lines.length;
}

/** Opens the store, which must be whole, and reads all of it. */
export async function expectAcknowledged(
  directory: string,
  acknowledged: Acknowledged,
): Promise<void> {
  const store = await openStore(directory);
  try {
    expect(store.damaged()).toEqual([]);
    for (const [groupId, { index, term }] of acknowledged) {
      const reader = store.reader(groupId);
      expect(reader.lastIndex()).toBeGreaterThanOrEqual(index);
      // What came after it may have replaced it, in a newer term.
      expect(reader.term(Math.max(index, reader.firstIndex() - 1))).toBeGreaterThanOrEqual(term);
      expectEntries(store, groupId);
    }
  } finally {
    await store.close();
  }
}

function expectEntries(store: LogStore, groupId: number): void {
  const reader = store.reader(groupId);
  const entries = reader.entries(reader.firstIndex(), reader.lastIndex() + 1, 1e9);
  expect(entries).toHaveLength(reader.lastIndex() + 1 - reader.firstIndex());
  const wrong = entries.filter(({ index, term, data }) => {
    return !Buffer.from(data).toString().startsWith(`${groupId}/${index}/${term}/`);
  });
  expect(wrong).toEqual([]);
}
