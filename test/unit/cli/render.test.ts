// Goal: tables and progress read well on a terminal and in a log file, and cannot be abused.
// Method: exact text from fixed inputs and a clock that is moved by hand.
import { describe, expect, it } from 'vitest';
import {
  formatDistance,
  formatDuration,
  formatInstant,
  formatPercent,
} from '../../../src/cli/render/format.js';
import { Progress } from '../../../src/cli/render/progress.js';
import { renderTable } from '../../../src/cli/render/table.js';

describe('distances', () => {
  it('have six digits, and 0 is 0 whatever was added up to it', () => {
    expect([0.123456789, -1.5, 0, -2.2e-16, 1e-9].map(formatDistance)).toEqual([
      '0.123457',
      '-1.50000',
      '0.00000',
      '0.00000',
      '1.00000e-9',
    ]);
  });
});

describe('instants', () => {
  it('are in UTC to the second, and shown as they are where no date is so far away', () => {
    expect(formatInstant(Date.UTC(2026, 0, 31, 12, 5, 7, 900))).toBe('2026-01-31 12:05:07Z');
    expect(formatInstant(8.64e15)).toBe('+275760-09-13 00:00:00Z');
    expect(formatInstant(Number.MAX_SAFE_INTEGER)).toBe('9007199254740991');
    expect(formatInstant(undefined)).toBe('');
  });
});

describe('renderTable', () => {
  it('makes columns as wide as their widest cell, without trailing blanks', () => {
    const table = renderTable(
      [{ title: 'id' }, { title: 'count', align: 'right' }, { title: 'note' }],
      [
        ['é', '7', ''],
        ['long id', '1,000', 'x'],
      ],
    );
    expect(table).toBe('ID       COUNT  NOTE\né            7\nlong id  1,000  x\n');
  });

  it('shows the titles of an empty table', () => {
    expect(renderTable([{ title: 'id' }], [])).toBe('ID\n');
  });

  it('does not let a cell steer the terminal or break its line', () => {
    expect(renderTable([{ title: 'id' }], [['a\x1b[2J\nb']])).toBe('ID\na\u{fffd}[2J\u{fffd}b\n');
  });
});

describe('formats', () => {
  it.each([
    [0, '0 ms'],
    [999, '999 ms'],
    [1_000, '1.0 s'],
    [59_900, '59.9 s'],
    [59_960, '1m 00s'],
    [123_000, '2m 03s'],
    [3_720_000, '1h 02m'],
  ])('%d ms is shown as %s', (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });

  it('shows percent with two decimals', () => {
    expect(formatPercent(0.453)).toBe('45.30 %');
  });
});

function makeProgress(isTerminal: boolean, columns = 100, doneBefore = 0) {
  const written: string[] = [];
  const clock = { nowMs: 0 };
  const progress = new Progress({
    output: { isTerminal, columns, isClosed: false, write: (text) => written.push(text) },
    monotonicMs: () => clock.nowMs,
    doneBefore,
  });
  return { written, clock, progress };
}

describe('Progress', () => {
  it('draws a bar over itself on a terminal, at most ten times a second', () => {
    const { written, clock, progress } = makeProgress(true);
    clock.nowMs = 2_000;
    progress.update({ done: 500, total: 1_000, records: 4_000 });
    clock.nowMs = 2_050;
    progress.update({ done: 600, total: 1_000, records: 4_800 });
    expect(written).toEqual([
      '\r\x1b[K[===============>              ] ' +
        ' 50.00 %  4,000 records  2,000 records/s  2.0 s left',
    ]);
    progress.finish({ done: 1_000, total: 1_000, records: 8_000 });
    expect(written.at(-1)).toBe('\n');
    expect(written.at(-2)).toContain(`[${'='.repeat(30)}] 100.00 %`);
  });

  it('never draws beyond the width of the terminal', () => {
    const { written, clock, progress } = makeProgress(true, 70);
    clock.nowMs = 1_000;
    progress.update({ done: 1, total: 3, records: 1_000 });
    expect((written[0] ?? '').replace('\r\x1b[K', '').length).toBeLessThan(70);
  });

  it('writes a line now and then elsewhere, without control characters', () => {
    const { written, clock, progress } = makeProgress(false);
    for (const nowMs of [1_000, 3_000, 6_000]) {
      clock.nowMs = nowMs;
      progress.update({ done: nowMs, total: 10_000, records: nowMs });
    }
    expect(written).toEqual([
      ' 10.00 %  1,000 records  1,000 records/s  9.0 s left\n',
      ' 60.00 %  6,000 records  1,000 records/s  4.0 s left\n',
    ]);
  });

  it('counts what an earlier run did for the share, not for the time left', () => {
    const { written, clock, progress } = makeProgress(false, 80, 5_000);
    clock.nowMs = 1_000;
    progress.update({ done: 6_000, total: 10_000, records: 100 });
    expect(written).toEqual([' 60.00 %  100 records  100 records/s  4.0 s left\n']);
  });

  it('is complete for an empty file', () => {
    const { written, progress } = makeProgress(false);
    progress.finish({ done: 0, total: 0, records: 0 });
    expect(written).toEqual(['100.00 %  0 records\n']);
  });
});
