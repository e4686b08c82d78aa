// Goal: waiting ends with the work, the deadline or the caller, and leaves nothing behind.
// Method: a scheduler driven by hand, which counts its timers.
import { beforeEach, describe, expect, it } from 'vitest';
import { TIMEOUT_MS_MAX, withDeadline } from '../../../src/shared/deadline.js';
import type { Scheduler } from '../../../src/shared/environment.js';

interface HandTimer {
  readonly delayMs: number;
  readonly fire: () => void;
}

describe('a deadline', () => {
  let timers: Set<HandTimer>;
  let scheduler: Scheduler;

  beforeEach(() => {
    timers = new Set();
    scheduler = {
      after: (delayMs, fire) => {
        const timer = { delayMs, fire };
        timers.add(timer);
        return { cancel: () => void timers.delete(timer) };
      },
      every: () => ({ cancel: () => undefined }),
      soon: () => undefined,
    };
  });

  const never = (): Promise<never> => new Promise(() => undefined);

  it('lets the work through, its value and its error', async () => {
    const done = withDeadline(scheduler, Promise.resolve(7), { timeoutMs: 10 }, 'work');
    await expect(done).resolves.toBe(7);
    const failed = withDeadline(
      scheduler,
      Promise.reject(new Error('no')),
      { timeoutMs: 1 },
      'work',
    );
    await expect(failed).rejects.toThrow('no');
    expect(timers.size).toBe(0);
  });

  it('ends the wait in time, and drops what the work does later', async () => {
    let reject = (_error: Error): void => undefined;
    const late = new Promise<number>((_resolve, fail) => {
      reject = fail;
    });
    const waiting = withDeadline(scheduler, late, { timeoutMs: 10 }, 'work');
    for (const timer of timers) timer.fire();
    await expect(waiting).rejects.toMatchObject({ reason: 'DEADLINE_EXCEEDED' });
    reject(new Error('too late'));
    await expect(late).rejects.toThrow('too late');
  });

  it('says in whole milliseconds how long it was waited', async () => {
    const waiting = withDeadline(scheduler, never(), { timeoutMs: 999.9936100000004 }, 'work');
    for (const timer of timers) timer.fire();
    await expect(waiting).rejects.toThrow('work: no answer within 1000 ms');
  });

  it('ends the wait with the caller, before it began too', async () => {
    const caller = new AbortController();
    const deadline = { timeoutMs: 10, signal: caller.signal };
    const waiting = withDeadline(scheduler, never(), deadline, 'work');
    caller.abort();
    await expect(waiting).rejects.toMatchObject({ reason: 'CANCELLED' });
    const vain = withDeadline(scheduler, never(), deadline, 'work');
    await expect(vain).rejects.toMatchObject({ reason: 'CANCELLED' });
    expect(timers.size).toBe(0);
  });

  it.each([
    [-5, 0],
    [TIMEOUT_MS_MAX, TIMEOUT_MS_MAX],
    [TIMEOUT_MS_MAX + 1, TIMEOUT_MS_MAX],
    [Number.POSITIVE_INFINITY, TIMEOUT_MS_MAX],
  ])('of %d ms sets a timer of %d ms, which the platform can keep', (timeoutMs, delayMs) => {
    void withDeadline(scheduler, never(), { timeoutMs }, 'work');
    expect([...timers].map((timer) => timer.delayMs)).toEqual([delayMs]);
  });
});
