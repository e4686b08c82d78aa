// Goal: the cache never gives a wrong entry, keeps the newest ones, and stays within its bytes.
// Method: examples, and random appends and overwrites of several groups beside plain maps.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EntryCache } from '../../../src/storage/entry-cache.js';
import { entriesOf, entry } from './harness.js';

/** The collector of this process, which V8 hands out on demand. */
function exposedGarbageCollector(): () => void {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc');
}

/** What one entry with `data` counts. */
const costOf = (data: string): number => 128 + data.length;

describe('EntryCache', () => {
  it('gives what was put, by group and index', () => {
    const cache = new EntryCache(1e6);
    cache.put(1, entriesOf(5, 7, 1));
    cache.put(2, entriesOf(6, 6, 3));
    expect(cache.get(1, 6)).toEqual(entry(6, 1));
    expect(cache.get(2, 6)).toEqual(entry(6, 3));
    for (const index of [0, 4, 8]) expect(cache.get(1, index)).toBeUndefined();
    expect(cache.get(3, 6)).toBeUndefined();
  });

  it('evicts the oldest write first, whichever group it is of', () => {
    const data = 'x'.repeat(72);
    const cache = new EntryCache(3 * costOf(data));
    cache.put(1, [entry(1, 1, data)]);
    cache.put(2, [entry(1, 1, data)]);
    cache.put(1, [entry(2, 1, data)]);
    expect(cache.sizeBytes).toBe(600);
    cache.put(2, [entry(2, 1, data)]);
    expect(cache.get(1, 1)).toBeUndefined();
    expect(cache.get(2, 1)).toBeDefined();
    expect(cache.get(1, 2)).toBeDefined();
    expect(cache.get(2, 2)).toBeDefined();
    expect(cache.sizeBytes).toBe(600);
  });

  it('forgets a replaced suffix', () => {
    const cache = new EntryCache(1e6);
    cache.put(1, entriesOf(1, 9, 1));
    cache.put(1, entriesOf(4, 5, 2));
    expect(cache.get(1, 3)?.term).toBe(1);
    expect(cache.get(1, 5)?.term).toBe(2);
    expect(cache.get(1, 6)).toBeUndefined();
    cache.put(1, entriesOf(1, 1, 3));
    expect(cache.get(1, 1)?.term).toBe(3);
    expect(cache.get(1, 2)).toBeUndefined();
  });

  it('holds nothing that alone is larger than it', () => {
    const cache = new EntryCache(100);
    cache.put(1, [entry(1, 1, 'x'.repeat(1_000))]);
    expect(cache.get(1, 1)).toBeUndefined();
    expect(cache.sizeBytes).toBe(0);
    expect(new EntryCache(0).get(1, 1)).toBeUndefined();
  });

  it('is always right where it answers, and within its bound (property)', () => {
    const step = fc.record({
      group: fc.integer({ min: 1, max: 3 }),
      back: fc.nat({ max: 4 }),
      count: fc.integer({ min: 1, max: 5 }),
      size: fc.nat({ max: 300 }),
    });
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 80 }),
        fc.nat({ max: 4_000 }),
        (steps, sizeMaxBytes) => {
          const cache = new EntryCache(sizeMaxBytes);
          const logs = new Map<number, ReturnType<typeof entry>[]>();
          steps.forEach(({ group, back, count, size }, term) => {
            const log = logs.get(group) ?? [];
            logs.set(group, log);
            log.length = Math.max(0, log.length - back);
            const first = log.length + 1;
            const added = Array.from({ length: count }, (_, at) =>
              entry(first + at, term, 'x'.repeat(size)),
            );
            log.push(...added);
            cache.put(group, added);
            expect(cache.sizeBytes).toBeLessThanOrEqual(sizeMaxBytes);
            let cachedBytes = 0;
            for (const [groupId, expected] of logs) {
              for (let index = 0; index <= expected.length + 5; index++) {
                const found = cache.get(groupId, index);
                if (!found) continue;
                expect(found).toBe(expected[index - 1]);
                cachedBytes += 128 + found.data.length;
              }
            }
            expect(cachedBytes).toBe(cache.sizeBytes);
          });
        },
      ),
      { numRuns: 200 },
    );
  });

  it('lets go of what it evicts, so that the memory is free again', async () => {
    const collectGarbage = exposedGarbageCollector();
    const cache = new EntryCache(2 * costOf(''));
    const evicted: WeakRef<object>[] = [];
    for (let index = 1; index <= 10; index++) {
      const added = entry(index, 1, '');
      if (index <= 8) evicted.push(new WeakRef(added));
      cache.put(1, [added]);
    }
    // What was made or looked at in this turn of the event loop is kept until its end.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(evicted.filter((reference) => reference.deref() !== undefined)).toEqual([]);
    expect(cache.get(1, 10)?.index).toBe(10);
  });

  it('keeps working over many more entries than it holds', () => {
    const cache = new EntryCache(10 * costOf(''));
    for (let index = 1; index <= 20_000; index++) cache.put(1, [entry(index, 1, '')]);
    expect(cache.get(1, 19_990)).toBeUndefined();
    for (let index = 19_991; index <= 20_000; index++) {
      expect(cache.get(1, index)?.index).toBe(index);
    }
  });
});
