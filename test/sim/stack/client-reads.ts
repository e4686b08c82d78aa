/**
 * Goal: everything that a client reads is what it may be: fresh, whole, and its tenant's. Method:
 * each answer goes to the oracle, with what was complete when it was asked for.
 */
import type { CallOptions, RecordsBackend } from '../../../src/server/backend.js';
import type { Consistency, ServedShard } from '../../../src/shared/consistency.js';
import { comparePositions, type ScrollPosition } from '../../../src/shared/scroll-position.js';
import type { Version } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import { describeScope, HOME, idOf, keyOf, type Scope, spaceOf } from './address.js';
import type { Caller } from './caller.js';
import type { Findings } from './findings.js';
import type { FreshRead, FreshReads, NodeAnswer } from './fresh-reads.js';
import type { StackHistory } from './history.js';
import type { Coverage, PartialAnswers } from './partial-answers.js';
import { authorsRead, groupFilter, valuesOf } from './record-content.js';
import type { Floor, Observed, RegisterOracle } from './register-oracle.js';
import type { Workload } from './workload.js';

export interface ClientReadsOptions {
  readonly name: string;
  readonly random: SimRandom;
  readonly workload: Pick<Workload, 'questions' | 'partial'>;
  readonly nowMs: () => number;
  readonly caller: Caller;
  /** What the client's session has seen. */
  readonly reads: FreshReads;
  readonly oracle: RegisterOracle;
  readonly partials: PartialAnswers;
  readonly history: StackHistory;
  readonly findings: Findings;
  /** Told what the client was shown. */
  readonly learn: (key: string, observed: Observed) => void;
  /** Told whether a read was answered. */
  readonly count: (end: 'applied' | 'not-applied') => void;
}

/** A record as any read shows it. */
interface ShownRecord {
  readonly id: string;
  readonly tenant?: string | undefined;
  readonly version: Version;
  readonly values?: Uint8Array | undefined;
  readonly metadata?: Uint8Array | undefined;
}

interface Answer {
  readonly served: readonly ServedShard[];
}

interface Found {
  /** By key. */
  readonly records: ReadonlyMap<string, Observed>;
  readonly coverage: Coverage;
}

/** Of reads that do without no shard. */
const WHOLE: Coverage = { isWhole: true, answering: new Set() };

const EVERYTHING = { values: true, metadata: true } as const;
const INCLUDED = { includeValues: true, includeMetadata: true } as const;
const SEARCH_LIMIT = 100;
const PAGE_LIMIT = 3;

export class ClientReads {
  readonly #options: ClientReadsOptions;
  /** Which searches may do without shards. */
  readonly #allowance: SimRandom;

  constructor(options: ClientReadsOptions) {
    this.#options = options;
    this.#allowance = options.random.fork('partial');
  }

  /** Of keys of one space. */
  async fetch(keys: readonly string[]): Promise<void> {
    const { history, name, reads } = this.#options;
    const { collection, tenant } = spaceOf(keys[0] ?? '');
    const read = reads.begin(keys, this.#isLeased());
    const start = history.now();
    const { consistency } = read;
    const answer = await this.#read((backend, options) =>
      backend.fetch(collection, keys.map(idOf), EVERYTHING, { ...options, consistency, tenant }),
    );
    if (answer === undefined) return this.#options.count('not-applied');
    keys.forEach((key, at) => {
      const record = answer.value.records[at];
      const observed = record && this.#observed({ collection, tenant }, record);
      this.#judge(read, key, observed, answer, WHOLE);
      if (read.isLinearizable) history.read({ client: name, start, key, serial: observed?.serial });
    });
    this.#options.count('applied');
  }

  /**
   * Finds all records there are: each must be fresh, and those that must exist must be there, but
   * for those of shards that the answer says are missing.
   */
  async search(scope: Scope = HOME): Promise<void> {
    const { oracle, reads } = this.#options;
    const keys = oracle.keysIn(scope);
    const read = reads.begin(keys, this.#isLeased());
    const answer = await this.#found(scope, read);
    if (answer === undefined) return;
    const { records, coverage } = answer.value;
    for (const key of keys) this.#judge(read, key, records.get(key), answer, coverage);
  }

  async searchGroup(scope: Scope, group: number): Promise<void> {
    const { oracle, reads } = this.#options;
    const keys = oracle.keysIn(scope);
    const read = reads.begin(keys, this.#isLeased());
    const answer = await this.#found(scope, read, groupFilter(group));
    if (answer === undefined) return;
    const { records, coverage } = answer.value;
    for (const key of keys) {
      const observed = records.get(key);
      for (const floor of this.#owed(read, key, observed, answer, coverage)) {
        oracle.endGroupRead(group, key, floor, observed);
      }
      // A key that is not found may be in another group.
      if (observed !== undefined) reads.saw(read, key, observed);
    }
  }

  async countRecords(scope: Scope): Promise<void> {
    const { oracle, count } = this.#options;
    const floors = oracle.beginReads(scope);
    const consistency = this.#linearizable();
    const answer = await this.#read((backend, options) =>
      backend.count(scope.collection, undefined, { ...options, consistency, ...choice(scope) }),
    );
    if (answer === undefined) return count('not-applied');
    oracle.endCount(scope, floors, answer.value.count);
    count('applied');
  }

  /** All pages, one after the other: what was there all the while is on one of them. */
  async scroll(scope: Scope): Promise<void> {
    const { oracle, count, learn } = this.#options;
    const floors = oracle.beginReads(scope);
    const consistency = this.#linearizable();
    const found = new Map<string, Observed>();
    let after: ScrollPosition | undefined;
    do {
      const query = { limit: PAGE_LIMIT, ...(after !== undefined && { after }), ...INCLUDED };
      const answer = await this.#read((backend, options) =>
        backend.scroll(scope.collection, query, { ...options, consistency, ...choice(scope) }),
      );
      if (answer === undefined) return count('not-applied');
      const { records, next } = answer.value;
      this.#assertInOrder(scope, after, records, next);
      for (const record of records) {
        found.set(keyIn(scope, record), this.#observed(scope, record));
      }
      after = next;
    } while (after !== undefined);
    for (const [key, floor] of floors) {
      const observed = found.get(key);
      oracle.endRead(key, floor, observed);
      if (observed !== undefined) learn(key, observed);
    }
    count('applied');
  }

  /** What a search finds, by key; undefined where no answer came. */
  async #found(
    scope: Scope,
    { consistency }: FreshRead,
    filter?: Uint8Array,
  ): Promise<NodeAnswer<Found> | undefined> {
    const { findings, partials, random, workload, count } = this.#options;
    const query = {
      vector: valuesOf(random.integer(0, workload.questions - 1), ''),
      k: SEARCH_LIMIT,
      offset: 0,
      ef: 0,
      ...INCLUDED,
      ...(filter !== undefined && { filter }),
    };
    const allowPartial = this.#allowance.chance(workload.partial);
    const common = { consistency, allowPartial, ...choice(scope) };
    const answer = await this.#read((backend, options) =>
      backend.search(scope.collection, [query], { ...options, ...common }),
    );
    if (answer === undefined) {
      count('not-applied');
      return undefined;
    }
    const hits = answer.value.results[0] ?? [];
    const distances = hits.map(({ distance }) => distance);
    if (distances.some((distance, at) => distance < (distances[at - 1] ?? 0))) {
      findings.report('search order', `distances ${distances.join(', ')}`);
    }
    const records = new Map(hits.map((hit) => [keyIn(scope, hit), this.#observed(scope, hit)]));
    if (records.size !== hits.length)
      findings.report('no duplicates', 'a search finds an id twice');
    const coverage = partials.coverageOf(answer.value, allowPartial);
    for (const [key, observed] of records) partials.judgeHit(coverage, key, observed);
    count('applied');
    return { ...answer, value: { records, coverage }, isPartial: !coverage.isWhole };
  }

  /** The answer, and what is known of it at the node; `undefined` when none came in time. */
  async #read<T extends Answer>(
    send: (backend: RecordsBackend, options: CallOptions) => Promise<T>,
  ): Promise<NodeAnswer<T> | undefined> {
    const { nowMs, caller, reads } = this.#options;
    const answer = await caller.read(async (backend, options, nodeId) => {
      const value = await send(backend, options);
      return { value, served: value.served, nodeId, answeredMs: nowMs() };
    });
    if (answer !== undefined) reads.session.note(answer.served);
    return answer;
  }

  #observed(scope: Scope, record: ShownRecord): Observed {
    const { values, metadata, version } = record;
    const observed = { ...authorsRead(values, metadata), version };
    this.#options.oracle.assertIsolated(scope, keyIn(scope, record), observed);
    return observed;
  }

  #judge(
    read: FreshRead,
    key: string,
    observed: Observed | undefined,
    answer: NodeAnswer<unknown>,
    coverage: Coverage,
  ): void {
    const { oracle, reads, learn } = this.#options;
    for (const floor of this.#owed(read, key, observed, answer, coverage)) {
      oracle.endRead(key, floor, observed);
    }
    // What a part does not show need not be gone.
    if (observed !== undefined || coverage.isWhole) reads.saw(read, key, observed);
    if (observed !== undefined) learn(key, observed);
  }

  /** What the answer must not be older than. */
  #owed(
    read: FreshRead,
    key: string,
    observed: Observed | undefined,
    answer: NodeAnswer<unknown>,
    coverage: Coverage,
  ): readonly (Floor | undefined)[] {
    const floors = read.floorsOf(key, answer);
    return observed === undefined ? this.#options.partials.owed(coverage, key, floors) : floors;
  }

  /** Pages go on where the one before has ended, and end no later than they say. */
  #assertInOrder(
    scope: Scope,
    after: ScrollPosition | undefined,
    records: readonly ShownRecord[],
    next: ScrollPosition | undefined,
  ): void {
    const shown = records.map(({ id, tenant = '' }) => ({ id, tenant }));
    const places = [...shown, ...(next === undefined ? [] : [next])];
    // A page may end with the record that it says it has come to.
    const isLate = places.findIndex((place, at) => {
      const before = at === 0 ? after : places[at - 1];
      const isEnd = at === shown.length && at > 0;
      const order = before === undefined ? -1 : comparePositions(before, place);
      return isEnd ? order > 0 : order >= 0;
    });
    if (isLate < 0) return;
    const message = `${describeScope(scope)}: ${JSON.stringify([after, ...places])}`;
    this.#options.findings.report('scroll order', message);
  }

  /** Or strong: both are linearizable, and where leases are off the same. */
  #isLeased(): boolean {
    return this.#options.random.chance(0.5);
  }

  #linearizable(): Consistency {
    return this.#isLeased() ? 'leased' : 'strong';
  }
}

/** How a call says whose records it is about. */
function choice({ tenant }: Scope): { readonly tenant?: string; readonly allTenants?: boolean } {
  return tenant === undefined ? { allTenants: true } : { tenant };
}

/** Under which name the record is in the run: whose it is, the answer says. */
function keyIn({ collection, tenant: asked }: Scope, { tenant = asked, id }: ShownRecord): string {
  return keyOf({ collection, tenant: tenant ?? '' }, id);
}
