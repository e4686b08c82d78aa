// Goal: self time is counted by file, and only what lies in the window.
// Method: a profile written by hand: three places, five samples, known times.
import { describe, expect, it } from 'vitest';
import { selfTimesUs } from '../../../bench/harness/cpu-profile.js';
import { costTable } from '../../../bench/harness/profiled-phase.js';

const frame = (functionName: string, url = '') => ({
  functionName,
  url,
  scriptId: '0',
  lineNumber: 0,
  columnNumber: 0,
});

const profile = {
  nodes: [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('search', 'file:///app/dist/engine/search.js') },
    { id: 3, callFrame: frame('send', 'file:///app/node_modules/@grpc/grpc-js/build/src/call.js') },
    { id: 4, callFrame: frame('postMessage') },
  ],
  startTime: 1_000,
  endTime: 1_500,
  samples: [2, 1, 3, 2, 4],
  timeDeltas: [0, 100, 100, 100, 100],
};

describe('self times', () => {
  it('last from a sample to the next, by file', () => {
    const times = selfTimesUs(profile, { startUs: 0, endUs: 10_000 });
    expect(Object.fromEntries(times)).toEqual({
      'engine/search.js': 200,
      '(idle)': 100,
      '@grpc/grpc-js/call.js': 100,
    });
  });

  it('are cut at the ends of the window', () => {
    const times = selfTimesUs(profile, { startUs: 1_050, endUs: 1_210 });
    expect(Object.fromEntries(times)).toEqual({
      'engine/search.js': 50,
      '(idle)': 100,
      '@grpc/grpc-js/call.js': 10,
    });
  });

  it('are none where the thread was not there', () => {
    expect(selfTimesUs(profile, { startUs: 5_000, endUs: 6_000 }).size).toBe(0);
  });

  it('stand side by side, thread by thread, the dearest first, without what costs nothing', () => {
    const lines = costTable([
      {
        load: 'search',
        perCallUs: new Map([
          ['a | x', 2],
          ['b | y', 9],
          ['a | z', 30],
        ]),
      },
      {
        load: 'empty',
        perCallUs: new Map([
          ['a | x', 40],
          ['a | w', 0.2],
        ]),
      },
    ]);
    expect(lines.slice(2)).toEqual([
      '| a | x | 2.0 | 40.0 |',
      '| a | z | 30.0 | 0.0 |',
      '| b | y | 9.0 | 0.0 |',
    ]);
  });
});
