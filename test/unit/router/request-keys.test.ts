// Goal: the router's keys are never used twice, and let shards forget what is answered.
// Method: leases taken and released in tables and at random.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RequestKeys } from '../../../src/router/request-keys.js';
import { defined } from '../../../src/shared/assert.js';
import { LIMITS } from '../../../src/shared/limits.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

const keysOf = (clientId = 'router'): RequestKeys =>
  new RequestKeys(new VirtualEnvironment({ wallMs: 5_000 }), clientId);

describe('RequestKeys', () => {
  it('counts requests from 1 under the client id and its stamp', () => {
    const keys = keysOf();
    const stamp = { clientId: 'router', clientStampMs: 5_000 };
    expect(keys.take().key()).toEqual({ ...stamp, sequence: 1, lowestUnanswered: 1 });
    expect(keys.take().key()).toEqual({ ...stamp, sequence: 2, lowestUnanswered: 1 });
  });

  it('raises the lowest unanswered sequence as answers come, also for a retry', () => {
    const keys = keysOf();
    const [first, second, third] = [keys.take(), keys.take(), keys.take()];
    second.release();
    expect(third.key().lowestUnanswered).toBe(1);
    first.release();
    first.release();
    expect(third.key().lowestUnanswered).toBe(3);
    third.release();
    expect(keys.take().key()).toMatchObject({ sequence: 4, lowestUnanswered: 4 });
  });

  it('goes on under a new client before a slow request makes shards forget it', () => {
    const keys = keysOf();
    const slow = keys.take();
    const window = LIMITS.sessionRequestsMax.value / 2;
    for (let request = 2; request <= window; request++) keys.take().release();
    expect(slow.key()).toMatchObject({ clientId: 'router', sequence: 1 });
    const next = keys.take().key();
    expect(next.clientId).not.toBe('router');
    expect(next).toMatchObject({ sequence: 1, lowestUnanswered: 1 });
  });

  it('replaces a client that shards have forgotten, once for all that meet it', () => {
    const keys = keysOf();
    const [a, b] = [keys.take(), keys.take()];
    const newA = keys.takeInsteadOf(a).key();
    const newB = keys.takeInsteadOf(b).key();
    expect(newA.clientId).not.toBe('router');
    expect(newB).toMatchObject({ clientId: newA.clientId, sequence: 2 });
  });

  it('never gives a key twice and never forgets an open request', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 5 }), { maxLength: 1_500 }), (steps) => {
        const keys = keysOf();
        const open = [keys.take()];
        const seen = new Set<string>();
        for (const step of steps) {
          const lease = keys.take();
          const { clientId, sequence } = lease.key();
          expect(seen.has(`${clientId}/${sequence}`)).toBe(false);
          seen.add(`${clientId}/${sequence}`);
          open.push(lease);
          while (open.length > step + 1) defined(open.splice(step, 1)[0], 'a lease').release();
          for (const one of open) {
            const key = one.key();
            expect(key.lowestUnanswered).toBeLessThanOrEqual(key.sequence);
            expect(key.sequence - key.lowestUnanswered).toBeLessThan(
              LIMITS.sessionRequestsMax.value,
            );
          }
        }
      }),
      { numRuns: 15 },
    );
  });
});
