// Goal: a request applies once, however often, in whatever pieces and wherever it is sent again
// (A7, S-46), and what is remembered for that stays within its limits. Method: random
// interleavings of retries, restarts and snapshots against a model; each limit one below, at and
// one above.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FlatIndex } from '../../../src/engine/index/flat-index.js';
import { PointStore } from '../../../src/engine/point-store.js';
import type { RecordedOutcome } from '../../../src/engine/session-codec.js';
import { type SessionLimits, Sessions } from '../../../src/engine/sessions.js';
import { readShardState, writeShardState } from '../../../src/engine/state-codec.js';
import { WriteBatch } from '../../../src/engine/write-batch.js';
import { defined } from '../../../src/shared/assert.js';
import { ByteReader, ByteWriter, floatsOf } from '../../../src/shared/bytes.js';
import type { RequestKey } from '../../../src/shared/codec/command.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { MemoryKv } from '../../../src/shared/memory-kv.js';
import { joinedReach, type SessionReach } from '../../../src/shared/session-reach.js';
import type { Version } from '../../../src/shared/types.js';
import { memoryHarness } from './harness.js';
import { GENESIS, SCOPE, ShardDriver, sendSnapshot, slotOf, upsert } from './shard-driver.js';

const UNLIMITED: SessionLimits = { clientsMax: 1e6, requestsMax: 1e6, bytesMax: 2 ** 40 };
/** A client `c` and one outcome of it, as `Sessions.bytes` counts them. */
const CLIENT_BYTES = 65;
const OUTCOME_BYTES = 64 + 12;

const done: RecordedOutcome = {
  ordinal: 0,
  slot: 1,
  outcome: { kind: 'applied', version: 1n, existed: false },
};

const KEY: RequestKey = { clientId: 'c', clientStampMs: 5, sequence: 1, lowestUnanswered: 0 };

class SessionDriver {
  readonly kv = new MemoryKv();
  readonly store = new PointStore(this.kv);
  readonly limits: SessionLimits;
  sessions: Sessions;
  #index = 0;

  constructor(limits: Partial<SessionLimits>) {
    this.limits = { ...UNLIMITED, ...limits };
    this.sessions = new Sessions(this.limits);
  }

  /** Records an outcome of a request that is not expired; returns whether it was expired. */
  async send(key: Partial<RequestKey>): Promise<'recorded' | 'expired'> {
    const whole = { ...KEY, ...key };
    if (this.sessions.isExpired(whole)) return 'expired';
    const batch = new WriteBatch();
    const isKnown = this.sessions.recorded(whole, 1, [{ ordinal: 0, tenant: '' }]).size > 0;
    this.sessions.record(whole, ++this.#index, 1n, isKnown ? [] : [done], batch);
    await this.store.commit(batch, this.#index);
    return 'recorded';
  }

  /** Learns what another shard may have applied. */
  async absorb(reach: SessionReach): Promise<void> {
    const batch = new WriteBatch();
    this.sessions.absorb(reach, ++this.#index, batch);
    await this.store.commit(batch, this.#index);
  }

  /** Whether the shard would apply the request, as one that may have been applied elsewhere. */
  mayApply(key: Partial<RequestKey>): boolean {
    const whole = { ...KEY, ...key };
    return !this.sessions.isExpired(whole) && !this.sessions.mayBeElsewhere(whole);
  }

  async reload(): Promise<void> {
    this.sessions = new Sessions(this.limits);
    await this.sessions.load(this.store);
  }
}

describe('the bytes that sessions may take', () => {
  it.each([
    [-1, 'expired'],
    [0, 'recorded'],
    [1, 'recorded'],
  ])('hold two requests of a client at a limit off by %i: the lower is %s', async (off, first) => {
    const bytesMax = CLIENT_BYTES + 2 * OUTCOME_BYTES + off;
    const driver = new SessionDriver({ bytesMax });
    for (const sequence of [1, 2]) await driver.send({ sequence });
    expect(driver.sessions.bytes).toBe(CLIENT_BYTES + (off < 0 ? 1 : 2) * OUTCOME_BYTES);
    expect(await driver.send({ sequence: 1 })).toBe(first);
    expect(await driver.send({ sequence: 2 })).toBe('recorded');
  });

  it.each([
    [-1, 'expired'],
    [0, 'recorded'],
    [1, 'recorded'],
  ])('hold two clients at a limit off by %i: the older is %s', async (off, first) => {
    const bytesMax = 2 * (CLIENT_BYTES + OUTCOME_BYTES) + off;
    const driver = new SessionDriver({ bytesMax });
    await driver.send({ clientId: 'a', clientStampMs: 10 });
    await driver.send({ clientId: 'b', clientStampMs: 20 });
    expect(driver.sessions.size).toBe(off < 0 ? 1 : 2);
    expect(await driver.send({ clientId: 'b', clientStampMs: 20 })).toBe('recorded');
    expect(await driver.send({ clientId: 'a', clientStampMs: 10 })).toBe(first);
    // An unknown elder of a client that was forgotten may have been forgotten as well.
    expect(await driver.send({ clientId: 'z', clientStampMs: 9 })).toBe(first);
    expect(await driver.send({ clientId: 'y', clientStampMs: 30 })).toBe('recorded');
  });

  it('are never exceeded, not even by a single request, whose retry is told so', async () => {
    const driver = new SessionDriver({ bytesMax: CLIENT_BYTES + OUTCOME_BYTES - 1 });
    expect(await driver.send({ sequence: 4 })).toBe('recorded');
    expect(driver.sessions.bytes).toBe(CLIENT_BYTES);
    expect(await driver.send({ sequence: 4 })).toBe('expired');
    expect(await driver.send({ sequence: 5 })).toBe('recorded');
  });

  it('are counted the same from what is stored, whatever was forgotten on the way', async () => {
    const sends = fc.array(
      fc.record({
        clientId: fc.constantFrom('a', 'bb', 'ccc', 'é'),
        sequence: fc.integer({ min: 1, max: 6 }),
        lowestUnanswered: fc.integer({ min: 0, max: 6 }),
      }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(sends, fc.integer({ min: 0, max: 900 }), async (keys, bytesMax) => {
        const driver = new SessionDriver({ bytesMax, clientsMax: 3, requestsMax: 4 });
        for (const [at, key] of keys.entries()) {
          await driver.send({ ...key, clientStampMs: key.clientId.length });
          const { bytes, size } = driver.sessions;
          expect(bytes).toBeLessThanOrEqual(Math.max(bytesMax, CLIENT_BYTES + 3));
          expect(size).toBeLessThanOrEqual(3);
          if (at % 5 === 4) await driver.reload();
          expect([driver.sessions.bytes, driver.sessions.size]).toEqual([bytes, size]);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('have the limit of the table by default, and none where a shard began without', async () => {
    const harness = await memoryHarness();
    const shard = new ShardDriver(harness);
    await shard.open();
    const state = defined(new PointStore(harness.disk.kv(harness.storePath)).shardState(), 'state');
    expect(state.sessionLimits.bytesMax).toBe(LIMITS.sessionBytesMax.value);
    const writer = new ByteWriter();
    writeShardState(writer, { ...GENESIS, sessionLimits: { ...UNLIMITED, bytesMax: 1 } });
    const bytes = writer.finish();
    const asBefore = readShardState(new ByteReader(bytes.subarray(0, bytes.length - 1)));
    expect(asBefore.sessionLimits).toEqual({ ...UNLIMITED, bytesMax: Number.MAX_SAFE_INTEGER });
  });
});

const sentKey = fc.record({
  clientId: fc.constantFrom('a', 'b', 'c', 'é', '\u{1f600}', '\uffff'),
  sequence: fc.integer({ min: 1, max: 6 }),
  lowestUnanswered: fc.integer({ min: 0, max: 6 }),
});
const stamped = (key: Partial<RequestKey>): Partial<RequestKey> => {
  return { ...key, clientStampMs: key.clientId?.codePointAt(0) ?? 0 };
};

describe('what a shard learns of another one (O5)', () => {
  it('keeps it from applying what the other has applied, whatever either forgets', async () => {
    const limits = fc.record({
      clientsMax: fc.integer({ min: 1, max: 4 }),
      requestsMax: fc.integer({ min: 1, max: 4 }),
      bytesMax: fc.integer({ min: 80, max: 900 }),
    });
    const sends = fc.array(sentKey, { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(sends, sends, limits, limits, async (there, here, from, to) => {
        const [losing, gaining] = [new SessionDriver(from), new SessionDriver(to)];
        const applied: Partial<RequestKey>[] = [];
        for (const key of there.map(stamped)) {
          if ((await losing.send(key)) === 'recorded') applied.push(key);
        }
        for (const key of here.slice(0, 5).map(stamped)) await gaining.send(key);
        await gaining.absorb(losing.sessions.reach(0n));
        const check = (): void => {
          for (const key of applied) expect([key, gaining.mayApply(key)]).toEqual([key, false]);
        };
        check();
        for (const key of here.slice(5).map(stamped)) await gaining.send(key);
        check();
        const reach = gaining.sessions.reach(0n);
        await gaining.reload();
        check();
        expect(gaining.sessions.reach(0n)).toEqual(reach);
        expect(gaining.sessions.size).toBeLessThanOrEqual(to.clientsMax);
      }),
      { numRuns: 100 },
    );
  });

  it('forgets clients in one order, before and after a restart (P-6)', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(sentKey, { selector: (key) => key.clientId }),
        async (all) => {
          const other = new SessionDriver({});
          for (const key of all.map(stamped)) await other.send(key);
          const drivers = [
            new SessionDriver({ clientsMax: 3 }),
            new SessionDriver({ clientsMax: 3 }),
          ];
          for (const [at, driver] of drivers.entries()) {
            await driver.absorb(other.sessions.reach(0n));
            if (at === 1) await driver.reload();
            await driver.send({ clientId: 'z', clientStampMs: 1_000_000 });
          }
          const [one, restarted] = drivers.map(({ sessions }) => sessions.reach(0n));
          expect(restarted).toEqual(one);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('leaves alone who is new, and what comes later', async () => {
    const [losing, gaining] = [new SessionDriver({}), new SessionDriver({})];
    await losing.send({ sequence: 3 });
    await gaining.absorb(losing.sessions.reach(0n));
    expect([2, 3, 4].map((sequence) => gaining.mayApply({ sequence }))).toEqual([
      false,
      false,
      true,
    ]);
    expect(gaining.mayApply({ clientId: 'new', clientStampMs: 0 })).toBe(true);
  });

  it('is what two have told, where two give keys away', () => {
    const client = (clientId: string, sequence: number) => {
      return { clientId, clientStampMs: 1, sequence };
    };
    const first = { watermarkMs: -1, lastVersion: 9n, clients: [client('a', 3), client('c', 1)] };
    const second = {
      watermarkMs: 7,
      lastVersion: 8n,
      clients: [client('a', 2), client('b', 9), client('c', 4)],
    };
    const joined = {
      watermarkMs: 7,
      lastVersion: 9n,
      clients: [client('a', 3), client('b', 9), client('c', 4)],
    };
    expect(joinedReach(first, second)).toEqual(joined);
    expect(joinedReach(second, first)).toEqual(joined);
  });
});

type Step =
  | { readonly kind: 'send'; readonly request: number; readonly ordinals: readonly number[] }
  | { readonly kind: 'snapshot' | 'reopen' | 'crash' };

const REQUESTS = 8;
const ORDINALS = [0, 1, 2];

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant('send' as const),
        request: fc.nat(REQUESTS - 1),
        ordinals: fc.subarray(ORDINALS, { minLength: 1 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('snapshot' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('crash' as const) }) },
  ),
  { minLength: 5, maxLength: 40 },
);

/** Each request writes its own value to the same three records: a second application shows. */
async function runRetries(all: readonly Step[], limits: SessionLimits): Promise<void> {
  let harness = await memoryHarness((options) => new FlatIndex(options));
  let shard = new ShardDriver(harness, limits);
  await shard.open();
  await shard.createCollection();
  const applied = new Map<string, Version>();
  const values = new Map<number, number>();
  for (const step of all) {
    switch (step.kind) {
      case 'send': {
        const key = {
          clientId: `client ${step.request % 3}`,
          clientStampMs: step.request % 3,
          sequence: 1 + Math.floor(step.request / 3),
          lowestUnanswered: 0,
        };
        const operations = step.ordinals.map((ordinal) =>
          upsert(`r${ordinal}`, [step.request, 1], { ordinal }),
        );
        const result = await shard.write(operations, key);
        if (result.kind !== 'write') {
          expect(result).toMatchObject({ kind: 'refused', error: { reason: 'SESSION_EXPIRED' } });
          break;
        }
        for (const { ordinal, outcome } of result.outcomes) {
          const name = `${step.request}/${ordinal}`;
          expect(outcome.kind).toBe('applied');
          const version = 'version' in outcome ? outcome.version : 0n;
          expect(version).toBe(applied.get(name) ?? BigInt(shard.log.length) << 16n);
          if (!applied.has(name)) values.set(ordinal, step.request);
          applied.set(name, version);
        }
        break;
      }
      case 'snapshot': {
        const next = await memoryHarness((options) => new FlatIndex(options));
        const replica = new ShardDriver(next, limits);
        await replica.open();
        const { appliedIndex } = await shard.engine.writeSnapshot(harness.snapshotPath('s'));
        await replica.engine.installSnapshot(await sendSnapshot('s', harness, next));
        replica.follow(shard, appliedIndex);
        await shard.engine.close();
        [harness, shard] = [next, replica];
        break;
      }
      case 'reopen':
        await shard.reopen();
        break;
      case 'crash':
        await harness.crash(0);
        await shard.open();
        break;
    }
    const keys = ORDINALS.map((ordinal) => {
      return { slot: slotOf(`r${ordinal}`), tenant: '', id: `r${ordinal}` };
    });
    const stored = await shard.engine.fetch(SCOPE, keys, { values: true, metadata: false });
    const found = stored.map((record) => record && floatsOf(defined(record.values, 'values'))[0]);
    expect(found).toEqual(ORDINALS.map((ordinal) => values.get(ordinal)));
  }
  await shard.engine.close();
}

describe('a request that is sent again', () => {
  it('applies once through restarts, snapshots and any cut (S-46, A7)', async () => {
    await fc.assert(
      fc.asyncProperty(steps, (all) => runRetries(all, UNLIMITED)),
      { numRuns: 60 },
    );
  });

  it('applies once, or is told that it is forgotten, under tight limits (S-46)', async () => {
    const tight = { clientsMax: 2, requestsMax: 2, bytesMax: 500 };
    await fc.assert(
      fc.asyncProperty(steps, (all) => runRetries(all, tight)),
      { numRuns: 60 },
    );
  });
});
