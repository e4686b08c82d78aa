// Goal: scrolls see every record once and in order over shards that come and go, and a delete by
// filter deletes what matches.  Method: fake shards with scripted faults; properties for merging.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FetchedRecord, ScrollAnswer } from '../../../src/router/requests.js';
import { mergePages, type ScrollPart, shareOfPage } from '../../../src/router/scroll-merge.js';
import { encodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { decodeCursor, encodeCursor } from '../../../src/shared/codec/scroll-cursor.js';
import { encodeStruct, type JsonObject } from '../../../src/shared/codec/struct.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { comparePositions, type ScrollPosition } from '../../../src/shared/scroll-position.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { codePoint } from '../../support/code-point.js';
import { FakeCluster } from './fake-cluster.js';

const options = { timeoutMs: 5_000 };
const bare = { includeValues: false, includeMetadata: false };

/** Records r0 .. over all shards, with `{ odd }` as metadata. */
async function filledCluster(records: number, shards = 4): Promise<FakeCluster> {
  const cluster = new FakeCluster({ shards });
  await write(
    cluster,
    Array.from({ length: records }, (_, at) => `r${at}`),
  );
  return cluster;
}

async function write(cluster: FakeCluster, ids: readonly string[], more?: JsonObject) {
  const records = ids.map((id) => ({
    id,
    values: Float32Array.of(1, 2),
    metadata: encodeStruct(more ?? { odd: Number(id.slice(1)) % 2 === 1 }),
  }));
  await cluster.run(cluster.router.upsert('docs', records, options));
}

async function scrolled(
  cluster: FakeCluster,
  limit: number,
  filter?: Uint8Array,
): Promise<ScrollAnswer[]> {
  const pages: ScrollAnswer[] = [];
  let after: ScrollPosition | undefined;
  do {
    const query = { ...bare, limit, filter, after };
    const page = await cluster.run(cluster.router.scroll('docs', query, options));
    pages.push(page);
    after = page.next;
  } while (after !== undefined);
  return pages;
}

const idsOf = (pages: readonly ScrollAnswer[]): string[] =>
  pages.flatMap(({ records }) => records.map(({ id }) => id));
const numbered = (count: number): string[] => Array.from({ length: count }, (_, at) => `r${at}`);
const remaining = (cluster: FakeCluster): string[] =>
  cluster.shards.flatMap(({ records }) => [...records.keys()]).sort();

describe('a scroll', () => {
  it.each([1, 3, 7, 50, 1_000])('sees every record once, in order, %i a page', async (limit) => {
    const cluster = await filledCluster(60);
    const pages = await scrolled(cluster, limit);
    expect(idsOf(pages)).toEqual(numbered(60).sort());
    expect(Math.max(...pages.map(({ records }) => records.length))).toBeLessThanOrEqual(limit);
  });

  it('takes a filter, and asks each shard for its share of a page only', async () => {
    const cluster = await filledCluster(60);
    const pages = await scrolled(cluster, 400, encodeFilter({ odd: true }));
    expect(idsOf(pages)).toHaveLength(30);
    const asked = cluster.leaderOf(2).scrolls[0];
    expect(asked?.limit).toBe(shareOfPage(400, 4));
    expect(asked?.limit).toBeLessThan(150);
  });

  it('goes on where a leader is replaced, and begins anew under a newer table', async () => {
    const cluster = await filledCluster(40);
    const [first, ...others] = cluster.followersOf(1);
    cluster.leaderOf(1).faults = ['hang'];
    cluster.shard(1).elect(first?.nodeId ?? 0);
    expect(others).toHaveLength(1);
    expect(idsOf(await scrolled(cluster, 10))).toHaveLength(40);
    cluster.shard(2).ownershipVersion = 2;
    const work = cluster.run(cluster.router.scroll('docs', { ...bare, limit: 5 }, options));
    const { document } = applyTopologyCommand(cluster.document, {
      kind: 'beginDropCollection',
      collectionId: 99,
    });
    const shards = document.shards.map((one) =>
      one.shardId === 2 ? { ...one, ownershipVersion: 2 } : one,
    );
    cluster.view.publish({ ...document, shards, epoch: document.epoch + 1 });
    expect((await work).records).toHaveLength(5);
  });

  it('fails where a shard does not answer: a hole would go unnoticed', async () => {
    const cluster = await filledCluster(20);
    for (const replica of cluster.replicasOf(3)) replica.faults = [{ reject: 'NO_LEADER' }];
    const work = cluster.run(cluster.router.scroll('docs', { ...bare, limit: 5 }, options));
    await expect(work).rejects.toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
  });
});

describe('merging pages', () => {
  const record = (id: string, more: Partial<FetchedRecord> = {}): FetchedRecord => ({
    tenant: '',
    id,
    version: 1n,
    ...more,
  });
  const id = fc.string({ unit: codePoint, minLength: 1, maxLength: 3 });

  it('walks over everything once and in order, whatever the shards answer', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uniqueArray(id, { maxLength: 12 }), { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 6 }),
        (owned, limit, share) => {
          const shards = owned.map((ids, shard) =>
            ids.map((one) => record(`${one}${shard}`)).sort(comparePositions),
          );
          const seen: string[] = [];
          let after: ScrollPosition | undefined = { id: '', tenant: '' };
          for (let page = 0; after !== undefined; page++) {
            expect(page).toBeLessThan(100);
            const from: ScrollPosition = after;
            const parts = shards.map((all): ScrollPart => {
              const rest = all.filter((one) => comparePositions(one, from) > 0);
              const records = rest.slice(0, share);
              const last = records.at(-1);
              return rest.length > share && last !== undefined
                ? { records, next: last }
                : { records };
            });
            const merged = mergePages(parts, limit);
            expect(merged.records.length).toBeLessThanOrEqual(limit);
            seen.push(...merged.records.map((one) => one.id));
            after = merged.next;
          }
          const all = shards.flat().sort(comparePositions);
          expect(seen).toEqual(all.map((one) => one.id));
        },
      ),
    );
  });

  it('keeps the newest of a record that is on two shards', () => {
    const parts = [
      { records: [record('a'), record('b', { version: 3n })] },
      { records: [record('b', { version: 7n }), record('c')] },
    ];
    expect(mergePages(parts, 10).records.map((one) => `${one.id}${one.version}`)).toEqual([
      'a1',
      'b7',
      'c1',
    ]);
    expect(mergePages(parts, 2)).toMatchObject({ next: { id: 'b', tenant: '' } });
  });

  it('ends a page that has its bytes, with one record at least', () => {
    const huge = new Uint8Array(LIMITS.scrollBytesMax.value);
    const records = ['a', 'b', 'c'].map((one) => record(one, { values: huge }));
    const merged = mergePages([{ records }], 10);
    expect(merged.records.map((one) => one.id)).toEqual(['a']);
    expect(merged.next).toEqual({ id: 'a', tenant: '' });
  });

  it('goes on behind shards that looked and found nothing', () => {
    const next = { id: 'm', tenant: '' };
    expect(mergePages([{ records: [], next }, { records: [] }], 5)).toEqual({ records: [], next });
  });
});

describe('a cursor', () => {
  it('keeps any position', () => {
    const text = fc.string({ unit: codePoint, maxLength: 20 });
    fc.assert(
      fc.property(fc.record({ id: text, tenant: text }), (position) => {
        const cursor = encodeCursor(position);
        expect(cursor).toMatch(/^[\w-]+$/);
        expect(decodeCursor(cursor, 'cursor')).toEqual(position);
      }),
    );
  });

  it('is refused when anything of it is changed', () => {
    const cursor = encodeCursor({ id: 'report-7', tenant: 'x' });
    for (const wrong of [`${cursor}A`, cursor.slice(1), cursor.slice(0, -1), `${cursor} `]) {
      expect(() => decodeCursor(wrong, 'cursor')).toThrow(/^cursor is none/);
    }
  });
});

describe('a delete by filter', () => {
  const odd = { filter: encodeFilter({ odd: true }) };

  it('deletes what matches on all shards, and says how many', async () => {
    const cluster = await filledCluster(60);
    const answer = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(answer).toMatchObject({ deletedCount: 30 });
    expect(remaining(cluster)).toEqual(
      numbered(60)
        .filter((_, at) => at % 2 === 0)
        .sort(),
    );
    const again = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(again.deletedCount).toBe(0);
    // It has read what the first one did, whose answer might have been lost.
    expect(again.written).toHaveLength(cluster.shards.length);
  });

  it('ends after the work of one call, and tells where to go on', async () => {
    const cluster = await filledCluster(0);
    const all = LIMITS.deleteIdsMax.value + 1_500;
    await write(cluster, numbered(all), {});
    const everything = { filter: encodeFilter({}) };
    const first = await cluster.run(cluster.router.deleteByFilter('docs', everything, options));
    expect(first.next).toBeDefined();
    expect(first.deletedCount).toBeGreaterThanOrEqual(LIMITS.deleteIdsMax.value);
    const second = await cluster.run(
      cluster.router.deleteByFilter('docs', { ...everything, after: first.next }, options),
    );
    expect(second.next).toBeUndefined();
    expect(first.deletedCount + second.deletedCount).toBe(all);
    expect(remaining(cluster)).toEqual([]);
  });

  it('throws what stops it at the start, and keeps count of what was deleted before', async () => {
    const cluster = await filledCluster(60);
    for (const replica of cluster.replicasOf(1)) replica.faults = [{ reject: 'NO_LEADER' }];
    const failed = cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    await expect(failed).rejects.toMatchObject({ reason: 'SHARD_UNAVAILABLE' });

    // Reads go through, writes of one shard do not.
    for (const replica of cluster.replicasOf(1)) {
      replica.faults = ['none', { reject: 'LIMIT_EXCEEDED' }];
    }
    const partly = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(partly).toMatchObject({ next: { id: '', tenant: '' } });
    for (const replica of cluster.replicasOf(1)) replica.heal();
    const rest = await cluster.run(
      cluster.router.deleteByFilter('docs', { ...odd, after: partly.next }, options),
    );
    expect(rest.next).toBeUndefined();
    expect(partly.deletedCount + rest.deletedCount).toBe(30);
    expect(partly.deletedCount).toBeGreaterThan(0);
  });

  it('leaves alone what was written since it was read, and reports no error', async () => {
    const cluster = await filledCluster(60);
    const all = cluster.shards.map((_, shardId) => cluster.leaderOf(shardId));
    // Between the page and the delete somebody writes a record anew: it does not match any more.
    const rewritten = ['r1', 'r31', 'r59'];
    for (const [shardId, replica] of all.entries()) {
      const { records } = cluster.shard(shardId);
      const scroll = replica.scroll.bind(replica);
      replica.scroll = async (...asked) => {
        const page = await scroll(...asked);
        for (const id of rewritten) {
          const record = records.get(id);
          if (record !== undefined) records.set(id, { ...record, version: 1_000n });
        }
        return page;
      };
    }
    const answer = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(answer).toMatchObject({ deletedCount: 27 });
    const left = remaining(cluster);
    expect(left).toEqual(expect.arrayContaining(rewritten));
    expect(left).toHaveLength(33);
  });

  it('is no error where all of a page was written since', async () => {
    const cluster = await filledCluster(2, 1);
    const replica = cluster.leaderOf(0);
    const scroll = replica.scroll.bind(replica);
    replica.scroll = async (...asked) => {
      const { value: page } = await scroll(...asked);
      const records = page.records.map((one) => ({ ...one, version: 999n }));
      return { value: { ...page, records } };
    };
    const answer = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(answer).toMatchObject({ deletedCount: 0, written: [{ shardId: 0 }] });
    expect(remaining(cluster)).toHaveLength(2);
  });

  it('is deleted once although the answer to a proposal is lost (P-2)', async () => {
    const cluster = await filledCluster(60);
    cluster.leaderOf(0).faults = ['none', 'lose-answer', 'none'];
    const answer = await cluster.run(cluster.router.deleteByFilter('docs', odd, options));
    expect(answer).toMatchObject({ deletedCount: 30 });
  });
});

describe('a filter', () => {
  it('reaches each shard with searches and counts', async () => {
    const cluster = await filledCluster(20);
    const filter = encodeFilter({ odd: false });
    const target = { kind: 'vector' as const, values: Float32Array.of(1, 2) };
    const query = { target, limit: 20, ...bare, filter };
    const { results } = await cluster.run(cluster.router.search('docs', [query], options));
    expect(results[0]).toHaveLength(10);
    const counted = await cluster.run(cluster.router.count('docs', { ...options, filter }));
    expect(counted.count).toBe(10);
    const explained = await cluster.run(cluster.router.explain('docs', query, options));
    expect(explained.shards.map(({ shardId, plan }) => [shardId, plan])).toEqual(
      [0, 1, 2, 3].map((shardId) => [shardId, 'scan']),
    );
    expect([explained.failed, explained.degraded]).toEqual([[], false]);
  });

  it('is explained without a shard that fails only where that is allowed (F-20)', async () => {
    const cluster = await filledCluster(20);
    const target = { kind: 'vector' as const, values: Float32Array.of(1, 2) };
    const query = { target, limit: 20, ...bare };
    cluster.leaderOf(2).explain = () =>
      Promise.reject(new FlotillaError('DISK_FULL', 'no room for an answer'));
    const explain = (allowPartial: boolean) =>
      cluster.run(cluster.router.explain('docs', query, { ...options, allowPartial }));
    await expect(explain(false)).rejects.toMatchObject({ reason: 'SHARD_UNAVAILABLE' });
    const partial = await explain(true);
    expect(partial.shards.map(({ shardId }) => shardId)).toEqual([0, 1, 3]);
    expect(partial.failed.map(({ shardId }) => shardId)).toEqual([2]);
    expect(partial.degraded).toBe(true);
  });
});
