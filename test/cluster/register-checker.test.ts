// Goal: the checker of histories finds what it is for, and nothing else.
// Method: small histories by hand, and random ones of a true register and of a stale one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Operation, registerFault } from './register-checker.js';

const write = (value: number, start: number, end: number): Operation => ({
  kind: 'write',
  value,
  start,
  end,
});
const read = (value: number, start: number, end: number): Operation => ({
  kind: 'read',
  value,
  start,
  end,
});

describe('registerFault', () => {
  it('accepts a history in order, and reads that overlap a write on either side of it', () => {
    expect(registerFault([read(0, 1, 2), write(1, 3, 4), read(1, 5, 6)])).toBeUndefined();
    const during = [write(1, 1, 10), read(0, 2, 3), read(1, 4, 5), read(1, 11, 12)];
    expect(registerFault(during)).toBeUndefined();
  });

  it('accepts an unknown write that shows up late, early or never', () => {
    expect(registerFault([write(1, 1, Infinity), read(0, 2, 3), read(1, 8, 9)])).toBeUndefined();
    expect(registerFault([write(1, 1, Infinity), write(2, 2, 3), read(2, 4, 5)])).toBeUndefined();
  });

  it('finds a lost write', () => {
    expect(registerFault([write(1, 1, 2), read(0, 3, 4)])).toBeDefined();
  });

  it('finds a stale read', () => {
    expect(registerFault([write(1, 1, 2), write(2, 3, 4), read(1, 5, 6)])).toBeDefined();
  });

  it('finds two reads that see two writes in two orders', () => {
    const writes = [write(1, 1, 10), write(2, 1, 10)];
    const reads = [read(1, 11, 12), read(2, 13, 14), read(1, 15, 16)];
    expect(registerFault([...writes, ...reads])).toBeDefined();
  });

  it('finds an unknown write that shows up, goes away and comes back', () => {
    const reads = [read(1, 2, 3), read(0, 4, 5)];
    expect(registerFault([write(1, 1, Infinity), ...reads])).toBeDefined();
  });

  it('finds values from nowhere and from the future', () => {
    expect(registerFault([read(7, 1, 2)])).toBeDefined();
    expect(registerFault([read(1, 1, 2), write(1, 3, 4)])).toBeDefined();
  });

  it('accepts every run of a true register', () => {
    const steps = fc.array(
      fc.record({
        isWrite: fc.boolean(),
        before: fc.integer({ min: 0, max: 30 }),
        after: fc.integer({ min: 0, max: 30 }),
        isUnknown: fc.boolean(),
      }),
      { maxLength: 30 },
    );
    fc.assert(
      fc.property(steps, (taken) => {
        let held = 0;
        const history = taken.map(({ isWrite, before, after, isUnknown }, at): Operation => {
          // The operation takes effect at 10 x at, somewhere between its start and its end.
          const effect = 10 * (at + 4);
          if (isWrite) held = at + 1;
          const end = isWrite && isUnknown ? Infinity : effect + after + 0.2;
          return { kind: isWrite ? 'write' : 'read', value: held, start: effect - before, end };
        });
        expect(registerFault(history)).toBeUndefined();
      }),
    );
  });
});
