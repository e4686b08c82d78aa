/**
 * Registers: each record is one; clients write, delete and read it, and each answer counts. Leased
 * reads are held to the same as strong ones.
 */
import type { Fault, RegisterOperation } from '../../history/operation.js';
import { checkRegister } from '../../history/register.js';
import { acknowledged, type Workload, type WorkloadWorld } from './workload.js';

const COLLECTION = 'registers';
const KEYS = 8;
/** Then new ones take over: the checker's work grows faster than the history of a key. */
const OPERATIONS_PER_KEY = 300;

export class RegisterWorkload implements Workload {
  readonly name = 'register';
  readonly #world: WorkloadWorld;
  readonly #recorder;
  #operations = 0;
  #values = 0;

  constructor(world: WorkloadWorld) {
    this.#world = world;
    this.#recorder = world.recorder<RegisterOperation>();
  }

  async prepare(): Promise<void> {
    const collection = { name: COLLECTION, dimension: 1, metric: 'l2' } as const;
    await this.#world.client(0).createCollection(collection);
  }

  async operate(clientAt: number): Promise<void> {
    const generation = Math.floor(this.#operations++ / (KEYS * OPERATIONS_PER_KEY));
    const key = `r${generation}.${this.#world.pick(KEYS)}`;
    const dice = this.#world.random();
    if (dice < 0.45) await this.#write(clientAt, key);
    else if (dice < 0.55) await this.#delete(clientAt, key);
    else await this.#read(clientAt, key, dice < 0.8 ? 'leased' : 'strong');
  }

  async finish(): Promise<void> {
    const keys = new Set(this.#recorder.history.map(({ key }) => key));
    for (const key of keys) {
      const { outcome, error } = await this.#read(0, key);
      if (outcome !== 'ok') throw new Error(`the final read of ${key} failed`, { cause: error });
    }
  }

  faults(): Fault[] {
    return checkRegister(this.#recorder.history);
  }

  async #write(clientAt: number, key: string): Promise<void> {
    const value = ++this.#values;
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      () => acknowledged(this.#records(clientAt).upsert([{ id: key, values: [value] }])),
      (times, told) => ({ ...times, op: 'write', key, value, existed: told?.existed }),
    );
    this.#world.note(span, 'write', this.#world.keys.shardOf(key));
  }

  async #delete(clientAt: number, key: string): Promise<void> {
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      () => acknowledged(this.#records(clientAt).delete([key])),
      (times, told) => ({ ...times, op: 'delete', key, existed: told?.existed }),
    );
    this.#world.note(span, 'write', this.#world.keys.shardOf(key));
  }

  async #read(
    clientAt: number,
    key: string,
    consistency: 'strong' | 'leased' = 'strong',
  ): Promise<RegisterOperation> {
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      async () => (await this.#records(clientAt).fetch([key], { consistency }))[0]?.values?.[0],
      (times, value) => ({ ...times, op: 'read', key, value }),
    );
    this.#world.note(span, 'read', this.#world.keys.shardOf(key));
    return span;
  }

  #records(clientAt: number) {
    return this.#world.client(clientAt).collection(COLLECTION);
  }
}
