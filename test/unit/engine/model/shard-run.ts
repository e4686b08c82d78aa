/**
 * Goal: run steps on a shard that dies now and then and on the model, and hold all that can be read
 * of the one against the other. Method: reads of every kind after each step that asks for them.
 */
import { setImmediate } from 'node:timers/promises';
import { expect } from 'vitest';
import type { Hit, SearchQuery, Selection } from '../../../../src/engine/engine.js';
import { defined, unreachable } from '../../../../src/shared/assert.js';
import { floatsOf } from '../../../../src/shared/bytes.js';
import {
  type Command,
  decodeCommand,
  type WriteOperation,
} from '../../../../src/shared/codec/command.js';
import { encodeFilter } from '../../../../src/shared/codec/filter-bytes.js';
import { decodeStruct, type JsonObject } from '../../../../src/shared/codec/struct.js';
import { isFlotillaError } from '../../../../src/shared/errors.js';
import type { WriteCondition } from '../../../../src/shared/types.js';
import { squaredDistance } from '../../../support/vectors.js';
import { FIELDS } from '../../shared/filter-arbitraries.js';
import {
  collectionConfig,
  GENESIS,
  patch,
  query,
  remove,
  slotOf,
  upsert,
} from '../shard-driver.js';
import { MortalShard, type ShardSettings } from './mortal-shard.js';
import type { RenewalWatch } from './renewal-watch.js';
import {
  canonical,
  distances,
  expiryTexts,
  keyOf,
  type ModelCollection,
  type ModelRecord,
  resultOf,
  ShardModel,
  selected,
} from './shard-model.js';
import {
  COLLECTION_IDS,
  IDS,
  type Question,
  type Step,
  TENANTS,
  type Write,
} from './shard-steps.js';

const { ownershipVersion } = GENESIS;
const ALL = { includeValues: true, includeMetadata: true };
const EXPIRED_MAX = 1_000;
/** Collections differ: in the second records expire by themselves. */
const CONFIGS = {
  1: { indexedFields: FIELDS },
  2: { indexedFields: [], ttlMs: 60 },
  3: { indexedFields: FIELDS.slice(0, 2), m: 4 },
} as const;

/** Each is answered by another payload index, where there is one. */
const FILTERS: readonly (JsonObject | undefined)[] = [
  undefined,
  { word: { $in: ['a', 'b', ''] } },
  { count: { $lte: 1 } },
  { flag: true },
  { share: { $gt: 0 }, 'deep.word': { $ne: 'a' } },
];

interface Request {
  readonly sequence: number;
  readonly collectionId: number;
  readonly operations: readonly WriteOperation[];
}

export class ShardRun {
  readonly #shard: MortalShard;
  readonly #model = new ShardModel(ownershipVersion);
  readonly #requests: Request[] = [];

  constructor(settings: ShardSettings, renewals?: RenewalWatch) {
    this.#shard = new MortalShard(settings, renewals);
  }

  /** How often the machine died. */
  get deaths(): number {
    return this.#shard.deaths;
  }

  /** How often while a graph was made anew, where somebody looks on. */
  get deathsInRenewals(): number {
    return this.#shard.deathsInRenewals;
  }

  /** Opens the shard, takes the steps, and compares everything at the end and after a restart. */
  async run(steps: readonly Step[]): Promise<void> {
    const { driver } = this.#shard;
    await driver.open();
    await this.#take({ kind: 'create', collectionId: 1 });
    for (const step of steps) await this.#survive(() => this.#take(step));
    this.#shard.spare();
    await this.#survive(() => this.#check());
    await driver.reopen();
    await this.#check();
    await this.#expectTwin();
    await driver.engine.close();
  }

  /** A call that the machine dies in fails; what is compared never does for that reason. */
  async #survive(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const isWrong = error instanceof Error && error.name === 'AssertionError';
      if (isWrong || !this.#shard.isDead) throw error;
      await this.#shard.revive();
      await this.#survive(() => this.#check());
    }
  }

  async #take(step: Step): Promise<void> {
    const shard = this.#shard;
    switch (step.kind) {
      case 'write':
        return this.#write(step);
      case 'retry': {
        const request = this.#requests.at(-1 - step.back);
        if (request !== undefined) await this.#apply(this.#cut(request, step.entries));
        return;
      }
      case 'ask':
        return this.#ask(step.question);
      case 'create':
        return this.#apply([createCommand(step.collectionId)]);
      case 'drop':
        return this.#apply([{ kind: 'dropCollection', collectionId: step.collectionId }]);
      case 'expire':
        return this.#expire(step.nowMs, step.isStale);
      case 'check':
        return this.#check();
      case 'settle':
        return shard.driver.settled();
      case 'turns':
        for (let turn = 0; turn < step.count; turn++) await setImmediate();
        return;
      case 'snapshot':
        return shard.writeSnapshot();
      case 'install':
        return shard.installSnapshot();
      case 'reopen':
        expect(await shard.driver.reopen()).toBe(shard.driver.log.length);
        return;
      case 'doom':
        return shard.doom(step.steps, step.again);
      case 'crash':
        return shard.crash();
      default:
        return unreachable(step);
    }
  }

  async #write(step: Extract<Step, { kind: 'write' }>): Promise<void> {
    const { collectionId, writes, entries, isStale, meanwhile } = step;
    const operations = writes.map((write, ordinal) =>
      this.#operation(collectionId, write, ordinal),
    );
    const request = { sequence: this.#requests.length + 1, collectionId, operations };
    this.#requests.push(request);
    const commands = this.#cut(request, entries, isStale ? 1 : 0);
    const [command, ...others] = commands;
    if (meanwhile === undefined || command === undefined || others.length > 0) {
      return this.#apply(commands);
    }
    const before = this.#wanted(meanwhile);
    const applying = this.#apply([command]);
    const [found] = await Promise.all([this.#found(meanwhile), applying]);
    // An entry is seen whole or not at all.
    expect([before, this.#wanted(meanwhile)]).toContainEqual(found);
  }

  #operation(collectionId: number, write: Write, ordinal: number): WriteOperation {
    const { id, tenant, change } = write;
    const target = { slot: slotOf(id), tenant, id };
    const condition = this.#condition(collectionId, target, write.demand);
    const options = { tenant, ordinal, ...(condition !== undefined && { condition }) };
    switch (change.kind) {
      case 'upsert': {
        const { vector, metadata, ttlMs } = change;
        return upsert(id, vector, { ...options, metadata, ...(ttlMs !== undefined && { ttlMs }) });
      }
      case 'patch':
        return { ...patch(id, change.metadata, options), tenant };
      case 'delete':
        return remove(id, options);
      default:
        return unreachable(change);
    }
  }

  #condition(
    collectionId: number,
    target: Pick<ModelRecord, 'slot' | 'tenant' | 'id'>,
    demand: Write['demand'],
  ): WriteCondition | undefined {
    switch (demand) {
      case undefined:
        return undefined;
      case 'current':
        return { kind: 'version', version: this.#model.versionOf(collectionId, target) ?? 1n };
      case 'wrong':
        return { kind: 'version', version: 1n };
      default:
        return { kind: demand };
    }
  }

  /** The request as entries of the log. */
  #cut(request: Request, entries: number, versionsBehind = 0): Command[] {
    const { sequence, collectionId, operations } = request;
    const key = { clientId: 'c', sequence, lowestUnanswered: 0 };
    const scope = { collectionId, ownershipVersion: ownershipVersion - versionsBehind };
    const size = Math.ceil(operations.length / entries);
    const cuts = Array.from({ length: Math.ceil(operations.length / size) }, (_, cut) =>
      operations.slice(cut * size, (cut + 1) * size),
    );
    return cuts.map((part) => this.#shard.driver.writeCommand(part, key, scope));
  }

  /** What is in the log is applied for certain, by this call or when the machine is back. */
  async #apply(commands: readonly Command[]): Promise<void> {
    const { driver } = this.#shard;
    const entries = commands.map((command) => driver.append(command));
    const expected = entries.map(({ data }) => {
      const { command, version } = decodeCommand(data);
      return this.#model.apply(command, version);
    });
    const results = await driver.engine.apply(entries, driver.log.length);
    expect(results.map(resultOf)).toEqual(expected);
  }

  async #expire(nowMs: number, isStale: boolean): Promise<void> {
    const { engine } = this.#shard.driver;
    const groups = await engine.expired(nowMs, EXPIRED_MAX);
    expect(expiryTexts(groups)).toEqual(expiryTexts([{ records: this.#model.expired(nowMs) }]));
    for (const { collectionId, records } of groups) {
      const named = records.map((one) => ({ ...one, version: one.version - (isStale ? 1n : 0n) }));
      await this.#apply([{ kind: 'expire', collectionId, records: named }]);
    }
    const left = expiryTexts(await this.#shard.driver.engine.expired(nowMs, EXPIRED_MAX));
    expect(left).toEqual(isStale ? expiryTexts(groups) : []);
  }

  /** Distances of a search without a filter: nothing, where there is no collection. */
  async #found(question: Question): Promise<number[]> {
    const { collectionId } = question;
    const wanted = { ...question, filter: undefined };
    try {
      const [hits] = await this.#shard.driver.engine.search({ collectionId, ownershipVersion }, [
        queryOf(wanted),
      ]);
      return defined(hits, 'hits').map(({ distance }) => distance);
    } catch (error) {
      if (this.#model.collections.has(collectionId)) throw error;
      return [];
    }
  }

  #wanted(question: Question): number[] {
    const collection = this.#model.collections.get(question.collectionId);
    if (collection === undefined) return [];
    const { vector, k, ...selection } = queryOf({ ...question, filter: undefined });
    return distances(collection, selection, floatsOf(vector)).slice(0, k);
  }

  async #ask(question: Question): Promise<void> {
    const { engine } = this.#shard.driver;
    const { collectionId } = question;
    const scope = { collectionId, ownershipVersion };
    const collection = this.#model.collections.get(collectionId);
    const asked = queryOf(question);
    if (collection === undefined) return this.#expectMissing(collectionId, asked);
    const matching = selected(collection, asked);
    const [hits] = await engine.search(scope, [asked]);
    expectHits(defined(hits, 'hits'), collection, asked);
    expect(await engine.count(scope, asked)).toBe(matching.length);
    const explanation = await engine.explain(scope, asked);
    const { tenant } = asked;
    const ofTenant = selected(collection, tenant === undefined ? {} : { tenant });
    expect(explanation.records).toBe(ofTenant.length);
    expect(explanation.matches ?? matching.length).toBe(matching.length);
    await this.#expectScroll(collectionId, asked, 3, matching);
  }

  async #expectMissing(collectionId: number, asked: SearchQuery): Promise<void> {
    try {
      await this.#shard.driver.engine.search({ collectionId, ownershipVersion }, [asked]);
    } catch (error) {
      if (isFlotillaError(error) && error.reason === 'COLLECTION_NOT_FOUND') return;
      throw error;
    }
    expect.fail(`a search of collection ${collectionId}, which is not there`);
  }

  async #expectScroll(
    collectionId: number,
    selection: Selection,
    limit: number,
    matching: readonly ModelRecord[],
  ): Promise<void> {
    const { filter, tenant } = selection;
    const scrolled: string[] = [];
    const page = {
      ...ALL,
      limit,
      ...(filter !== undefined && { filter }),
      ...(tenant !== undefined && { tenant }),
    };
    const pages = this.#shard.driver.scrollPages(page, { collectionId, ownershipVersion });
    for await (const { records } of pages) {
      scrolled.push(...records.map((one) => textOf({ ...one, ...contentsOf(one) })));
    }
    expect(scrolled).toEqual(matching.map(textOf));
  }

  /** Everything that the shard holds, read in every way. */
  async #check(): Promise<void> {
    const { engine } = this.#shard.driver;
    for (const collectionId of COLLECTION_IDS) {
      const scope = { collectionId, ownershipVersion };
      const collection = this.#model.collections.get(collectionId);
      const question = { collectionId, vector: [3, 4], k: 20, tenant: undefined } as const;
      for (const filter of FILTERS) await this.#ask({ ...question, filter });
      if (collection === undefined) continue;
      const keys = IDS.flatMap((id) => TENANTS.map((tenant) => ({ slot: slotOf(id), tenant, id })));
      const fetched = await engine.fetch(scope, keys, { values: true, metadata: true });
      expect(fetched.map((one) => one && textOf({ ...one, ...contentsOf(one) }))).toEqual(
        keys.map((key) => {
          const record = collection.records.get(keyOf(key));
          return record && textOf(record);
        }),
      );
    }
    const { contents = [], faults } = await engine.contents({ deep: true });
    expect(faults).toEqual([]);
    const counted = contents.map(({ collectionId, slots }) => [
      collectionId,
      slots.reduce((sum, { records }) => sum + records, 0),
    ]);
    const { collections } = this.#model;
    const ids = [...collections.keys()].sort((a, b) => a - b);
    expect(counted).toEqual(ids.map((id) => [id, collections.get(id)?.records.size]));
  }

  /** A replica that gets the whole log at once holds the same, by its hashes too (P-6). */
  async #expectTwin(): Promise<void> {
    const twin = new MortalShard({});
    twin.driver.log.push(...this.#shard.driver.log);
    await twin.driver.open();
    const query = { deep: false };
    expect(await twin.driver.engine.contents(query)).toEqual(
      await this.#shard.driver.engine.contents(query),
    );
    await twin.driver.engine.close();
  }
}

function createCommand(collectionId: number): Command {
  const config = CONFIGS[collectionId as keyof typeof CONFIGS];
  return { kind: 'createCollection', collectionId, config: collectionConfig(config) };
}

function queryOf({ vector, k, filter, tenant }: Question): SearchQuery {
  return query(vector, k, {
    ...ALL,
    ...(filter !== undefined && { filter: encodeFilter(filter) }),
    ...(tenant !== undefined && { tenant }),
  });
}

/** The nearest, each as it is, in order, and none twice. */
function expectHits(
  hits: readonly Hit[],
  collection: ModelCollection,
  { vector, k, ...selection }: SearchQuery,
): void {
  const target = floatsOf(vector);
  const expected = distances(collection, selection, target).slice(0, k);
  expect(hits.map(({ distance }) => distance)).toEqual(expected);
  const records = new Map(selected(collection, selection).map((one) => [textOf(one), one]));
  const texts = hits.map((hit) => textOf({ ...hit, ...contentsOf(hit) }));
  expect(new Set(texts).size).toBe(hits.length);
  const found = texts.map((text) => defined(records.get(text), `the record ${text}`));
  expect(found.map((one) => squaredDistance(one.vector, target))).toEqual(expected);
  const order = hits.map(({ distance, id }) => ({ distance, id }));
  const sorted = [...order].sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1));
  expect(order.map(({ id }) => id)).toEqual(sorted.map(({ id }) => id));
}

function contentsOf(record: Pick<Hit, 'values' | 'metadata'>) {
  return {
    vector: floatsOf(defined(record.values, 'values')),
    metadata: decodeStruct(defined(record.metadata, 'metadata')),
  };
}

type Told = Pick<ModelRecord, 'tenant' | 'id' | 'version' | 'vector' | 'metadata'>;

/** All that is told of a record. */
function textOf({ tenant, id, version, vector, metadata }: Told): string {
  return `${JSON.stringify([tenant, id])} ${version} [${vector.join()}] ${canonical(metadata)}`;
}
