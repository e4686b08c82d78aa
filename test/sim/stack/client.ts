/**
 * Goal: clients that behave as the SDK does, and see everything that users see.
 *
 * Method: each makes one call after another, and tells the oracle and the history what it was told.
 */

import { Session } from '../../../src/client/session.js';
import type { CallOptions, NewRecord, RecordsBackend } from '../../../src/server/backend.js';
import { unreachable } from '../../../src/shared/assert.js';
import type { ServedShard } from '../../../src/shared/consistency.js';
import { sleep } from '../../../src/shared/environment.js';
import type { Version, WriteCondition } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import { Caller, type CallerOptions, type SendWrite } from './caller.js';
import { type FreshRead, FreshReads, type NodeAnswer } from './fresh-reads.js';
import type { StackHistory } from './history.js';
import { endOf, existedOf, UNKNOWN } from './outcomes.js';
import {
  authorsRead,
  GROUPS,
  groupFilter,
  metadataOf,
  patchOf,
  valuesOf,
} from './record-content.js';
import type {
  Demand,
  Observed,
  RegisterOracle,
  Write,
  WriteEnd,
  WriteKind,
} from './register-oracle.js';
import { COLLECTION, type Workload } from './workload.js';

export interface ClientOptions extends Omit<CallerOptions, 'onWritten'> {
  readonly name: string;
  readonly workload: Workload;
  readonly oracle: RegisterOracle;
  readonly history: StackHistory;
}

export interface ClientCounts {
  ok: number;
  failed: number;
  unknown: number;
  /** Of the `ok` ones: writes whose condition did not hold. */
  conflicts: number;
  /** Of the `ok` ones: writes whose condition held. */
  swaps: number;
}

/** What a client means to do to a record. */
interface Intent {
  readonly key: string;
  readonly demand?: Demand | undefined;
}

const EVERYTHING = { values: true, metadata: true } as const;
const SEARCH_LIMIT = 100;
/** Share of the searches that ask for one group. */
const FILTERED = 0.5;

export class SimulatedClient {
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly #caller: Caller;
  readonly #reads: FreshReads;
  /** The newest that it knows of each key. */
  readonly #known = new Map<string, { readonly serial: number; readonly version: Version }>();
  readonly counts: ClientCounts = { ok: 0, failed: 0, unknown: 0, conflicts: 0, swaps: 0 };

  constructor(options: ClientOptions) {
    this.#options = options;
    const { oracle, random, workload, nowMs } = options;
    this.#reads = new FreshReads({ oracle, random: random.fork('freshness'), workload, nowMs });
    const { session } = this.#reads;
    this.#caller = new Caller({ ...options, onWritten: (written) => session.note(written) });
    this.#session = new Session(options.name, 1_700_000_000_000);
  }

  /** Works until `stop`; resolves when the last operation is over. Never rejects. */
  async run(): Promise<void> {
    const { random, workload, scheduler } = this.#options;
    while (!this.#caller.isStopped) {
      await sleep(scheduler, random.exponential(workload.pauseMs));
      if (!this.#caller.isStopped) await this.once();
    }
  }

  stop(): void {
    this.#caller.stop();
  }

  /** One operation, drawn from the workload. */
  async once(): Promise<void> {
    const { random, workload } = this.#options;
    const kind = weighted(random, workload.shares);
    switch (kind) {
      case 'upsert':
      case 'patch':
      case 'delete':
        return this.#write(kind, this.#someIntents(kind));
      case 'fetch':
        return this.fetch(this.#someKeys());
      case 'search':
        return random.chance(FILTERED) ? this.#searchGroup() : this.search();
      case 'sweep':
        return this.sweep(random.integer(0, GROUPS - 1));
      default:
        return unreachable(kind);
    }
  }

  /** One request for several records. Resolves when every one of them has an outcome. */
  write(kind: WriteKind, keys: readonly string[]): Promise<void> {
    const intents = keys.map((key) => ({ key }));
    return this.#write(kind, intents);
  }

  async fetch(keys: readonly string[]): Promise<void> {
    const { history, name } = this.#options;
    const read = this.#reads.begin(keys, this.#isLeased());
    const start = history.now();
    const answer = await this.#read((backend, options) =>
      backend.fetch(COLLECTION, keys, EVERYTHING, { ...options, consistency: read.consistency }),
    );
    if (answer === undefined) return this.#count('not-applied');
    keys.forEach((key, at) => {
      const observed = observedOf(answer.value.records[at]);
      this.#judge(read, key, observed, answer);
      if (read.isLinearizable) history.read({ client: name, start, key, serial: observed?.serial });
    });
    this.#count('applied');
  }

  /** Finds all records there are: each must be fresh, and those that must exist must be there. */
  async search(): Promise<void> {
    const { keys } = this.#options.oracle;
    const read = this.#reads.begin(keys, this.#isLeased());
    const answer = await this.#found(read);
    if (answer === undefined) return;
    for (const key of keys) this.#judge(read, key, answer.value.get(key), answer);
  }

  /** Deletes all records of a group. */
  async sweep(group: number): Promise<void> {
    const { oracle } = this.#options;
    const floors = oracle.beginSweep(group);
    const filter = groupFilter(group);
    const answer = await this.#caller.read((backend, options) =>
      backend.deleteByFilter(COLLECTION, { filter }, options),
    );
    if (answer === undefined) return this.#count('not-applied');
    if (answer.next === undefined) oracle.endSweep(group, floors);
    this.#count('applied');
  }

  async #searchGroup(): Promise<void> {
    const { oracle, random } = this.#options;
    const group = random.integer(0, GROUPS - 1);
    const { keys } = oracle;
    const read = this.#reads.begin(keys, this.#isLeased());
    const answer = await this.#found(read, groupFilter(group));
    if (answer === undefined) return;
    for (const key of keys) {
      const observed = answer.value.get(key);
      for (const floor of read.floorsOf(key, answer)) {
        oracle.endGroupRead(group, key, floor, observed);
      }
      // A key that is not found may be in another group.
      if (observed !== undefined) this.#reads.saw(read, key, observed);
    }
  }

  /** What a search finds, by key; undefined where no answer came. */
  async #found(
    { consistency }: FreshRead,
    filter?: Uint8Array,
  ): Promise<NodeAnswer<ReadonlyMap<string, Observed>> | undefined> {
    const { findings, random } = this.#options;
    const query = {
      vector: valuesOf(random.integer(0, 1_000), ''),
      k: SEARCH_LIMIT,
      offset: 0,
      ef: 0,
      includeValues: true,
      includeMetadata: true,
      ...(filter !== undefined && { filter }),
    };
    const answer = await this.#read((backend, options) =>
      backend.search(COLLECTION, [query], { ...options, consistency, allowPartial: false }),
    );
    if (answer === undefined) {
      this.#count('not-applied');
      return undefined;
    }
    const hits = answer.value.results[0] ?? [];
    const distances = hits.map(({ distance }) => distance);
    if (distances.some((distance, at) => distance < (distances[at - 1] ?? 0))) {
      findings.report('search order', `distances ${distances.join(', ')}`);
    }
    const found = new Map<string, Observed>();
    for (const hit of hits) {
      const observed = observedOf(hit);
      if (observed !== undefined) found.set(hit.id, observed);
    }
    if (found.size !== hits.length) findings.report('no duplicates', 'a search finds an id twice');
    this.#count('applied');
    return { ...answer, value: found };
  }

  /** The answer, and what is known of it at the node; `undefined` when none came in time. */
  async #read<T extends { readonly served: readonly ServedShard[] }>(
    send: (backend: RecordsBackend, options: CallOptions) => Promise<T>,
  ): Promise<NodeAnswer<T> | undefined> {
    const { nowMs } = this.#options;
    const answer = await this.#caller.read(async (backend, options, nodeId) => {
      const value = await send(backend, options);
      return { value, served: value.served, nodeId, answeredMs: nowMs() };
    });
    if (answer !== undefined) this.#reads.session.note(answer.served);
    return answer;
  }

  #judge(
    read: FreshRead,
    key: string,
    observed: Observed | undefined,
    answer: NodeAnswer<unknown>,
  ): void {
    const { oracle } = this.#options;
    for (const floor of read.floorsOf(key, answer)) oracle.endRead(key, floor, observed);
    this.#reads.saw(read, key, observed);
    this.#learn(key, observed);
  }

  async #write(kind: WriteKind, intents: readonly Intent[]): Promise<void> {
    const { oracle, history, name, random } = this.#options;
    const writes = intents.map(({ key, demand }) => oracle.beginWrite(key, kind, demand));
    const start = history.now();
    // Without a key of the client's, the node's router makes one and tries again by itself. Deletes
    // have one always: that is how the log tells them from those of a sweep.
    const isKeyed = kind === 'delete' || random.chance(0.8);
    const requestKey = isKeyed ? this.#session.take() : undefined;
    const outcomes = await this.#caller.write(
      writes.length,
      requestKey,
      this.#request(kind, writes),
    );
    if (requestKey !== undefined) this.#session.release(requestKey);
    writes.forEach((write, at) => {
      const outcome = outcomes[at] ?? UNKNOWN;
      const end = endOf(outcome);
      oracle.endWrite(write, end);
      const metSerial = this.#metSerial(write, end);
      const existed = existedOf(outcome);
      history.wrote({ client: name, start, write, outcome: end, existed, metSerial });
      this.#note(write, end);
    });
  }

  #request(kind: WriteKind, writes: readonly Write[]): SendWrite {
    const ids = writes.map(({ key }) => key);
    switch (kind) {
      case 'upsert': {
        const records = writes.map((write) => this.#record(write));
        return (backend, options) => backend.upsert(COLLECTION, records, options);
      }
      case 'patch': {
        const patches = writes.map(({ key, serial, demand }) => {
          return { id: key, metadata: patchOf(serial), condition: conditionOf(demand) };
        });
        return (backend, options) => backend.patch(COLLECTION, patches, options);
      }
      case 'delete': {
        const ifVersions = writes.map(({ demand }) =>
          demand?.kind === 'version' ? demand.version : undefined,
        );
        return (backend, options) => backend.delete(COLLECTION, ids, { ...options, ifVersions });
      }
      default:
        return unreachable(kind);
    }
  }

  #record({ key, serial, demand }: Write): NewRecord {
    const { metadataBytes, expiring } = this.#options.workload;
    const expires = this.#options.random.chance(expiring.share);
    return {
      id: key,
      values: valuesOf(serial, key),
      metadata: metadataOf(serial, metadataBytes),
      condition: conditionOf(demand),
      ...(expires && { ttlMs: expiring.ttlMs }),
    };
  }

  /** Whose record a condition met that did not hold. */
  #metSerial({ key }: Write, end: WriteEnd): number | undefined {
    const met = end.kind === 'not-applied' ? end.met : undefined;
    return met?.kind === 'record' ? this.#options.oracle.serialAt(key, met.version) : undefined;
  }

  #note(write: Write, end: WriteEnd): void {
    const { key, kind, serial, demand } = write;
    if (end.kind === 'applied') {
      if (demand !== undefined) this.counts.swaps++;
      this.#reads.wrote(write, end.version);
      if (kind === 'delete') this.#known.delete(key);
      else this.#known.set(key, { serial, version: end.version });
    }
    const isMet = end.kind === 'not-applied' && end.met !== undefined;
    if (isMet) this.counts.conflicts++;
    this.#count(isMet ? 'applied' : end.kind);
  }

  #learn(key: string, observed: Observed | undefined): void {
    if (observed !== undefined) this.#known.set(key, observed);
  }

  /** Or strong: both are linearizable, and where leases are off the same. */
  #isLeased(): boolean {
    return this.#options.random.chance(0.5);
  }

  #someIntents(kind: WriteKind): Intent[] {
    return this.#someKeys().map((key) => ({ key, demand: this.#someDemand(kind, key) }));
  }

  /** Of what the client knows some is old: then the condition does not hold. */
  #someDemand(kind: WriteKind, key: string): Demand | undefined {
    const { random, workload } = this.#options;
    if (!random.chance(workload.conditional)) return undefined;
    const known = this.#known.get(key);
    const version = known && ({ kind: 'version', ...known } as const);
    if (kind !== 'upsert') return version;
    return random.pick([{ kind: 'absent' }, { kind: 'exists' }, version, version] as const);
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

function observedOf(
  record:
    | {
        readonly version: Version;
        readonly values?: Uint8Array | undefined;
        readonly metadata?: Uint8Array | undefined;
      }
    | undefined,
): Observed | undefined {
  if (record === undefined) return undefined;
  return { ...authorsRead(record.values, record.metadata), version: record.version };
}

function conditionOf(demand: Demand | undefined): WriteCondition | undefined {
  return demand?.kind === 'version' ? { kind: 'version', version: demand.version } : demand;
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
