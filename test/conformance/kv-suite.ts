// Goal: every key-value database keeps the promises of shared/kv.ts, the twin like the real one.
// Method: the same cases against whatever the factory opens, plus random operations beside a model.
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/shared/bytes.js';
import type { Kv, KvEntry, KvOperation, KvRange } from '../../src/shared/kv.js';

export interface KvPlace {
  /** Opens the database, or opens it again with what it held. */
  open(): Promise<Kv>;
  remove(): Promise<void>;
}

const put = (key: string, value: string): KvOperation => ({
  type: 'put',
  key: utf8(key),
  value: utf8(value),
});
const del = (key: string): KvOperation => ({ type: 'del', key: utf8(key) });
const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString('latin1');

const EVERYTHING: KvRange = { gte: Uint8Array.of(), lt: Uint8Array.of(255, 255, 255, 255, 255) };

async function collect(pages: AsyncIterable<KvEntry[]>): Promise<string[]> {
  const found: string[] = [];
  for await (const page of pages) {
    for (const { key, value } of page) found.push(`${text(key)}=${text(value)}`);
  }
  return found;
}

export function kvSuite(name: string, makePlace: () => Promise<KvPlace>): void {
  describe(`${name} as a key-value database`, () => {
    const places: KvPlace[] = [];

    async function newPlace(): Promise<KvPlace> {
      const place = await makePlace();
      places.push(place);
      return place;
    }

    afterEach(async () => {
      for (const place of places.splice(0)) await place.remove();
    });

    it('gives back what was put, in all three ways, and undefined for what was not', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), put('b', '')], { sync: false });
      expect(text(await kv.get(utf8('a')))).toBe('1');
      expect(text(kv.getSync(utf8('b')))).toBe('');
      expect(kv.getSync(utf8('c'))).toBeUndefined();
      expect(await kv.get(utf8('c'))).toBeUndefined();
      const many = await kv.getMany([utf8('b'), utf8('c'), utf8('a')]);
      expect(many.map(text)).toEqual(['', undefined, '1']);
      await kv.close();
    });

    it('applies the operations of a batch in their order', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), del('a'), put('b', '1'), put('b', '2')], { sync: true });
      expect(await collect(kv.scan(EVERYTHING))).toEqual(['b=2']);
      await kv.batch([del('b'), del('never there')], { sync: true });
      expect(await collect(kv.scan(EVERYTHING))).toEqual([]);
      await kv.close();
    });

    it('scans a half-open range in the order of the bytes, both ways, up to a limit', async () => {
      const kv = await (await newPlace()).open();
      const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [128, 0], [255]];
      await kv.batch(
        keys.map((key) => ({ type: 'put', key: Uint8Array.from(key), value: utf8('') })),
        { sync: false },
      );
      const range = { gte: Uint8Array.of(0, 0), lt: Uint8Array.of(128, 0) };
      const found = async (more: Partial<KvRange>): Promise<number[][]> => {
        const all: number[][] = [];
        for await (const page of kv.scan({ ...range, ...more }, { pageSize: 2 })) {
          expect(page.length).toBeLessThanOrEqual(2);
          all.push(...page.map(({ key }) => [...key]));
        }
        return all;
      };
      const inside = [[0, 0], [0, 255], [1], [127], [128]];
      expect(await found({})).toEqual(inside);
      expect(await found({ reverse: true })).toEqual(inside.toReversed());
      expect(await found({ limit: 3 })).toEqual(inside.slice(0, 3));
      expect(await found({ limit: 2, reverse: true })).toEqual([[128], [127]]);
      expect(await found({ limit: 0 })).toEqual([]);
      expect(await found({ gte: Uint8Array.of(9), lt: Uint8Array.of(3) })).toEqual([]);
      await kv.close();
    });

    it('scans the state at the start of the iteration, whatever is written meanwhile', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), put('b', '1'), put('c', '1')], { sync: false });
      const pages = kv.scan(EVERYTHING, { pageSize: 1 })[Symbol.asyncIterator]();
      const first = await pages.next();
      expect(first.value.map((entry: KvEntry) => text(entry.key))).toEqual(['a']);
      await kv.batch([put('b', '2'), del('c'), put('d', '2')], { sync: false });
      const rest = await collect({ [Symbol.asyncIterator]: () => pages });
      expect(rest).toEqual(['b=1', 'c=1']);
      await kv.close();
    });

    it('pins a snapshot in the call, for any number of scans', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), put('b', '1')], { sync: false });
      const snapshot = kv.snapshot();
      const later = kv.batch([put('a', '2'), del('b'), put('c', '2')], { sync: true });
      expect(await collect(snapshot.scan(EVERYTHING))).toEqual(['a=1', 'b=1']);
      await later;
      expect(await collect(snapshot.scan(EVERYTHING, { pageSize: 1 }))).toEqual(['a=1', 'b=1']);
      const range = { ...EVERYTHING, reverse: true, limit: 1 };
      expect(await collect(snapshot.scan(range))).toEqual(['b=1']);
      const second = kv.snapshot();
      await snapshot.close();
      await snapshot.close();
      expect(await collect(second.scan(EVERYTHING))).toEqual(['a=2', 'c=2']);
      await second.close();
      await kv.close();
    });

    it('closes with a snapshot and a scan of it open, which end then', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), put('b', '1')], { sync: false });
      const snapshot = kv.snapshot();
      const pages = snapshot.scan(EVERYTHING, { pageSize: 1 })[Symbol.asyncIterator]();
      await pages.next();
      await kv.close();
      await expect(pages.next()).rejects.toThrow();
      await snapshot.close();
    });

    it('leaves an iteration that is given up in the middle', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1'), put('b', '1')], { sync: false });
      for await (const page of kv.scan(EVERYTHING, { pageSize: 1 })) {
        expect(page).toHaveLength(1);
        break;
      }
      await kv.close();
    });

    it('keeps its own bytes: callers may change what they gave and what they got', async () => {
      const kv = await (await newPlace()).open();
      const key = Buffer.from('key');
      const value = Buffer.from('value');
      await kv.batch([{ type: 'put', key, value }], { sync: true });
      key.fill(0);
      value.fill(0);
      kv.getSync(utf8('key'))?.fill(1);
      (await kv.get(utf8('key')))?.fill(1);
      for await (const page of kv.scan(EVERYTHING)) page[0]?.value.fill(1);
      expect(await collect(kv.scan(EVERYTHING))).toEqual(['key=value']);
      await kv.close();
    });

    it('hands out plain byte arrays, whose slice is a copy', async () => {
      const kv = await (await newPlace()).open();
      await kv.batch([put('a', '1')], { sync: false });
      expect(Object.getPrototypeOf(kv.getSync(utf8('a')))).toBe(Uint8Array.prototype);
      for await (const page of kv.scan(EVERYTHING)) {
        expect(Object.getPrototypeOf(page[0]?.key)).toBe(Uint8Array.prototype);
      }
      await kv.close();
    });

    it('holds after close and open what it held before', async () => {
      const place = await newPlace();
      const before = await place.open();
      await before.batch([put('a', '1')], { sync: true });
      await before.batch([put('b', '2')], { sync: false });
      await before.close();
      await before.close();
      const after = await place.open();
      expect(await collect(after.scan(EVERYTHING))).toEqual(['a=1', 'b=2']);
      await after.close();
    });

    it('refuses work after close', async () => {
      const kv = await (await newPlace()).open();
      await kv.close();
      expect(() => kv.getSync(utf8('a'))).toThrow();
      await expect(kv.get(utf8('a'))).rejects.toThrow();
      await expect(kv.batch([put('a', '1')], { sync: false })).rejects.toThrow();
      await expect(collect(kv.scan(EVERYTHING))).rejects.toThrow();
    });

    it('holds all or nothing of a batch that a close meets; all, where it resolved', async () => {
      const place = await newPlace();
      const before = await place.open();
      const batches = Array.from({ length: 20 }, (_, at) =>
        before.batch([put(`a${at}`, '1'), put('last', `${at}`), put(`b${at}`, '2')], {
          sync: true,
        }),
      );
      const settling = Promise.allSettled(batches);
      await before.close();
      const isDone = (await settling).map(({ status }) => status === 'fulfilled');
      const after = await place.open();
      for (const [at, done] of isDone.entries()) {
        const [first, second] = await after.getMany([utf8(`a${at}`), utf8(`b${at}`)]);
        const isThere = done || first !== undefined;
        expect([text(first), text(second)]).toEqual(isThere ? ['1', '2'] : [undefined, undefined]);
      }
      await after.close();
    });

    it('has one opener at a time', async () => {
      const place = await newPlace();
      const kv = await place.open();
      await expect(place.open()).rejects.toThrow();
      await kv.close();
      await (await place.open()).close();
    });

    it('equals a sorted map under random batches and ranges', async () => {
      const keys = fc
        .uint8Array({ maxLength: 2 })
        .map((key) => Buffer.from(key).toString('latin1'));
      const operation = fc.record({ key: keys, value: fc.option(fc.string({ maxLength: 3 })) });
      const script = fc.array(
        fc.record({ batch: fc.array(operation, { maxLength: 6 }), from: keys, to: keys }),
        { maxLength: 8 },
      );
      const bytes = (key: string): Uint8Array => Uint8Array.from(Buffer.from(key, 'latin1'));
      const kv = await (await newPlace()).open();
      await fc.assert(
        fc.asyncProperty(script, fc.boolean(), async (steps, reverse) => {
          const model = new Map<string, string>();
          await clear(kv);
          for (const { batch, from, to } of steps) {
            const operations = batch.map(({ key, value }): KvOperation => {
              if (value === null) model.delete(key);
              else model.set(key, value);
              return value === null
                ? { type: 'del', key: bytes(key) }
                : { type: 'put', key: bytes(key), value: utf8(value) };
            });
            // An empty key is not a key for every database.
            await kv.batch(
              operations.filter((o) => o.key.length > 0),
              { sync: false },
            );
            model.delete('');
            const expected = [...model].filter(([key]) => key >= from && key < to);
            expected.sort(([a], [b]) => (a < b ? -1 : 1));
            if (reverse) expected.reverse();
            const found = await collect(kv.scan({ gte: bytes(from), lt: bytes(to), reverse }));
            const encoded = expected.map(([key, value]) => `${key}=${text(utf8(value))}`);
            expect(found).toEqual(encoded);
          }
        }),
        { numRuns: 40 },
      );
      await kv.close();
    });
  });
}

async function clear(kv: Kv): Promise<void> {
  for await (const page of kv.scan(EVERYTHING)) {
    await kv.batch(
      page.map(({ key }) => ({ type: 'del', key })),
      { sync: false },
    );
  }
}
