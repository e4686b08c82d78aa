/**
 * Lists: a list is the records of one shard in the order of their versions, which the shard's
 * leaders hand out; an append is a write of a record that nobody wrote before.
 */

import { checkAppend } from '../../history/append.js';
import type { AppendOperation, Fault } from '../../history/operation.js';
import { acknowledged, type Workload, type WorkloadWorld } from './workload.js';

const COLLECTION = 'lists';
/** Ids of a list, known beforehand: a read asks for all of them, so it misses none. */
const VALUES_PER_LIST = 200;

interface List {
  readonly shardId: number;
  readonly key: string;
  readonly ids: readonly string[];
  appended: number;
}

export class AppendWorkload implements Workload {
  readonly name = 'append';
  readonly #world: WorkloadWorld;
  readonly #recorder;
  readonly #lists: List[] = [];
  /** The list of each shard that is being written. */
  readonly #open: List[];
  /** Versions that writers were told, and those that the last read found. */
  readonly #told = new Map<string, { readonly version: string; readonly atMs: number }>();
  readonly #found = new Map<string, string>();

  constructor(world: WorkloadWorld) {
    this.#world = world;
    this.#recorder = world.recorder<AppendOperation>();
    this.#open = Array.from({ length: world.shards }, (_, shardId) => this.#newList(shardId));
  }

  async prepare(): Promise<void> {
    const collection = { name: COLLECTION, dimension: 1, metric: 'l2' } as const;
    await this.#world.client(0).createCollection(collection);
  }

  async operate(clientAt: number): Promise<void> {
    const list = this.#openList(this.#world.pick(this.#world.shards));
    if (this.#world.random() > 0.97) await this.#readAll(clientAt, list);
    else await this.#append(clientAt, list);
  }

  async finish(): Promise<void> {
    for (const list of this.#lists) {
      const { outcome, error } = await this.#readAll(0, list);
      if (outcome !== 'ok')
        throw new Error(`the last read of ${list.key} failed`, { cause: error });
    }
  }

  faults(): Fault[] {
    return [...checkAppend(this.#recorder.history), ...this.#rewritten()];
  }

  /** A record that has another version than its only write was told was written again. */
  #rewritten(): Fault[] {
    return [...this.#told].flatMap(([id, { version, atMs: from }]) => {
      const found = this.#found.get(id);
      if (found === undefined || found === version) return [];
      const message = `${id} was acknowledged as version ${version} and has version ${found}`;
      return [{ key: id, kind: 'duplicate' as const, message, from, until: Infinity }];
    });
  }

  #openList(shardId: number): List {
    const list = this.#open[shardId];
    if (list !== undefined && list.appended < list.ids.length) return list;
    const next = this.#newList(shardId);
    this.#open[shardId] = next;
    return next;
  }

  #newList(shardId: number): List {
    const key = `l${this.#lists.length}`;
    const ids = Array.from({ length: VALUES_PER_LIST }, (_, at) =>
      this.#world.keys.idOn(shardId, `${key}.${at}`),
    );
    const list = { shardId, key, ids, appended: 0 };
    this.#lists.push(list);
    return list;
  }

  async #append(clientAt: number, list: List): Promise<void> {
    const { key, shardId } = list;
    const id = list.ids[list.appended++] as string;
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      () => acknowledged(this.#records(clientAt).upsert([{ id, values: [1] }])),
      (times, told) => {
        if (told !== undefined) this.#told.set(id, { version: told.version, atMs: times.end });
        return { ...times, op: 'append', key, value: id };
      },
    );
    this.#world.note(span, 'write', shardId);
  }

  async #readAll(clientAt: number, { key, ids, shardId }: List): Promise<AppendOperation> {
    const span = await this.#recorder.record(
      `client-${clientAt}`,
      () => this.#records(clientAt).fetch(ids, { includeValues: false }),
      (times, found = []) => {
        for (const { id, version } of found) this.#found.set(id, version);
        const inOrder = found.toSorted((a, b) => compareVersions(a.version, b.version));
        return { ...times, op: 'read-all', key, values: inOrder.map(({ id }) => id) };
      },
    );
    this.#world.note(span, 'read', shardId);
    return span;
  }

  #records(clientAt: number) {
    return this.#world.client(clientAt).collection(COLLECTION);
  }
}

function compareVersions(a: string, b: string): number {
  const difference = BigInt(a) - BigInt(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
