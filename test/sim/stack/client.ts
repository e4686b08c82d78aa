/**
 * Goal: clients that behave as the SDK does, and see everything that users see.
 *
 * Method: each makes one call after another against any node, tries again with the same
 * idempotency key where that is allowed, and tells the oracle and the history what it was told.
 */

import { Session } from '../../../src/client/session.js';
import type { WriteOptions } from '../../../src/server/backend.js';
import { unreachable } from '../../../src/shared/assert.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import type { ReadConsistency, WriteOutcome } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Findings } from './findings.js';
import type { StackHistory } from './history.js';
import {
  doubted,
  endOf,
  existedOf,
  failedOutcome,
  isRetryable,
  isWorthRetrying,
  merged,
  UNKNOWN,
} from './outcomes.js';
import type { RegisterOracle, Write, WriteEnd, WriteKind } from './register-oracle.js';
import { COLLECTION, metadataOf, serialOf, valuesOf, type Workload } from './workload.js';

export interface ClientOptions {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly nowMs: () => number;
  readonly random: SimRandom;
  readonly wire: ClientWire;
  readonly workload: Workload;
  readonly oracle: RegisterOracle;
  readonly history: StackHistory;
  readonly findings: Findings;
  /** Nodes whose process runs; some of them may be paused, cut off or not ready. */
  readonly nodes: () => readonly Callee[];
}

export interface ClientCounts {
  ok: number;
  failed: number;
  unknown: number;
}

const VALUES = { values: true, metadata: false } as const;
const RETRY_MS = 40;
const SEARCH_LIMIT = 100;

export class SimulatedClient {
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly counts: ClientCounts = { ok: 0, failed: 0, unknown: 0 };
  #stopped = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#session = new Session(options.name, 1_700_000_000_000);
  }

  /** Works until `stop`; resolves when the last operation is over. Never rejects. */
  async run(): Promise<void> {
    const { random, workload, scheduler } = this.#options;
    while (!this.#stopped) {
      await sleep(scheduler, random.exponential(workload.pauseMs));
      if (!this.#stopped) await this.once();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** One operation, drawn from the workload. */
  async once(): Promise<void> {
    const { random, workload } = this.#options;
    const kind = weighted(random, workload.shares);
    switch (kind) {
      case 'upsert':
      case 'delete':
        return this.write(kind, this.#someKeys());
      case 'fetch':
        return this.fetch(this.#someKeys());
      case 'search':
        return this.search();
      default:
        return unreachable(kind);
    }
  }

  /** One request for several records. Resolves when every one of them has an outcome. */
  async write(kind: WriteKind, keys: readonly string[]): Promise<void> {
    const { oracle, history, name, random } = this.#options;
    const writes = keys.map((key) => oracle.beginWrite(key, kind));
    const start = history.now();
    // Without a key of the client's, the node's router makes one and tries again by itself.
    const key = random.chance(0.8) ? this.#session.take() : undefined;
    const outcomes = await this.#outcomes(kind, writes, key);
    if (key !== undefined) this.#session.release(key);
    writes.forEach((write, at) => {
      const outcome = outcomes[at] ?? UNKNOWN;
      const end = endOf(outcome);
      oracle.endWrite(write, end);
      history.wrote({ client: name, start, write, outcome: end, existed: existedOf(outcome) });
      this.#count(end.kind);
    });
  }

  async fetch(keys: readonly string[]): Promise<void> {
    const { oracle, history, name } = this.#options;
    const floors = keys.map((key) => oracle.beginRead(key));
    const consistency = this.#consistency();
    const start = history.now();
    const records = await this.#reading((node, timeoutMs) =>
      this.#options.wire.call(node, timeoutMs, ({ records: backend }, options) =>
        backend.fetch(COLLECTION, keys, VALUES, { ...options, consistency }),
      ),
    );
    if (records === undefined) return;
    keys.forEach((key, at) => {
      const record = records[at];
      const observed = record && { serial: serialOf(record.values), version: record.version };
      oracle.endRead(key, floors[at], observed);
      history.read({ client: name, start, key, serial: observed?.serial });
    });
    this.#count('applied');
  }

  /** Finds all records there are: each must be fresh, and those that must exist must be there. */
  async search(): Promise<void> {
    const { oracle, findings, random } = this.#options;
    const consistency = this.#consistency();
    const floors = new Map(oracle.keys.map((key) => [key, oracle.beginRead(key)]));
    const query = {
      vector: valuesOf(random.integer(0, 1_000), ''),
      k: SEARCH_LIMIT,
      offset: 0,
      ef: 0,
      includeValues: true,
      includeMetadata: false,
    };
    const answer = await this.#reading((node, timeoutMs) =>
      this.#options.wire.call(node, timeoutMs, ({ records }, options) =>
        records.search(COLLECTION, [query], { ...options, consistency, allowPartial: false }),
      ),
    );
    if (answer === undefined) return;
    const hits = answer.results[0] ?? [];
    const found = new Map(hits.map((hit) => [hit.id, hit]));
    if (found.size !== hits.length) findings.report('no duplicates', 'a search finds an id twice');
    for (const [key, floor] of floors) {
      const hit = found.get(key);
      const observed = hit && { serial: serialOf(hit.values), version: hit.version };
      oracle.endRead(key, floor, observed);
    }
    const distances = hits.map(({ distance }) => distance);
    if (distances.some((distance, at) => distance < (distances[at - 1] ?? 0))) {
      findings.report('search order', `distances ${distances.join(', ')}`);
    }
    this.#count('applied');
  }

  /** What became of each record; never rejects. */
  async #outcomes(
    kind: WriteKind,
    writes: readonly Write[],
    key: RequestKey | undefined,
  ): Promise<readonly WriteOutcome[]> {
    const { nowMs, workload, random, scheduler } = this.#options;
    const endMs = nowMs() + workload.patienceMs;
    const retry = key !== undefined && random.chance(0.5) ? 'client' : 'router';
    const options = { idempotencyKey: key, retry } as const;
    let known: readonly WriteOutcome[] = [];
    let isLost = false;
    for (;;) {
      const timeoutMs = Math.min(workload.attemptMs, endMs - nowMs());
      const attempt = await this.#attempt(kind, writes, options, timeoutMs);
      known = merged(known, isLost ? attempt.outcomes.map(doubted) : attempt.outcomes);
      isLost ||= attempt.isLost;
      if (known.length > 0 && !known.some(isWorthRetrying)) return known;
      await sleep(scheduler, random.next() * RETRY_MS);
      // Without a key of its own, a write of which anything may have happened is not sent again.
      const isSpent = key === undefined && known.some(({ kind: end }) => end !== 'not-applied');
      if (isSpent || this.#stopped || nowMs() >= endMs) return known;
    }
  }

  /** No outcomes where there was nobody to ask. */
  async #attempt(
    kind: WriteKind,
    writes: readonly Write[],
    keyed: Pick<WriteOptions, 'idempotencyKey' | 'retry'>,
    timeoutMs: number,
  ): Promise<{ readonly outcomes: readonly WriteOutcome[]; readonly isLost: boolean }> {
    const { wire, findings } = this.#options;
    const node = this.#someNode();
    if (node === undefined) return { outcomes: [], isLost: false };
    try {
      const { outcomes } = await wire.call(node, timeoutMs, ({ records }, options) => {
        const writing = { ...options, ...keyed };
        if (kind === 'upsert') {
          const batch = writes.map((write) => this.#record(write));
          return records.upsert(COLLECTION, batch, writing);
        }
        const ids = writes.map(({ key }) => key);
        return records.delete(COLLECTION, ids, writing);
      });
      return { outcomes, isLost: false };
    } catch (thrown) {
      const outcome = failedOutcome(thrown, findings);
      return { outcomes: writes.map(() => outcome), isLost: outcome.kind === 'unknown' };
    }
  }

  /** The answer, or `undefined` when none came in time. */
  async #reading<T>(
    attempt: (node: Callee, timeoutMs: number) => Promise<T>,
  ): Promise<T | undefined> {
    const { nowMs, workload, random, scheduler } = this.#options;
    const endMs = nowMs() + workload.patienceMs;
    while (nowMs() < endMs) {
      const node = this.#someNode();
      if (node !== undefined) {
        try {
          return await attempt(node, Math.min(workload.attemptMs, endMs - nowMs()));
        } catch (thrown) {
          if (!isRetryable(thrown, this.#options.findings)) break;
        }
      }
      if (this.#stopped) break;
      await sleep(scheduler, random.next() * RETRY_MS);
    }
    this.#count('not-applied');
    return undefined;
  }

  /** Both are linearizable; where leases are off they are the same. */
  #consistency(): ReadConsistency {
    return this.#options.random.chance(0.5) ? 'leased' : 'strong';
  }

  #record(write: Write): { id: string; values: Uint8Array; metadata: Uint8Array } {
    const { key, serial } = write;
    const { metadataBytes } = this.#options.workload;
    return { id: key, values: valuesOf(serial, key), metadata: metadataOf(serial, metadataBytes) };
  }

  #someNode(): Callee | undefined {
    const nodes = this.#options.nodes();
    return nodes.length === 0 ? undefined : this.#options.random.pick(nodes);
  }

  #someKeys(): string[] {
    const { random, workload } = this.#options;
    const count = random.integer(1, workload.batchMax);
    const keys = Array.from({ length: count }, () => `key-${random.integer(1, workload.keys)}`);
    return [...new Set(keys)];
  }

  #count(kind: WriteEnd['kind']): void {
    if (kind === 'applied') this.counts.ok++;
    else if (kind === 'not-applied') this.counts.failed++;
    else this.counts.unknown++;
  }
}

function weighted<Name extends string>(
  random: SimRandom,
  weights: Readonly<Record<Name, number>>,
): Name {
  const names = Object.keys(weights) as Name[];
  let left = random.next() * names.reduce((sum, name) => sum + weights[name], 0);
  for (const name of names) {
    left -= weights[name];
    if (left < 0) return name;
  }
  return names[0] as Name;
}
