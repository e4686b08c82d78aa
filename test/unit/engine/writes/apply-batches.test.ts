// Goal: what a replica holds is a matter of its entries alone, not of how they came to be applied.
// Method: random logs of conditional writes, patches and expiry, cut into other apply calls, with
// restarts and crashes between them; stores are compared byte for byte.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CommandResult } from '../../../../src/engine/engine.js';
import { collectionIdOf, isCollectionKey, isRecordKey } from '../../../../src/engine/store-keys.js';
import type { Command, WriteOperation } from '../../../../src/shared/codec/command.js';
import type { JsonObject } from '../../../../src/shared/codec/struct.js';
import type { CommittedEntry } from '../../../../src/shared/state-machine.js';
import type { Version, WriteCondition } from '../../../../src/shared/types.js';
import { type MemoryHarness, memoryHarness } from '../harness.js';
import { patch, remove, ShardDriver, slotOf, upsert } from '../shard-driver.js';

const IDS = ['a', 'b', 'c', 'd'];

type Demand = 'none' | 'absent' | 'exists' | { readonly back: number };

interface Change {
  readonly kind: 'upsert' | 'patch' | 'delete';
  readonly id: string;
  readonly demand: Demand;
  readonly value: number;
  readonly ttlMs: number | undefined;
}

type Step =
  | { readonly does: 'write'; readonly changes: readonly Change[] }
  /** The entry before once more, as a retry brings it. */
  | { readonly does: 'retry' }
  | { readonly does: 'expire'; readonly id: string; readonly back: number }
  | { readonly does: 'drop' | 'create' };

const change: fc.Arbitrary<Change> = fc.record({
  kind: fc.constantFrom('upsert', 'patch', 'delete'),
  id: fc.constantFrom(...IDS),
  demand: fc.oneof(
    fc.constantFrom('none' as const, 'absent' as const, 'exists' as const),
    fc.record({ back: fc.nat(3) }),
  ),
  value: fc.nat(9),
  ttlMs: fc.constantFrom(undefined, 0, 5, 1_000),
});
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      does: fc.constant('write' as const),
      changes: fc.uniqueArray(change, { selector: ({ id }) => id, minLength: 1, maxLength: 3 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ does: 'retry' as const }) },
  {
    weight: 3,
    arbitrary: fc.record({
      does: fc.constant('expire' as const),
      id: fc.constantFrom(...IDS),
      back: fc.nat(3),
    }),
  },
  { weight: 1, arbitrary: fc.constantFrom({ does: 'drop' as const }, { does: 'create' as const }) },
);

/** The version of the entry so many entries before; entries are stamped with their index. */
function versionBefore(index: number, back: number): Version {
  return BigInt(Math.max(1, index - 1 - back)) << 16n;
}

function conditionOf(demand: Demand, index: number): WriteCondition | undefined {
  if (demand === 'none') return undefined;
  if (typeof demand === 'string') return { kind: demand };
  return { kind: 'version', version: versionBefore(index, demand.back) };
}

function operationOf(one: Change, ordinal: number, index: number): WriteOperation {
  const { kind, id, demand, value, ttlMs } = one;
  const condition = conditionOf(demand, index);
  const options = { ordinal, ...(condition !== undefined && { condition }) };
  const metadata: JsonObject = { [`f${value % 3}`]: value };
  if (kind === 'delete') return remove(id, options);
  if (kind === 'patch') return patch(id, metadata, options);
  const ttl = ttlMs === undefined ? {} : { ttlMs };
  return upsert(id, [value, 1], { ...options, ...ttl, metadata });
}

/** The log of the steps, which no engine has applied. */
async function logOf(steps: readonly Step[]): Promise<readonly CommittedEntry[]> {
  const writer = new ShardDriver(await memoryHarness());
  let collectionId = 1;
  const create = (): Command => ({
    kind: 'createCollection',
    collectionId,
    config: {
      name: `c${collectionId}`,
      dimension: 2,
      metric: 'l2',
      m: 16,
      efConstruction: 100,
      indexedFields: [{ path: 'f1', type: 'integer' }],
      ttlMs: 50,
    },
  });
  let last = create();
  writer.append(last);
  for (const one of steps) {
    const index = writer.log.length + 1;
    const scope = { collectionId, ownershipVersion: 7 };
    if (one.does === 'write') {
      const operations = one.changes.map((each, ordinal) => operationOf(each, ordinal, index));
      last = writer.writeCommand(operations, {}, scope);
    } else if (one.does === 'expire') {
      const version = versionBefore(index, one.back);
      const record = { slot: slotOf(one.id), tenant: '', id: one.id, version };
      last = { kind: 'expire', collectionId, records: [record] };
    } else if (one.does === 'drop') last = { kind: 'dropCollection', collectionId };
    else if (one.does === 'create') {
      collectionId++;
      last = create();
    }
    writer.append(last);
  }
  return writer.log;
}

interface Applied {
  readonly results: readonly CommandResult[];
  /** The pairs of the database. */
  readonly stored: readonly string[];
  /** What the engine tells of itself. */
  readonly told: unknown;
}

type Cut = { readonly entries: number; readonly ending: 'go on' | 'reopen' | 'crash' };

/** Applies the log in calls of these sizes, again and again. */
async function applied(log: readonly CommittedEntry[], cuts: readonly Cut[]): Promise<Applied> {
  const harness = await memoryHarness();
  let engine = harness.create();
  await engine.open();
  const results: CommandResult[] = [];
  for (let at = 0, turn = 0; at < log.length; turn++) {
    const { entries, ending } = cuts[turn % cuts.length] as Cut;
    const part = log.slice(at, at + entries);
    results.push(...(await engine.apply(part, at + part.length)));
    at += part.length;
    if (ending === 'go on') continue;
    await engine.close();
    if (ending === 'crash') await harness.crash(0);
    engine = harness.create();
    // What is applied is synced: nothing has to be applied twice.
    expect((await engine.open()).appliedIndex).toBe(at);
  }
  const told = await whatIsTold(engine);
  const { collections } = await engine.stats();
  await engine.close();
  const live = new Set(collections.map(({ collectionId }) => collectionId));
  return { results, stored: await pairsOf(harness, live), told };
}

async function whatIsTold(engine: ReturnType<MemoryHarness['create']>): Promise<unknown> {
  const { contents } = await engine.contents({ deep: true });
  const expired = await engine.expired(Number.MAX_SAFE_INTEGER, 100);
  const { collections, sessions } = await engine.stats();
  const counts = collections.map(({ collectionId, records, contentHash }) => {
    return { collectionId, records, contentHash };
  });
  const due = expired.flatMap(({ collectionId, records }) =>
    records.map(({ id, version }) => `${collectionId} ${id} ${version}`),
  );
  return { contents, counts, sessions, due: due.sort() };
}

/** All that is stored but for what dropped collections leave, which is erased at leisure. */
async function pairsOf(
  { disk, storePath }: MemoryHarness,
  live: ReadonlySet<number>,
): Promise<string[]> {
  const kv = await disk.openKv(storePath);
  const pairs: string[] = [];
  const everything = { gte: Uint8Array.of(0), lt: Uint8Array.of(255) };
  for await (const page of kv.scan(everything)) {
    for (const { key, value } of page) {
      const isOfCollection = isRecordKey(key) || isCollectionKey(key);
      if (isOfCollection && !live.has(collectionIdOf(key))) continue;
      pairs.push(`${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);
    }
  }
  await kv.close();
  return pairs;
}

const cut: fc.Arbitrary<Cut> = fc.record({
  entries: fc.integer({ min: 1, max: 9 }),
  ending: fc.constantFrom('go on', 'go on', 'go on', 'reopen', 'crash'),
});

describe('applying a log', () => {
  it('gives the same in whatever calls it is done (A3, P-6, W1, W2, W3)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 25 }),
        fc.array(cut, { minLength: 1, maxLength: 8 }),
        async (steps, cuts) => {
          const log = await logOf(steps);
          const oneByOne = await applied(log, [{ entries: 1, ending: 'go on' }]);
          const atOnce = await applied(log, [{ entries: log.length, ending: 'go on' }]);
          const inParts = await applied(log, cuts);
          expect(atOnce).toEqual(oneByOne);
          expect(inParts).toEqual(oneByOne);
        },
      ),
      { numRuns: 60 },
    );
  });
});
