/**
 * Goal: judge each read by the freshness that it asked for, and by the age that the answer tells.
 *
 * Method: what was complete at any true time is kept, so that an answer of a known age has a floor;
 * a session has the floors of what its client wrote and read. Whatever a read may miss, it shows
 * committed states only.
 */
import { ReadSession } from '../../../src/client/read-session.js';
import type { Consistency, ServedShard } from '../../../src/shared/consistency.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Floor, Observed, RegisterOracle, Write } from './register-oracle.js';
import type { Workload } from './workload.js';

export interface FreshReadsOptions {
  readonly oracle: RegisterOracle;
  readonly random: SimRandom;
  readonly workload: Pick<Workload, 'relaxed' | 'boundsMs'>;
  readonly nowMs: () => number;
}

/** A read's answer, as its node had it. */
export interface NodeAnswer<T> {
  readonly value: T;
  readonly served: readonly ServedShard[];
  /** The node that was asked, and when it had the answer, by the true time. */
  readonly nodeId: number;
  readonly answeredMs: number;
  /** Whether shards are missing. @default false */
  readonly isPartial?: boolean;
}

export interface FreshRead {
  readonly consistency: Consistency;
  /** Whether the read is at one moment of its time, as the history of the register has it. */
  readonly isLinearizable: boolean;
  /** Whether it sees all that its session has seen: then what it does not find is gone since. */
  readonly seesSession: boolean;
  /** What the read must not be older than, for each key; several where it promises several. */
  floorsOf(key: string, answer: NodeAnswer<unknown>): readonly (Floor | undefined)[];
}

/** All reads of one client, which is one session. */
export class FreshReads {
  readonly session = new ReadSession();
  readonly #options: FreshReadsOptions;
  readonly #seen = new Map<string, Floor>();

  constructor(options: FreshReadsOptions) {
    this.#options = options;
  }

  /** Begins a read of these keys. `leased` says which linearizable one it is, if it is one. */
  begin(keys: readonly string[], leased: boolean): FreshRead {
    const { random, workload } = this.#options;
    if (!random.chance(workload.relaxed)) return this.#linearizable(keys, leased);
    const level = random.pick(['session', 'session', 'bounded', 'bounded', 'eventual'] as const);
    switch (level) {
      case 'session':
        return this.#inSession(keys);
      case 'bounded':
        return this.#bounded(random.pick(workload.boundsMs));
      case 'eventual':
        return {
          consistency: 'eventual',
          isLinearizable: false,
          seesSession: false,
          floorsOf: (key, answer) => this.#byAge(key, answer),
        };
    }
  }

  /** The client's write is applied. */
  wrote({ key, kind, serial }: Write, version: bigint): void {
    this.#raise(key, { kind: kind === 'delete' ? 'nothing' : 'record', version, serial });
  }

  /** The client was shown the key: no read of its session may go behind that. */
  saw({ seesSession }: FreshRead, key: string, observed: Observed | undefined): void {
    const { oracle } = this.#options;
    if (observed === undefined) {
      const known = this.#seen.get(key);
      if (seesSession && known !== undefined) this.#seen.set(key, { ...known, kind: 'nothing' });
      return;
    }
    oracle.assertCommitted(key, observed);
    const { serial, version } = observed;
    this.#raise(key, { kind: 'record', version, serial });
  }

  #linearizable(keys: readonly string[], leased: boolean): FreshRead {
    const floors = new Map(keys.map((key) => [key, this.#options.oracle.beginRead(key)]));
    return {
      consistency: leased ? 'leased' : 'strong',
      isLinearizable: true,
      seesSession: true,
      floorsOf: (key, answer) => [floors.get(key), ...this.#byAge(key, answer)],
    };
  }

  #inSession(keys: readonly string[]): FreshRead {
    const floors = new Map(keys.map((key) => [key, this.#seen.get(key)]));
    const { freshness } = this.session.fieldsOf('session');
    return {
      consistency: freshness ?? 'strong',
      isLinearizable: false,
      seesSession: true,
      floorsOf: (key, answer) => [floors.get(key), ...this.#byAge(key, answer)],
    };
  }

  /** Where the moment of the answer is not known, it is at least that of the question. */
  #bounded(boundedMs: number): FreshRead {
    const { oracle, nowMs } = this.#options;
    const startMs = nowMs();
    return {
      consistency: { boundedMs },
      isLinearizable: false,
      seesSession: false,
      floorsOf: (key, answer) => {
        const atMs = answeredHere(answer) === undefined ? startMs : answer.answeredMs;
        return [oracle.floorAt(key, atMs - boundedMs), ...this.#byAge(key, answer)];
      },
    };
  }

  /** The age that the answer tells is itself a promise. */
  #byAge(key: string, answer: NodeAnswer<unknown>): readonly (Floor | undefined)[] {
    const ageMs = answeredHere(answer)?.ageMs;
    if (ageMs === undefined) return [undefined];
    return [this.#options.oracle.floorAt(key, answer.answeredMs - ageMs)];
  }

  #raise(key: string, floor: Floor): void {
    const known = this.#seen.get(key);
    if (known === undefined || floor.version > known.version) this.#seen.set(key, floor);
  }
}

/**
 * What the one replica tells that was asked, where that is the asked node's own. Of a partial
 * answer nobody knows when it came: the node has waited for other shards since.
 */
function answeredHere(answer: NodeAnswer<unknown>): ServedShard | undefined {
  const { served, nodeId, isPartial = false } = answer;
  const [first, ...others] = served;
  return !isPartial && others.length === 0 && first?.nodeId === nodeId ? first : undefined;
}
