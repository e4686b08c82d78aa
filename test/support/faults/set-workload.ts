/** Sets: records are added and some are removed; now and then a whole set is read. */
import type { Fault, SetOperation } from '../../history/operation.js';
import { checkSet } from '../../history/set.js';
import { acknowledged, type Workload, type WorkloadWorld } from './workload.js';

const COLLECTION = 'sets';
/** Values of a set, in the order in which they are added; then the next set begins. */
const VALUES_PER_SET = 300;

export class SetWorkload implements Workload {
  readonly name = 'set';
  readonly #world: WorkloadWorld;
  readonly #recorder;
  #added = 0;
  /** Acknowledged and not yet asked to go. */
  readonly #removable: string[] = [];

  constructor(world: WorkloadWorld) {
    this.#world = world;
    this.#recorder = world.recorder<SetOperation>();
  }

  async prepare(): Promise<void> {
    const collection = { name: COLLECTION, dimension: 1, metric: 'l2' } as const;
    await this.#world.client(0).createCollection(collection);
  }

  async operate(clientAt: number): Promise<void> {
    const dice = this.#world.random();
    const removed = dice < 0.2 ? this.#removable.shift() : undefined;
    if (removed !== undefined) await this.#change(clientAt, 'remove', removed);
    else if (dice > 0.97) await this.#readAll(clientAt, this.#setOf(this.#added));
    else await this.#add(clientAt);
  }

  async finish(): Promise<void> {
    for (let set = 0; set <= this.#setOf(this.#added); set++) {
      const { outcome, error } = await this.#readAll(0, set);
      if (outcome !== 'ok')
        throw new Error(`the final read of set ${set} failed`, { cause: error });
    }
  }

  faults(): Fault[] {
    return [...checkSet(this.#recorder.history)];
  }

  /** What the final reads found, to be compared with the collection's own count. */
  get finalCount(): number {
    const last = new Map<string, number>();
    for (const one of this.#recorder.history) {
      if (one.op === 'read-all' && one.outcome === 'ok') last.set(one.key, one.values.length);
    }
    return [...last.values()].reduce((sum, count) => sum + count, 0);
  }

  count(): Promise<number> {
    return this.#records(0).count();
  }

  async #add(clientAt: number): Promise<void> {
    const at = this.#added++;
    const value = memberId(this.#setOf(at), at % VALUES_PER_SET);
    const outcome = await this.#change(clientAt, 'add', value);
    if (outcome === 'ok') this.#removable.push(value);
  }

  async #change(clientAt: number, op: 'add' | 'remove', value: string) {
    const key = value.slice(0, value.indexOf('.'));
    const write = () =>
      op === 'add'
        ? this.#records(clientAt).upsert([{ id: value, values: [1] }])
        : this.#records(clientAt).delete([value]);
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      () => acknowledged(write()),
      (times) => ({ ...times, op, key, value }),
    );
    this.#world.note(span, 'write', this.#world.keys.shardOf(value));
    return span.outcome;
  }

  async #readAll(clientAt: number, set: number): Promise<SetOperation> {
    const ids = Array.from({ length: VALUES_PER_SET }, (_, at) => memberId(set, at));
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      async () => await this.#records(clientAt).fetch(ids, { includeValues: false }),
      (times, found = []) => ({
        ...times,
        op: 'read-all',
        key: `s${set}`,
        values: found.map(({ id }) => id),
      }),
    );
    this.#world.note(span, 'read', undefined);
    return span;
  }

  #setOf(at: number): number {
    return Math.floor(at / VALUES_PER_SET);
  }

  #records(clientAt: number) {
    return this.#world.client(clientAt).collection(COLLECTION);
  }
}

function memberId(set: number, at: number): string {
  return `s${set}.${at}`;
}
