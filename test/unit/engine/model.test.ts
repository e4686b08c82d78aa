// Goal: whatever is written and whenever the machine crashes, the engine holds what its log says
// (S-43, A3). Method: random operations with crashes in between against a plain map as the model.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { HnswIndex } from '../../../src/engine/index/hnsw-index.js';
import type { VectorIndexFactory } from '../../../src/engine/index/vector-index.js';
import { defined } from '../../../src/shared/assert.js';
import { floatsOf } from '../../../src/shared/bytes.js';
import type { Command, RequestKey } from '../../../src/shared/codec/command.js';
import { memoryHarness } from './harness.js';
import { outcomesOf, query, remove, SCOPE, ShardDriver, slotOf, upsert } from './shard-driver.js';

type Step =
  | { readonly kind: 'write'; readonly writes: readonly Write[]; readonly entries: number }
  | { readonly kind: 'retry'; readonly back: number }
  | { readonly kind: 'search'; readonly at: number }
  | { readonly kind: 'reopen' }
  | {
      readonly kind: 'crash';
      readonly last: 'nothing' | 'appended' | 'applying';
      readonly keep: number;
    };

interface Write {
  readonly id: string;
  /** `undefined` deletes. */
  readonly value: number | undefined;
}

const IDS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

const write = fc.record({
  id: fc.constantFrom(...IDS),
  value: fc.option(fc.integer({ min: 0, max: 50 }), { nil: undefined }),
});

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      writes: fc.uniqueArray(write, { minLength: 1, maxLength: 6, selector: ({ id }) => id }),
      entries: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('retry' as const), back: fc.nat(4) }) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('search' as const), at: fc.nat(50) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'reopen' as const }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('crash' as const),
      last: fc.constantFrom('nothing', 'appended', 'applying'),
      keep: fc.nat(12),
    }),
  },
);

interface Request {
  readonly key: Partial<RequestKey>;
  readonly writes: readonly Write[];
}

/** A request cut into `entries` log entries. */
function commandsOf(shard: ShardDriver, { key, writes }: Request, entries: number): Command[] {
  const operations = writes.map(({ id, value }, ordinal) =>
    value === undefined ? remove(id, { ordinal }) : upsert(id, [value, 1], { ordinal }),
  );
  const size = Math.ceil(operations.length / entries);
  return Array.from({ length: Math.ceil(operations.length / size) }, (_, cut) =>
    shard.writeCommand(operations.slice(cut * size, (cut + 1) * size), key),
  );
}

function writeToModel(model: Map<string, number>, writes: readonly Write[]): void {
  for (const { id, value } of writes) {
    if (value === undefined) model.delete(id);
    else model.set(id, value);
  }
}

async function expectModel(shard: ShardDriver, model: Map<string, number>, at: number) {
  expect(await shard.engine.count(SCOPE)).toBe(model.size);
  const keys = IDS.map((id) => ({ slot: slotOf(id), tenant: '', id }));
  const stored = await shard.engine.fetch(SCOPE, keys, { values: true, metadata: false });
  const values = stored.map((record) => record && floatsOf(defined(record.values, 'values'))[0]);
  expect(values).toEqual(IDS.map((id) => model.get(id)));
  const hits = await shard.search(query([at, 1], 5, { includeValues: true }));
  const nearest = [...model]
    .map(([id, value]) => ({ id, distance: (value - at) ** 2 }))
    .sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1));
  expect(hits.map(({ distance }) => distance)).toEqual(
    nearest.slice(0, 5).map(({ distance }) => distance),
  );
  for (const { id, distance } of hits)
    expect((defined(model.get(id), id) - at) ** 2).toBe(distance);
}

async function runSteps(steps: readonly Step[], createIndex: VectorIndexFactory): Promise<void> {
  const shard = new ShardDriver(await memoryHarness(createIndex));
  const model = new Map<string, number>();
  const requests: Request[] = [];
  await shard.open();
  await shard.createCollection();
  for (const step of steps) {
    switch (step.kind) {
      case 'write': {
        const key = { clientId: 'c', sequence: requests.length + 1, lowestUnanswered: 0 };
        const request = { key, writes: step.writes };
        requests.push(request);
        const results = await shard.apply(...commandsOf(shard, request, step.entries));
        const existed = results.flatMap(outcomesOf).map((one) => 'existed' in one && one.existed);
        expect(existed).toEqual(step.writes.map(({ id }) => model.has(id)));
        writeToModel(model, step.writes);
        break;
      }
      case 'retry': {
        const request = requests.at(-1 - step.back);
        if (request !== undefined) await shard.apply(...commandsOf(shard, request, 1));
        break;
      }
      case 'search':
        await expectModel(shard, model, step.at);
        break;
      case 'reopen':
        expect(await shard.reopen()).toBe(shard.log.length);
        break;
      case 'crash':
        if (step.last !== 'nothing') {
          const key = { clientId: 'c', sequence: requests.length + 1, lowestUnanswered: 0 };
          const request = { key, writes: [{ id: 'a', value: 9 }] };
          requests.push(request);
          writeToModel(model, request.writes);
          const [command] = commandsOf(shard, request, 1);
          // An entry is in the log; the machine dies before, or while, it is applied.
          const entry = shard.append(defined(command, 'command'));
          if (step.last === 'applying') {
            void shard.engine.apply([entry], entry.index).catch(() => undefined);
          }
        }
        expect(await shard.crash(step.keep)).toBeLessThanOrEqual(shard.log.length);
        break;
    }
  }
  await expectModel(shard, model, 0);
  await shard.reopen();
  await expectModel(shard, model, 0);
  await shard.engine.close();
}

describe('ShardEngine against a map', () => {
  it.each<[string, VectorIndexFactory, number]>([
    ['HNSW', (options) => new HnswIndex(options), 60],
    ['a flat index', (options) => new FlatIndex(options), 60],
  ])('holds what the log says over %s', async (_name, createIndex, numRuns) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), (steps) =>
        runSteps(steps, createIndex),
      ),
      { numRuns },
    );
  });

  it('comes to the same state when the log is replayed in other batches (S-43)', async () => {
    const shard = new ShardDriver(await memoryHarness());
    await shard.open();
    await shard.createCollection();
    for (let at = 0; at < 40; at++) {
      await shard.write([upsert(`r${at % 7}`, [at, 1], { ordinal: 0 })], { sequence: at + 1 });
    }
    const one = await dump(shard);
    const other = new ShardDriver(await memoryHarness());
    await other.open();
    other.log.push(...shard.log);
    await other.reopen();
    expect(await dump(other)).toEqual(one);
    expect(await other.engine.stats()).toMatchObject({ appliedIndex: 41, sessions: 1 });
  });
});

async function dump(shard: ShardDriver): Promise<unknown> {
  const keys = Array.from({ length: 7 }, (_, at) => `r${at}`).map((id) => {
    return { slot: slotOf(id), tenant: '', id };
  });
  return shard.engine.fetch(SCOPE, keys, { values: true, metadata: true });
}
