// Goal: session tokens survive being text, grow by what is seen, and are checked at the door (R15).
// Method: round trips on random sessions, every cut and flip of a token, bounds at their edges.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import { decodeSessionToken, encodeSessionToken } from '../../../src/shared/codec/session-token.js';
import { isUntold, noteSeen, type SeenShard, UNTOLD } from '../../../src/shared/consistency.js';
import { LIMITS } from '../../../src/shared/limits.js';

const seen: fc.Arbitrary<SeenShard> = fc.record({
  shardId: fc.nat(LIMITS.shardsMax.value - 1),
  ownershipVersion: fc.maxSafeNat(),
  appliedIndex: fc.maxSafeNat(),
});
const session = fc.uniqueArray(seen, { selector: ({ shardId }) => shardId, maxLength: 40 });
const refused = { reason: 'INVALID_REQUEST', field: 'consistency.session' };

function decode(text: string): readonly SeenShard[] {
  return decodeSessionToken(text, 'consistency.session');
}

function refusalOf(text: string): unknown {
  try {
    return decode(text);
  } catch (error) {
    return error;
  }
}

describe('a session token', () => {
  it('keeps the session, in one order whatever the order of the session', () => {
    fc.assert(
      fc.property(session, (shards) => {
        const token = encodeSessionToken(shards);
        expect(new Set(decode(token))).toEqual(new Set(shards));
        expect(encodeSessionToken([...shards].reverse())).toBe(token);
      }),
    );
    expect(encodeSessionToken([])).toBe('');
    expect(decode('')).toEqual([]);
  });

  it('is short for the largest cluster there may be', () => {
    const shards = Array.from({ length: LIMITS.shardsMax.value }, (_, shardId) => ({
      shardId,
      ownershipVersion: Number.MAX_SAFE_INTEGER,
      appliedIndex: Number.MAX_SAFE_INTEGER,
    }));
    const token = encodeSessionToken(shards);
    expect(token.length).toBeLessThanOrEqual(8 * 1024);
    expect(decode(token)).toEqual(shards);
  });

  it('is refused where it is cut, changed or no token, and names the field (P-9)', () => {
    const token = encodeSessionToken([
      { shardId: 1, ownershipVersion: 2, appliedIndex: 300 },
      { shardId: 5, ownershipVersion: 1, appliedIndex: 7 },
    ]);
    for (let length = 1; length < token.length; length++) {
      expect(refusalOf(token.slice(0, length))).toMatchObject(refused);
    }
    for (let at = 0; at < token.length; at++) {
      const other = token[at] === 'A' ? 'B' : 'A';
      expect(refusalOf(token.slice(0, at) + other + token.slice(at + 1))).toMatchObject(refused);
    }
    expect(refusalOf(`${token}=`)).toMatchObject(refused);
    expect(refusalOf(` ${token}`)).toMatchObject(refused);
    expect(refusalOf('A'.repeat(1_000_000))).toMatchObject(refused);
  });

  it('is refused where it names a shard twice', () => {
    const once = { shardId: 1, ownershipVersion: 1, appliedIndex: 3 };
    expect(refusalOf(encodeSessionToken([once, { ...once, appliedIndex: 4 }]))).toMatchObject(
      refused,
    );
  });
});

describe('what a session has seen', () => {
  it('only grows, whatever the order of the answers', () => {
    fc.assert(
      fc.property(fc.array(seen, { maxLength: 30 }), (answers) => {
        const known = new Map<number, SeenShard>();
        noteSeen(known, answers);
        const other = new Map<number, SeenShard>();
        noteSeen(other, [...answers].reverse());
        expect(other).toEqual(known);
        for (const one of answers) {
          const kept = defined(known.get(one.shardId), 'what was seen');
          if (isUntold(kept)) continue;
          expect(kept.ownershipVersion).toBeGreaterThanOrEqual(one.ownershipVersion);
          expect(kept.appliedIndex).toBeGreaterThanOrEqual(one.appliedIndex);
        }
      }),
    );
  });

  it('goes on by the log of a shard when that owns something else (R15)', () => {
    const known = new Map<number, SeenShard>();
    noteSeen(known, [{ shardId: 1, ownershipVersion: 1, appliedIndex: 50 }]);
    noteSeen(known, [{ shardId: 1, ownershipVersion: 2, appliedIndex: 49 }]);
    expect(known.get(1)).toEqual({ shardId: 1, ownershipVersion: 2, appliedIndex: 50 });
    noteSeen(known, [{ shardId: 1, ownershipVersion: 1, appliedIndex: 51 }]);
    expect(known.get(1)).toEqual({ shardId: 1, ownershipVersion: 2, appliedIndex: 51 });
  });

  it('keeps the sign that something was seen which nobody told, for good', () => {
    const known = new Map<number, SeenShard>();
    const told = { shardId: 0, ownershipVersion: 3, appliedIndex: 5 };
    noteSeen(known, [told, { ...UNTOLD, appliedIndex: 9 }, told]);
    expect(known.get(0)).toEqual(UNTOLD);
  });
});
