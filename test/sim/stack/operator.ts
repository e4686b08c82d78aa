/**
 * Goal: collections come and go under load, and nobody ever sees one that is not there, or misses
 * one that is. Method: an operator creates, uses and drops one after another, each with a new name.
 */

import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import type { CallOptions } from '../../../src/server/backend.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Findings } from './findings.js';
import { metadataOf, valuesOf } from './record-content.js';
import { collectionNamed } from './workload.js';

export interface OperatorOptions {
  readonly scheduler: Scheduler;
  readonly random: SimRandom;
  readonly wire: ClientWire;
  readonly findings: Findings;
  readonly nodes: () => readonly Callee[];
  readonly pauseMs: number;
}

type Work<T> = (endpoints: EndpointsOptions, options: CallOptions) => Promise<T>;

const ATTEMPT_MS = 3_000;
const RETRY_MS = 100;
const RECORDS = 3;

export class Operator {
  readonly #options: OperatorOptions;
  #stopped = false;
  /** Collections that were created and dropped. */
  rounds = 0;

  constructor(options: OperatorOptions) {
    this.#options = options;
  }

  /** Works until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { scheduler, random, pauseMs } = this.#options;
    for (let round = 1; !this.#stopped; round++) {
      await sleep(scheduler, random.exponential(pauseMs));
      await this.#round(`scratch-${round}`);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #round(name: string): Promise<void> {
    const { findings } = this.#options;
    const created = await this.#untilDone(({ admin }, options) =>
      admin.createCollection(collectionNamed(name), options),
    );
    if (created === 'gave up') return;
    const count = await this.#once(({ records }, options) =>
      records.count(name, undefined, { ...options, consistency: 'strong' }),
    );
    if (count.kind === 'answer' && count.value.count !== 0) {
      findings.report('collections begin empty', `${name} has ${count.value.count} records`);
    }
    this.#assertThere(name, count);
    this.#assertThere(
      name,
      await this.#once(({ records }, options) => write(records, name, options)),
    );
    const dropped = await this.#untilDone(({ admin }, options) =>
      admin.dropCollection(name, options),
    );
    if (dropped === 'gave up') return;
    this.rounds++;
    // An attempt to create it that nobody heard of again may still be on its way.
    if (created === 'done after doubts') return;
    const gone = await this.#once(({ records }, options) =>
      records.count(name, undefined, { ...options, consistency: 'strong' }),
    );
    if (gone.kind === 'answer') {
      findings.report('dropped collections are gone', `${name} still has ${gone.value} records`);
    }
  }

  #assertThere(name: string, outcome: Outcome<unknown>): void {
    if (outcome.kind === 'answer' || outcome.error?.reason !== 'COLLECTION_NOT_FOUND') return;
    this.#options.findings.report('collections are kept', `${name} was created and is not found`);
  }

  /** Tries until it is done: creating and dropping may be repeated. */
  async #untilDone(work: Work<unknown>): Promise<'done' | 'done after doubts' | 'gave up'> {
    const { scheduler, random } = this.#options;
    let hasDoubts = false;
    while (!this.#stopped) {
      const outcome = await this.#once(work);
      if (outcome.kind === 'answer') return hasDoubts ? 'done after doubts' : 'done';
      if (outcome.error?.reason === 'COLLECTION_NOT_FOUND') return 'done after doubts';
      hasDoubts = true;
      await sleep(scheduler, random.next() * RETRY_MS);
    }
    return 'gave up';
  }

  async #once<T>(work: Work<T>): Promise<Outcome<T>> {
    const { random, wire, nodes, findings } = this.#options;
    const running = nodes();
    if (running.length === 0) return { kind: 'error', error: undefined };
    try {
      return { kind: 'answer', value: await wire.call(random.pick(running), ATTEMPT_MS, work) };
    } catch (thrown) {
      if (isFlotillaError(thrown)) {
        if (thrown.reason === 'INTERNAL') findings.report('errors are known', thrown.message);
        return { kind: 'error', error: thrown };
      }
      findings.report('errors are known', String(thrown));
      return { kind: 'error', error: undefined };
    }
  }
}

type Outcome<T> =
  | { readonly kind: 'answer'; readonly value: T }
  | { readonly kind: 'error'; readonly error: FlotillaError | undefined };

function write(
  records: EndpointsOptions['records'],
  name: string,
  options: CallOptions,
): Promise<unknown> {
  const batch = Array.from({ length: RECORDS }, (_, at) => ({
    id: `${name}-${at}`,
    values: valuesOf(at + 1, name),
    metadata: metadataOf(at, 0),
  }));
  return records.upsert(name, batch, { ...options, retry: 'router' });
}
