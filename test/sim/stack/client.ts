/**
 * Goal: clients that behave as the SDK does, and see everything that users see.
 *
 * Method: each makes one call after another, and tells the oracle and the history what it was told.
 */

import { Session } from '../../../src/client/session.js';
import type { NewRecord } from '../../../src/server/backend.js';
import { unreachable } from '../../../src/shared/assert.js';
import { sleep } from '../../../src/shared/environment.js';
import type { Version, WriteCondition } from '../../../src/shared/types.js';
import type { SimRandom } from '../kit/sim-random.js';
import { HOME, idOf, keyOf, type Scope, type Space, spaceOf } from './address.js';
import { Caller, type CallerOptions, type SendWrite } from './caller.js';
import { ClientReads } from './client-reads.js';
import { FreshReads } from './fresh-reads.js';
import type { StackHistory } from './history.js';
import { endOf, existedOf, UNKNOWN } from './outcomes.js';
import type { PartialAnswers } from './partial-answers.js';
import { GROUPS, groupFilter, metadataOf, patchOf, valuesOf } from './record-content.js';
import type { Demand, RegisterOracle, Write, WriteEnd, WriteKind } from './register-oracle.js';
import type { Tenancy } from './tenants.js';
import type { Workload } from './workload.js';

export interface ClientOptions extends Omit<CallerOptions, 'onWritten'> {
  readonly name: string;
  readonly workload: Workload;
  readonly oracle: RegisterOracle;
  readonly partials: PartialAnswers;
  readonly history: StackHistory;
  /** Where it writes and reads at the moment. @default nobody's records */
  readonly spaces?: (() => readonly Space[]) | undefined;
  /** Absent where all records are nobody's. */
  readonly tenancy?: Tenancy | undefined;
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

/** In runs without tenants, which are what they were before there were such operations. */
const NO_LISTS = { count: 0, scroll: 0 } as const;
/** Share of the searches that ask for one group. */
const FILTERED = 0.5;

export class SimulatedClient {
  readonly #options: ClientOptions;
  readonly #session: Session;
  readonly #caller: Caller;
  readonly #seen: FreshReads;
  readonly #reads: ClientReads;
  /** Where the next operation is. */
  readonly #whereabouts: SimRandom;
  /** The newest that it knows of each key. */
  readonly #known = new Map<string, { readonly serial: number; readonly version: Version }>();
  readonly counts: ClientCounts = { ok: 0, failed: 0, unknown: 0, conflicts: 0, swaps: 0 };

  constructor(options: ClientOptions) {
    this.#options = options;
    const { oracle, random, workload, nowMs } = options;
    this.#whereabouts = random.fork('whereabouts');
    this.#seen = new FreshReads({ oracle, random: random.fork('freshness'), workload, nowMs });
    const { session } = this.#seen;
    this.#caller = new Caller({ ...options, onWritten: (written) => session.note(written) });
    this.#reads = new ClientReads({
      ...options,
      caller: this.#caller,
      reads: this.#seen,
      learn: (key, observed) => void this.#known.set(key, observed),
      count: (end) => this.#count(end),
    });
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
    const { random, workload, tenancy } = this.#options;
    const kind = weighted(random, { ...workload.shares, ...(tenancy?.shares ?? NO_LISTS) });
    switch (kind) {
      case 'upsert':
      case 'patch':
      case 'delete':
        return this.#write(kind, this.#someIntents(kind));
      case 'fetch':
        return this.#reads.fetch(this.#someKeys());
      case 'search':
        return this.#search(this.#someScope());
      case 'sweep':
        return this.sweep(random.integer(0, GROUPS - 1), this.#someSpace());
      case 'count':
        return this.#reads.countRecords(this.#someScope());
      case 'scroll':
        return this.#reads.scroll(this.#someScope());
      default:
        return unreachable(kind);
    }
  }

  /** One request for several records of one space. Resolves when each of them has an outcome. */
  write(kind: WriteKind, keys: readonly string[]): Promise<void> {
    const intents = keys.map((key) => ({ key }));
    return this.#write(kind, intents);
  }

  /** Of keys of one space. */
  fetch(keys: readonly string[]): Promise<void> {
    return this.#reads.fetch(keys);
  }

  search(scope?: Scope): Promise<void> {
    return this.#reads.search(scope);
  }

  /** Deletes all records of a group. */
  async sweep(group: number, space: Space = HOME): Promise<void> {
    const { oracle } = this.#options;
    const { collection, tenant } = space;
    const floors = oracle.beginSweep(group, space);
    const filter = groupFilter(group);
    const answer = await this.#caller.read((backend, options) =>
      backend.deleteByFilter(collection, { filter }, { ...options, tenant }),
    );
    if (answer === undefined) return this.#count('not-applied');
    if (answer.next === undefined) oracle.endSweep(group, floors, space);
    this.#count('applied');
  }

  #search(scope: Scope): Promise<void> {
    const { random } = this.#options;
    if (!random.chance(FILTERED)) return this.#reads.search(scope);
    return this.#reads.searchGroup(scope, random.integer(0, GROUPS - 1));
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
    const { collection, tenant } = spaceOf(writes[0]?.key ?? '');
    switch (kind) {
      case 'upsert': {
        const records = writes.map((write) => this.#record(write));
        return (backend, options) => backend.upsert(collection, records, { ...options, tenant });
      }
      case 'patch': {
        const patches = writes.map(({ key, serial, demand }) => {
          return { id: idOf(key), metadata: patchOf(serial), condition: conditionOf(demand) };
        });
        return (backend, options) => backend.patch(collection, patches, { ...options, tenant });
      }
      case 'delete': {
        const ids = writes.map(({ key }) => idOf(key));
        const ifVersions = writes.map(({ demand }) =>
          demand?.kind === 'version' ? demand.version : undefined,
        );
        return (backend, options) =>
          backend.delete(collection, ids, { ...options, tenant, ifVersions });
      }
      default:
        return unreachable(kind);
    }
  }

  #record({ key, serial, demand }: Write): NewRecord {
    const { metadataBytes, expiring } = this.#options.workload;
    const expires = this.#options.random.chance(expiring.share);
    return {
      id: idOf(key),
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
      this.#seen.wrote(write, end.version);
      if (kind === 'delete') this.#known.delete(key);
      else this.#known.set(key, { serial, version: end.version });
    }
    const isMet = end.kind === 'not-applied' && end.met !== undefined;
    if (isMet) this.counts.conflicts++;
    this.#count(isMet ? 'applied' : end.kind);
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
    const { random, workload, tenancy } = this.#options;
    const space = this.#someSpace();
    const keys = space === HOME ? workload.keys : (tenancy?.keys ?? 1);
    const count = random.integer(1, workload.batchMax);
    const ids = Array.from({ length: count }, () => `key-${random.integer(1, keys)}`);
    return [...new Set(ids)].map((id) => keyOf(space, id));
  }

  #someSpace(): Space {
    const spaces = this.#options.spaces?.() ?? [];
    return spaces.length > 1 ? this.#whereabouts.pick(spaces) : (spaces[0] ?? HOME);
  }

  #someScope(): Scope {
    const { allTenants = 0 } = this.#options.tenancy ?? {};
    const space = this.#someSpace();
    if (!this.#whereabouts.chance(allTenants)) return space;
    return { collection: space.collection, tenant: undefined };
  }

  #count(kind: WriteEnd['kind']): void {
    if (kind === 'applied') this.counts.ok++;
    else if (kind === 'not-applied') this.counts.failed++;
    else this.counts.unknown++;
  }
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
