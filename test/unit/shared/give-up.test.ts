// Goal: a caller that gives up is heard once by each who listens, as through an AbortSignal.
// Method: the same steps on both, and their records side by side.
import { describe, expect, it } from 'vitest';
import { GiveUp, type GiveUpSignal } from '../../../src/shared/give-up.js';

interface Subject {
  readonly signal: GiveUpSignal;
  readonly abort: () => void;
}

function ofPlatform(): Subject {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort() };
}

function ofCalls(): Subject {
  const giveUp = new GiveUp();
  return { signal: giveUp, abort: () => giveUp.abort() };
}

describe.each([
  { name: 'an AbortSignal', make: ofPlatform },
  { name: 'the signal of a call', make: ofCalls },
])('$name', ({ make }) => {
  it('tells each listener once, in the order in which they came', () => {
    const { signal, abort } = make();
    const told: string[] = [];
    signal.addEventListener('abort', () => told.push('first'), { once: true });
    signal.addEventListener('abort', () => told.push('second'), { once: true });
    expect(signal.aborted).toBe(false);
    abort();
    abort();
    expect(signal.aborted).toBe(true);
    expect(told).toEqual(['first', 'second']);
  });

  it('takes a listener that is added twice for one', () => {
    const { signal, abort } = make();
    let count = 0;
    const listener = (): void => void count++;
    signal.addEventListener('abort', listener, { once: true });
    signal.addEventListener('abort', listener, { once: true });
    abort();
    expect(count).toBe(1);
  });

  it('says to its listeners that it is aborted', () => {
    const { signal, abort } = make();
    let seen: boolean | undefined;
    signal.addEventListener('abort', () => (seen = signal.aborted), { once: true });
    abort();
    expect(seen).toBe(true);
  });

  it('tells nobody who has stopped to listen, or comes too late', () => {
    const { signal, abort } = make();
    const told: string[] = [];
    const gone = (): void => void told.push('gone');
    signal.addEventListener('abort', gone, { once: true });
    signal.removeEventListener('abort', gone);
    abort();
    signal.addEventListener('abort', () => told.push('late'), { once: true });
    abort();
    expect(told).toEqual([]);
  });

  it('does not tell a listener that another one has removed meanwhile', () => {
    const { signal, abort } = make();
    const told: string[] = [];
    const second = (): void => void told.push('second');
    const first = (): void => {
      told.push('first');
      signal.removeEventListener('abort', second);
      signal.addEventListener('abort', () => told.push('added'), { once: true });
    };
    signal.addEventListener('abort', first, { once: true });
    signal.addEventListener('abort', second, { once: true });
    abort();
    expect(told).toEqual(['first']);
  });
});
