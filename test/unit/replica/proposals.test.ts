// Goal: whoever waits for a proposal learns its true outcome, exactly once (A8).
// Method: settle waiters by every way out and look at what they got.
import { describe, expect, it } from 'vitest';
import { Proposals } from '../../../src/replica/proposals.js';

describe('Proposals', () => {
  it('answers with the result when the very entry is applied (A8)', async () => {
    const proposals = new Proposals<string>();
    const outcome = proposals.wait(5, 2, 100);
    proposals.applied(5, 2, 'done');
    expect(await outcome).toEqual({ kind: 'applied', index: 5, result: 'done' });
  });

  it('answers lost when an entry of another term took the index (A8)', async () => {
    const proposals = new Proposals<string>();
    const outcome = proposals.wait(5, 2, 100);
    proposals.applied(5, 3, 'of someone else');
    expect(await outcome).toEqual({ kind: 'lost' });
  });

  it('answers lost when a no-op took the index', async () => {
    const proposals = new Proposals<string>();
    const outcome = proposals.wait(5, 2, 100);
    proposals.passed(5);
    expect(await outcome).toEqual({ kind: 'lost' });
  });

  it('answers unknown to the older of two at one index: another replica may have it', async () => {
    const proposals = new Proposals<string>();
    const older = proposals.wait(5, 2, 100);
    const newer = proposals.wait(5, 4, 30);
    expect((await older).kind).toBe('unknown');
    expect(proposals.pendingBytes).toBe(30);
    proposals.applied(5, 4, 'done');
    expect((await newer).kind).toBe('applied');
  });

  it('answers unknown to all that is pending when the leadership ends (S-45)', async () => {
    const proposals = new Proposals<string>();
    const outcomes = [proposals.wait(5, 2, 10), proposals.wait(6, 2, 10)];
    proposals.abandon('stepped down');
    for (const outcome of await Promise.all(outcomes)) {
      expect(outcome).toMatchObject({ kind: 'unknown', error: { reason: 'OUTCOME_UNKNOWN' } });
    }
    expect(proposals.size).toBe(0);
    expect(proposals.pendingBytes).toBe(0);
    proposals.applied(5, 2, 'too late');
  });

  it('counts the bytes of what is pending', () => {
    const proposals = new Proposals<string>();
    void proposals.wait(1, 1, 10);
    void proposals.wait(2, 1, 20);
    expect(proposals.pendingBytes).toBe(30);
    proposals.applied(1, 1, '');
    expect(proposals.pendingBytes).toBe(20);
  });
});
