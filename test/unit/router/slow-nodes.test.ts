// Goal: only who is late time after time is passed by, and one read a second looks again.
// Method: a sequence of late and timely answers on a clock that the test moves.
import { describe, expect, it } from 'vitest';
import { SlowNodes } from '../../../src/router/slow-nodes.js';

function slowNodes() {
  const time = { nowMs: 0 };
  const slow = new SlowNodes({ wallMs: () => 0, monotonicMs: () => time.nowMs });
  const noteLate = (times: number): void => {
    for (let at = 0; at < times; at++) slow.noteLate(1);
  };
  return { slow, time, noteLate };
}

describe('a node', () => {
  it('is passed by after five late answers in a row, and not before', () => {
    const { slow, noteLate } = slowNodes();
    noteLate(4);
    expect(slow.isPassedBy(1)).toBe(false);
    slow.noteTimely(1);
    noteLate(4);
    expect(slow.isPassedBy(1)).toBe(false);
    noteLate(1);
    expect([slow.isPassedBy(1), slow.isPassedBy(2)]).toEqual([true, false]);
  });

  it('is passed by at once after a long silence', () => {
    const { slow } = slowNodes();
    slow.noteSilent(1);
    expect(slow.isPassedBy(1)).toBe(true);
  });

  it('is looked at by one read a second, until it answers in time', () => {
    const { slow, time, noteLate } = slowNodes();
    noteLate(5);
    for (let second = 0; second < 3; second++) {
      time.nowMs += 999;
      expect(slow.isPassedBy(1)).toBe(true);
      time.nowMs += 1;
      expect(slow.isPassedBy(1)).toBe(false);
      slow.noteAsked(1);
      expect(slow.isPassedBy(1)).toBe(true);
      slow.noteLate(1);
    }
    slow.noteTimely(1);
    expect(slow.isPassedBy(1)).toBe(false);
  });
});
