// Goal: a client remembers what it saw, and says how fresh its reads are to be.
// Method: answers by hand, and what the next request has in it.
import { describe, expect, it } from 'vitest';
import { type Consistency, ReadSession } from '../../../src/client/read-session.js';
import { decodeSessionToken, withSeen } from '../../../src/shared/codec/session-token.js';
import { FlotillaError } from '../../../src/shared/errors.js';

const seen = (shardId: number, appliedIndex: number) => {
  return { shardId, appliedIndex, ownershipVersion: 1 };
};

describe('the session of a client', () => {
  it('sends along what its answers told, the furthest of each shard (R13)', () => {
    const session = new ReadSession();
    expect(session.fieldsOf('session')).toEqual({ freshness: { session: [] } });
    session.note([seen(0, 5), { ...seen(1, 9), nodeId: 2, ageMs: 4 } as never]);
    session.note([seen(1, 7), seen(0, 6)]);
    expect(session.fieldsOf('session')).toEqual({
      freshness: { session: [seen(0, 6), seen(1, 9)] },
    });
  });

  it('knows that it does not know what an old node has answered, for good (F-15, R15)', () => {
    const untold = { shardId: 0, ownershipVersion: 0, appliedIndex: 0 };
    for (const nothing of [undefined, []]) {
      const session = new ReadSession();
      session.note([seen(0, 5), seen(2, 5)]);
      session.note(nothing);
      session.note([seen(0, 8)]);
      expect(session.fieldsOf('session')).toEqual({
        freshness: { session: [untold, seen(2, 5)] },
      });
      expect(decodeSessionToken(session.token, 'session')).toContainEqual(untold);
    }
  });

  it('takes what errors tell: a condition that does not hold was seen as well (R13)', () => {
    const session = new ReadSession();
    const conflict = new FlotillaError('VERSION_CONFLICT', 'another version');
    session.noteError(conflict);
    expect(session.token).toBe('');
    session.noteError(withSeen(conflict, [seen(0, 5), seen(2, 9)]));
    expect(session.fieldsOf('session')).toEqual({
      freshness: { session: [seen(0, 5), seen(2, 9)] },
    });
    // Of a version that this one does not know: then all it knows is that it does not know.
    const details = { session: 'of another format' };
    session.noteError(new FlotillaError('VERSION_CONFLICT', 'another version', { details }));
    expect(session.fieldsOf('session')).toEqual({
      freshness: {
        session: [{ shardId: 0, ownershipVersion: 0, appliedIndex: 0 }, seen(2, 9)],
      },
    });
  });

  it('is text for another client', () => {
    const session = new ReadSession();
    expect(session.token).toBe('');
    session.note([seen(3, 12)]);
    expect(decodeSessionToken(session.token, 'session')).toEqual([seen(3, 12)]);
    expect(new ReadSession().fieldsOf({ session: session.token })).toEqual({
      freshness: { session: [seen(3, 12)] },
    });
    expect(new ReadSession().fieldsOf({ session: '' })).toEqual({ freshness: { session: [] } });
  });
});

describe('the freshness of a read', () => {
  it('is one of two fields, of which old servers know the first', () => {
    const session = new ReadSession();
    expect(session.fieldsOf(undefined)).toEqual({});
    expect(session.fieldsOf('strong')).toEqual({ consistency: 'strong' });
    expect(session.fieldsOf('leased')).toEqual({ consistency: 'leased' });
    expect(session.fieldsOf('eventual')).toEqual({ freshness: 'eventual' });
    expect(session.fieldsOf({ boundedMs: 20 })).toEqual({ freshness: { boundedMs: 20 } });
  });

  it.each([
    'weak',
    '',
    null,
    7,
    {},
    [],
    { boundedMs: 0 },
    { boundedMs: -1 },
    { boundedMs: 1.5 },
    { boundedMs: Number.NaN },
    { boundedMs: '20' },
    { boundedMs: 20, session: '' },
    { session: 3 },
    { session: 'no token' },
  ])('is refused as %j before anything is sent (P-9)', (level) => {
    expect(() => new ReadSession().fieldsOf(level as unknown as Consistency)).toThrow(
      expect.objectContaining({ reason: 'INVALID_REQUEST' }),
    );
  });
});
