// Goal: the simulator's judge of kept answers speaks up when it has to, and only then.
// Method: one process by hand, in a time by hand: what it answered, kept, heard and wrote.
import { describe, expect, it } from 'vitest';
import type { SearchAnswer } from '../../../src/server/backend.js';
import type { Consistency } from '../../../src/shared/consistency.js';
import { COLLECTION } from './address.js';
import { Findings } from './findings.js';
import { type AskedSearch, KeptAnswers } from './kept-answers.js';
import { metadataOf, valuesOf } from './record-content.js';
import { RegisterOracle, type Write } from './register-oracle.js';

const KEY = 'key';
const INDEX = 5;

interface Answered {
  /** The record that is found, and its version. */
  readonly shown?: readonly [write: Write, version: bigint];
  readonly ageMs?: number | undefined;
  readonly appliedIndex?: number;
  /** Without another shard. */
  readonly isPartial?: boolean;
}

interface Asked {
  readonly consistency?: Consistency;
  readonly tenant?: string;
  readonly filter?: Uint8Array;
}

function harness() {
  let nowMs = 0;
  const findings = new Findings(() => nowMs);
  const oracle = new RegisterOracle(findings, () => nowMs);
  const counts = { hits: 0, misses: 0, evictions: 0 };
  const kept = new KeptAnswers({ findings, oracle, nowMs: () => nowMs, counts });
  const at = (timeMs: number): void => {
    nowMs = timeMs;
  };
  const written = (version: bigint): Write => {
    const write = oracle.beginWrite(KEY, 'upsert');
    oracle.logged(KEY, version, write.serial);
    oracle.endWrite(write, { kind: 'applied', version });
    return write;
  };
  /** A search that the cache answers, or shards do. Returns what is broken by then. */
  const search = async (isHit: boolean, answered: Answered, asked: Asked = {}) => {
    await kept.search(askedOf(asked), () => {
      kept.lookedUp(isHit);
      return Promise.resolve(answerOf(answered));
    });
    return findings.first?.invariant;
  };
  const asks = (answered: Answered, asked?: Asked) => search(false, answered, asked);
  const hits = (answered: Answered, asked?: Asked) => search(true, answered, asked);
  return { at, written, kept, counts, asks, hits };
}

function askedOf({ consistency = { boundedMs: 100 }, tenant = '', filter }: Asked): AskedSearch {
  const query = { vector: valuesOf(1, ''), k: 10, offset: 0, ef: 0, includeValues: true };
  const whole = { ...query, includeMetadata: true, ...(filter !== undefined && { filter }) };
  return { collection: COLLECTION, queries: [whole], options: { consistency, tenant } };
}

function answerOf(answered: Answered): SearchAnswer {
  const { shown, ageMs, appliedIndex = INDEX, isPartial = false } = answered;
  const hits = shown === undefined ? [] : [hitOf(...shown)];
  const part = { shardId: 0, ownershipVersion: 1, appliedIndex, nodeId: 1 };
  return {
    results: [hits],
    shards: isPartial ? { total: 2, ok: 1, failed: [1] } : { total: 1, ok: 1, failed: [] },
    degraded: isPartial,
    cutQueries: [],
    served: [{ ...part, ...(ageMs !== undefined && { ageMs }) }],
    epoch: 1,
  };
}

function hitOf({ serial, key }: Write, version: bigint): SearchAnswer['results'][number][number] {
  const values = valuesOf(serial, key);
  return { id: key, version, distance: 0, values, metadata: metadataOf(serial, 0) };
}

describe('the judge of kept answers', () => {
  it('lets pass what was answered before, with its age and the time since', async () => {
    const { at, written, counts, asks, hits } = harness();
    const shown = [written(1n), 1n] as const;
    at(1_000);
    expect(await asks({ shown, ageMs: 20 })).toBeUndefined();
    at(1_050);
    expect(await hits({ shown, ageMs: 70 })).toBeUndefined();
    expect(await hits({ shown, ageMs: 75 }, { consistency: 'eventual' })).toBeUndefined();
    expect(counts).toEqual({ hits: 2, misses: 1, evictions: 0 });
  });

  it('learns nothing from what was found when a newer table had come (V1)', async () => {
    const { kept, written, hits } = harness();
    const shown = [written(1n), 1n] as const;
    await kept.search(askedOf({}), async () => {
      await Promise.resolve();
      kept.lookedUp(true);
      return answerOf({ shown, ageMs: 0 });
    });
    expect(await hits({ shown, ageMs: 0 })).toBe('kept for the same search');
  });

  it('wants the same answer to the same search of the same tenant (V1)', async () => {
    const shown = (own = harness()) => ({ ...own, one: [own.written(1n), 1n] as const });
    const other = shown();
    await other.asks({ shown: other.one, ageMs: 0 });
    expect(await other.hits({ ageMs: 0 })).toBe('kept for the same search');
    const stranger = shown();
    await stranger.asks({ ageMs: 0 }, { tenant: 'acme' });
    const asked = { tenant: 'beta' };
    expect(await stranger.hits({ ageMs: 0 }, asked)).toBe('kept for the same search');
    const filtered = shown();
    await filtered.asks({ ageMs: 0 });
    const filter = Uint8Array.of(1);
    expect(await filtered.hits({ ageMs: 0 }, { filter })).toBe('kept for the same search');
  });

  it.each<Consistency>(['strong', 'leased', { session: [] }])(
    'wants %s reads to ask their shards (V1)',
    async (consistency) => {
      const { asks, hits } = harness();
      await asks({ ageMs: 0 });
      expect(await hits({ ageMs: 0 }, { consistency })).toBe('kept for the same search');
    },
  );

  it('wants an age that counts the time that the answer was kept (V2)', async () => {
    const { at, asks, hits } = harness();
    await asks({ ageMs: 20 });
    at(50);
    expect(await hits({ ageMs: 69 })).toBe('kept answers are young');
  });

  it('wants no answer that is older than its bound (V2)', async () => {
    const { at, asks, hits } = harness();
    await asks({ ageMs: 20 });
    at(80);
    expect(await hits({ ageMs: 100 })).toBeUndefined();
    at(81);
    expect(await hits({ ageMs: 101 })).toBe('kept answers are young');
  });

  it('wants none that is kept for an eventual read after a second (V2)', async () => {
    const { at, asks, hits } = harness();
    const asked = { consistency: 'eventual' } as const;
    await asks({ ageMs: 5_000 }, asked);
    at(1_000);
    expect(await hits({ ageMs: 6_000 }, asked)).toBeUndefined();
    at(1_001);
    expect(await hits({ ageMs: 6_001 }, asked)).toBe('kept answers are young');
  });

  it('wants none of unknown age (V4)', async () => {
    const { asks, hits } = harness();
    await asks({});
    expect(await hits({ ageMs: 0 })).toBe('kept answers are young');
  });

  it('wants none that came without a shard (V4, M-53)', async () => {
    const { asks, hits } = harness();
    await asks({ ageMs: 0, isPartial: true });
    expect(await hits({ ageMs: 0 })).toBe('kept for the same search');
  });

  it('wants none of an index that something newer was heard of before (V3)', async () => {
    const { kept, asks, hits } = harness();
    const part = { shardId: 0, ownershipVersion: 1, appliedIndex: INDEX };
    await asks({ ageMs: 0 });
    kept.told([part, { ...part, shardId: 1, appliedIndex: INDEX + 1 }]);
    expect(await hits({ ageMs: 0 })).toBeUndefined();
    kept.told([{ ...part, appliedIndex: INDEX + 1 }]);
    expect(await hits({ ageMs: 0 })).toBe('kept answers make way');
  });

  it('wants all that the process has written before, whatever the index (V3)', async () => {
    const { kept, written, asks, hits } = harness();
    const shown = [written(1n), 1n] as const;
    await asks({ shown, ageMs: 50 });
    written(2n);
    expect(await hits({ shown, ageMs: 50 })).toBeUndefined();
    kept.wrote(KEY, 'record', 2n);
    expect(await hits({ shown, ageMs: 50 })).toBe('reads are fresh');
  });

  it('wants what was complete as long ago as the answer says', async () => {
    const { at, written, asks, hits } = harness();
    const shown = [written(1n), 1n] as const;
    at(1_000);
    written(2n);
    at(1_050);
    await asks({ shown, ageMs: 51 });
    expect(await hits({ shown, ageMs: 51 })).toBeUndefined();
    await asks({ shown, ageMs: 50 });
    expect(await hits({ shown, ageMs: 50 })).toBe('reads are fresh');
  });

  it('misses what is gone from an answer, unless that is of a part of the records', async () => {
    const filtered = harness();
    filtered.written(1n);
    const asked = { filter: Uint8Array.of(1) };
    await filtered.asks({ ageMs: 0 }, asked);
    expect(await filtered.hits({ ageMs: 0 }, asked)).toBeUndefined();
    const whole = harness();
    whole.written(1n);
    await whole.asks({ ageMs: 0 });
    expect(await whole.hits({ ageMs: 0 })).toBe('acknowledged writes survive');
  });
});
