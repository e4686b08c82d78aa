// Goal: conditional writes and patches change a record only as they say, the same on all replicas.
// Method: entries applied to an engine in memory; a model for random sequences, with restarts.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { StoredRecord } from '../../../../src/engine/engine.js';
import { defined } from '../../../../src/shared/assert.js';
import { decodeCommand } from '../../../../src/shared/codec/command.js';
import {
  decodeStruct,
  encodeStruct,
  type JsonObject,
} from '../../../../src/shared/codec/struct.js';
import { LIMITS } from '../../../../src/shared/limits.js';
import type {
  IndexedField,
  Version,
  WriteCondition,
  WriteOutcome,
} from '../../../../src/shared/types.js';
import { openShard } from '../harness.js';
import { keyOf, modelOf, resultOf } from '../model/shard-model.js';
import {
  outcomesOf,
  patch,
  query,
  remove,
  SCOPE,
  type ShardDriver,
  slotOf,
  upsert,
} from '../shard-driver.js';

const FIELDS: readonly IndexedField[] = [{ path: 'kind', type: 'keyword' }];

async function outcomeOf(
  shard: ShardDriver,
  ...args: Parameters<ShardDriver['write']>
): Promise<WriteOutcome> {
  return defined(outcomesOf(await shard.write(...args))[0], 'outcome');
}

async function stored(shard: ShardDriver, id: string): Promise<StoredRecord | undefined> {
  const include = { values: true, metadata: true };
  const keys = [{ slot: slotOf(id), tenant: '', id }];
  return (await shard.engine.fetch(SCOPE, keys, include))[0];
}

async function metadataOf(shard: ShardDriver, id: string): Promise<JsonObject> {
  const record = defined(await stored(shard, id), id);
  return decodeStruct(defined(record.metadata, 'metadata'));
}

function versionIn(outcome: WriteOutcome): Version {
  if (outcome.kind !== 'applied') throw new Error(`not applied: ${JSON.stringify(outcome)}`);
  return outcome.version;
}

const failure = (reason: string, details: Record<string, string>): object => ({
  kind: 'not-applied',
  error: { reason, details },
});

describe('a condition (W1)', () => {
  it('on a version lets one of two writers through, and tells the other the version', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const first = versionIn(await outcomeOf(shard, [upsert('a', [1, 1])]));
    const condition: WriteCondition = { kind: 'version', version: first };
    const second = versionIn(await outcomeOf(shard, [upsert('a', [2, 2], { condition })]));
    const late = await outcomeOf(shard, [upsert('a', [3, 3], { condition })]);
    expect(late).toMatchObject(failure('VERSION_CONFLICT', { currentVersion: String(second) }));
    expect((await stored(shard, 'a'))?.version).toBe(second);
  });

  it('on a version fails where there is no record, and says so', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const condition: WriteCondition = { kind: 'version', version: 5n };
    for (const operation of [
      upsert('a', [1, 1], { condition }),
      remove('a', { condition }),
      patch('a', {}, { condition }),
    ]) {
      const outcome = await outcomeOf(shard, [operation]);
      expect(outcome).toMatchObject(failure('VERSION_CONFLICT', { record: 'missing' }));
    }
    expect(await shard.engine.count(SCOPE)).toBe(0);
  });

  it('inserts only what is not there, updates only what is', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const exists: WriteCondition = { kind: 'exists' };
    const absent: WriteCondition = { kind: 'absent' };
    const missing = await outcomeOf(shard, [upsert('a', [1, 1], { condition: exists })]);
    expect(missing).toMatchObject({ error: { reason: 'RECORD_NOT_FOUND' } });
    const made = versionIn(await outcomeOf(shard, [upsert('a', [1, 1], { condition: absent })]));
    const again = await outcomeOf(shard, [upsert('a', [2, 2], { condition: absent })]);
    expect(again).toMatchObject(failure('RECORD_EXISTS', { currentVersion: String(made) }));
    expect(await outcomeOf(shard, [upsert('a', [3, 3], { condition: exists })])).toMatchObject({
      kind: 'applied',
      existed: true,
    });
  });

  it('on a delete spares a record that was written again', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const first = versionIn(await outcomeOf(shard, [upsert('a', [1, 1])]));
    const second = versionIn(await outcomeOf(shard, [upsert('a', [2, 2])]));
    const condition: WriteCondition = { kind: 'version', version: first };
    expect(await outcomeOf(shard, [remove('a', { condition })])).toMatchObject(
      failure('VERSION_CONFLICT', { currentVersion: String(second) }),
    );
    const right: WriteCondition = { kind: 'version', version: second };
    expect(await outcomeOf(shard, [remove('a', { condition: right })])).toMatchObject({
      kind: 'applied',
      existed: true,
    });
  });

  it('fails alone: the other records of its entry are written (P-3 is about entries)', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const condition: WriteCondition = { kind: 'exists' };
    const result = await shard.write([
      upsert('a', [1, 1], { ordinal: 0 }),
      upsert('b', [1, 1], { ordinal: 1, condition }),
      upsert('c', [1, 1], { ordinal: 2 }),
    ]);
    expect(outcomesOf(result).map(({ kind }) => kind)).toEqual([
      'applied',
      'not-applied',
      'applied',
    ]);
    expect(await shard.engine.count(SCOPE)).toBe(2);
  });

  it('is not looked at again by a retry, which gets the first outcome (A7, P-2)', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const condition: WriteCondition = { kind: 'absent' };
    const write = [upsert('a', [1, 1], { ordinal: 0, condition })];
    const key = { clientId: 'x', sequence: 1, lowestUnanswered: 1 };
    const first = await outcomeOf(shard, write, key);
    expect(await outcomeOf(shard, write, key)).toEqual(first);
    const conflicting = { ...key, sequence: 2 };
    const conflict = await outcomeOf(shard, write, conflicting);
    expect(conflict.kind).toBe('not-applied');
    await shard.write([remove('a')]);
    await shard.reopen();
    expect(await outcomeOf(shard, write, conflicting)).toEqual(conflict);
  });
});

describe('a patch (W2)', () => {
  it('merges into the metadata as RFC 7396 has it, and leaves the vector alone', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const metadata = { kind: 'a', kept: [1, { x: null }], deep: { one: 1, two: 2 }, gone: true };
    await shard.write([upsert('a', [1, 2], { metadata })]);
    const before = defined(await stored(shard, 'a'), 'a');
    const outcome = await outcomeOf(shard, [
      patch('a', { kind: 'b', deep: { two: null, three: { four: null, five: 5 } }, gone: null }),
    ]);
    const after = defined(await stored(shard, 'a'), 'a');
    expect(after.values).toEqual(before.values);
    expect(after.version).toBe(versionIn(outcome));
    expect(await metadataOf(shard, 'a')).toEqual({
      kind: 'b',
      kept: [1, { x: null }],
      deep: { one: 1, three: { five: 5 } },
    });
  });

  it('is seen by filters and by the next patch of the same entry', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    await shard.write([upsert('a', [1, 2], { metadata: { kind: 'a' } })]);
    const [one, two] = [patch('a', { kind: 'b' }), patch('a', { other: 1 })];
    await shard.apply(shard.writeCommand([one]), shard.writeCommand([two]));
    expect(await metadataOf(shard, 'a')).toEqual({ kind: 'b', other: 1 });
    const filter = encodeStruct({ kind: 'b' });
    expect(await shard.engine.count(SCOPE, { filter })).toBe(1);
    expect(await shard.search(query([1, 2], 1, { filter }))).toMatchObject([{ id: 'a' }]);
  });

  it('of a record that is not there is RECORD_NOT_FOUND, and makes none', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    expect(await outcomeOf(shard, [patch('a', { x: 1 })])).toMatchObject({
      kind: 'not-applied',
      error: { reason: 'RECORD_NOT_FOUND' },
    });
    expect(await shard.engine.count(SCOPE)).toBe(0);
  });

  it('takes fields of any name, __proto__ too', async () => {
    const shard = await openShard({ indexedFields: FIELDS });
    const odd = JSON.parse('{"__proto__": {"a": 1}}') as JsonObject;
    await shard.write([upsert('a', [1, 2], { metadata: odd })]);
    await shard.write([patch('a', JSON.parse('{"__proto__": {"b": 2}}') as JsonObject)]);
    expect(JSON.stringify(await metadataOf(shard, 'a'))).toBe('{"__proto__":{"a":1,"b":2}}');
  });

  it.each([-1, 0, 1])('ends at the limit of the metadata %+d byte (P-9)', async (over) => {
    const shard = await openShard({ indexedFields: FIELDS });
    const max = LIMITS.metadataBytesMax.value;
    const base = { text: 'x'.repeat(60_000) };
    await shard.write([upsert('a', [1, 2], { metadata: base })]);
    const rest = (length: number): JsonObject => ({ more: 'y'.repeat(length) });
    const sizeWith = (length: number): number => encodeStruct({ ...base, ...rest(length) }).length;
    const length = 5_000 + (max + over - sizeWith(5_000));
    expect(sizeWith(length)).toBe(max + over);
    const outcome = await outcomeOf(shard, [patch('a', rest(length))]);
    if (over <= 0) expect(outcome.kind).toBe('applied');
    else {
      const limit = { name: 'metadataBytesMax', value: max };
      expect(outcome).toMatchObject({ error: { reason: 'LIMIT_EXCEEDED', limit } });
      expect(await metadataOf(shard, 'a')).toEqual(base);
    }
  });

  it('cannot make metadata deeper than they may be', async () => {
    const levels = LIMITS.metadataDepthMax.value;
    const nested = (depth: number): JsonObject => (depth === 1 ? {} : { x: nested(depth - 1) });
    const shard = await openShard({ indexedFields: FIELDS });
    await shard.write([upsert('a', [1, 2], { metadata: nested(levels) })]);
    const outcome = await outcomeOf(shard, [patch('a', nested(levels))]);
    expect(outcome.kind).toBe('applied');
    const tooDeep = { ...patch('a', {}), metadata: encodeStruct(nested(20), { maxDepth: 20 }) };
    expect(await outcomeOf(shard, [tooDeep])).toMatchObject({
      error: { reason: 'LIMIT_EXCEEDED' },
    });
  });
});

describe('conditional writes against a model', () => {
  type Demand = { readonly kind: 'absent' | 'exists' } | { kind: 'version'; back: number };
  interface Step {
    readonly id: string;
    readonly does: 'upsert' | 'patch' | 'delete' | 'reopen';
    readonly demand: Demand | undefined;
    readonly value: number;
  }
  const demand: fc.Arbitrary<Demand> = fc.oneof(
    fc.constant({ kind: 'absent' as const }),
    fc.constant({ kind: 'exists' as const }),
    fc.record({ kind: fc.constant('version' as const), back: fc.nat(3) }),
  );
  const step: fc.Arbitrary<Step> = fc.record({
    id: fc.constantFrom('a', 'b', 'c'),
    does: fc.constantFrom('upsert', 'patch', 'delete', 'reopen'),
    demand: fc.option(demand, { nil: undefined }),
    value: fc.nat(20),
  });

  function conditionOf(
    one: Demand | undefined,
    versions: readonly Version[],
  ): WriteCondition | undefined {
    if (one?.kind !== 'version') return one;
    return { kind: 'version', version: versions.at(-1 - one.back) ?? 1n };
  }

  function operationOf({ id, does, value }: Step, condition: WriteCondition | undefined) {
    const options = condition === undefined ? {} : { condition };
    const metadata = { [`f${value % 3}`]: value };
    if (does === 'upsert') return upsert(id, [value, 1], { ...options, metadata });
    return does === 'patch' ? patch(id, metadata, options) : remove(id, options);
  }

  it('apply exactly where their conditions hold, over restarts (A3)', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const shard = await openShard({ indexedFields: FIELDS });
        const model = modelOf(shard.log);
        const versions: Version[] = [];
        for (const one of steps) {
          if (one.does === 'reopen') {
            await shard.reopen();
            continue;
          }
          const condition = conditionOf(one.demand, versions);
          const result = await shard.write([operationOf(one, condition)]);
          const { command, version } = decodeCommand(defined(shard.log.at(-1), 'an entry').data);
          expect(resultOf(result)).toEqual(model.apply(command, version));
          if (outcomesOf(result)[0]?.kind === 'applied') versions.push(version);
        }
        const { records } = defined(model.collections.get(1), 'collection');
        for (const id of ['a', 'b', 'c']) {
          const found = await stored(shard, id);
          const metadata = found && (await metadataOf(shard, id));
          const expected = records.get(keyOf({ slot: slotOf(id), tenant: '', id }));
          expect([found?.version, metadata]).toEqual([expected?.version, expected?.metadata]);
        }
        await shard.engine.close();
      }),
      { numRuns: 60 },
    );
  });
});
