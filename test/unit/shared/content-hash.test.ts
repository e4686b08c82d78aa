// Goal: the hash of a replica tells contents apart, and is compared only at one index (P-6).
// Method: hashes of collections written down, and every pair of positions and contents.
import { describe, expect, it } from 'vitest';
import {
  divergentNodes,
  NO_HASH,
  sameContent,
  shardContentHash,
} from '../../../src/shared/content-hash.js';

const hash = (digit: string): string => digit.repeat(32);

describe('the hash of all collections', () => {
  it('does not depend on their order, and counts those without records for nothing', () => {
    const [a, b] = [
      { collectionId: 1, contentHash: hash('a') },
      { collectionId: 2, contentHash: hash('b') },
    ];
    const whole = shardContentHash([a, b]);
    expect(whole).toMatch(/^[0-9a-f]{32}$/);
    expect(shardContentHash([b, a])).toBe(whole);
    expect(shardContentHash([a, b, { collectionId: 3, contentHash: hash('0') }])).toBe(whole);
    expect(shardContentHash([])).toBe(NO_HASH);
    expect(NO_HASH).toBe(hash('0'));
  });

  it('means the same records where their number is the same too', () => {
    const one = { records: 2, hash: hash('a') };
    expect(sameContent(one, { ...one })).toBe(true);
    expect(sameContent(one, { ...one, records: 3 })).toBe(false);
    expect(sameContent(one, { ...one, hash: hash('b') })).toBe(false);
  });

  it('tells the same records in another collection apart, and one record more', () => {
    const hashes = [
      [{ collectionId: 1, contentHash: hash('a') }],
      [{ collectionId: 2, contentHash: hash('a') }],
      [{ collectionId: 1, contentHash: hash('f') }],
      [
        { collectionId: 1, contentHash: hash('a') },
        { collectionId: 2, contentHash: hash('a') },
      ],
    ].map(shardContentHash);
    expect(new Set(hashes).size).toBe(hashes.length);
  });

  it('is not known where that of one is not', () => {
    expect(shardContentHash([{ collectionId: 1 }])).toBeUndefined();
  });
});

describe('replicas that hold different records', () => {
  const of = (nodeId: number, contentIndex: number, contentHash: string) => {
    return { nodeId, contentIndex, contentHash };
  };

  it('are those of other hashes at one index', () => {
    expect(divergentNodes([of(3, 7, 'b'), of(1, 7, 'a'), of(2, 6, 'c')])).toEqual([1, 3]);
    expect(divergentNodes([of(1, 7, 'a'), of(2, 7, 'a'), of(3, 8, 'b')])).toEqual([]);
  });

  it('are none where nothing is known of them', () => {
    expect(divergentNodes([of(1, 7, ''), of(2, 7, 'a'), of(3, 7, '')])).toEqual([]);
    expect(divergentNodes([])).toEqual([]);
  });
});
