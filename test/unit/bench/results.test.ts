// Goal: results are kept as one line a run, and the newest is the one that reports show.
// Method: a temporary folder, written and read back; pages and tables compared as text.
import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { figureTable } from '../../../bench/harness/figure-table.js';
import { padTable } from '../../../bench/harness/pad-table.js';
import { replaceRegion } from '../../../bench/harness/region.js';
import {
  appendResult,
  beginRun,
  describeResult,
  newestResult,
} from '../../../bench/harness/results.js';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'flotilla-results-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const resultOf = (perSecond: number) =>
  describeResult(beginRun('a-scenario', false), {
    parameters: { ef: 32 },
    figures: [{ name: 'search', perSecond }],
  });

describe('results', () => {
  it('say when, where, on what and with which parameters they were measured', () => {
    const result = resultOf(1);
    expect(result.machine.cores).toBeGreaterThan(0);
    expect(result.machine.node).toBe(process.version);
    expect(result.commit).not.toBe('');
    expect(result.parameters).toEqual({ ef: 32 });
    expect(new Date(result.date).toISOString()).toBe(result.date);
  });

  it('are one line each, the newest last', () => {
    appendResult(resultOf(1), directory);
    const newest = resultOf(2);
    appendResult(newest, directory);
    const text = readFileSync(join(directory, 'a-scenario.jsonl'), 'utf8');
    expect(text.trimEnd().split('\n')).toHaveLength(2);
    expect(newestResult('a-scenario', directory)).toEqual(newest);
  });

  it('are undefined where nothing was measured yet', () => {
    expect(newestResult('a-scenario', directory)).toBeUndefined();
  });

  it('that were cut off are an error, not an older result', () => {
    appendResult(resultOf(1), directory);
    appendFileSync(join(directory, 'a-scenario.jsonl'), '{"scenario":');
    expect(() => newestResult('a-scenario', directory)).toThrow(SyntaxError);
  });
});

describe('the table of figures', () => {
  it('has only the columns that some figure fills', () => {
    const table = figureTable([
      { name: 'loading', perSecond: 12_345 },
      { name: 'search', perSecond: 6, recall: 0.98765, ratios: [{ of: 'bare', value: 0.0432 }] },
    ]);
    expect(table.split('\n')).toEqual([
      '| Measured | per second | recall@10 | ratio |',
      '| --- | ---: | ---: | ---: |',
      '| loading | 12,345 |  |  |',
      '| search | 6 | 0.988 | 4.3 % of bare |',
    ]);
  });

  it('gives latencies with three digits that count', () => {
    const quantiles = { p50: 0.123, p90: 1, p99: 1_234.5, p999: 2_000 };
    const table = figureTable([{ name: 'a', perSecond: 1, latencyMs: quantiles }]);
    expect(table).toContain('| a | 1 | 0.12 | 1235 |');
  });
});

describe('a table in a page', () => {
  it('has columns of one width, padded on the side that their ruler says', () => {
    const lines = ['| Measured | p50 |', '| --- | ---: |', '| search, all | 1 |', '| a |  |'];
    expect(padTable(lines).split('\n')).toEqual([
      '| Measured    | p50 |',
      '| ----------- | --: |',
      '| search, all |   1 |',
      '| a           |     |',
    ]);
  });
});

describe('a region of a page', () => {
  const page = 'before\n<!-- bench:start -->\nold\n<!-- bench:end -->\nafter\n';

  it('is replaced, and nothing else', () => {
    const replaced = replaceRegion(page, 'bench', 'new $& text');
    expect(replaced).toBe(page.replace('old', () => 'new $& text'));
  });

  it('is as it was when it is replaced by the same', () => {
    const once = replaceRegion(page, 'bench', 'new');
    expect(replaceRegion(once, 'bench', 'new')).toBe(once);
  });

  it.each([
    ['is missing', 'nothing here'],
    ['does not end', '<!-- bench:start -->\nold'],
    ['ends before it starts', '<!-- bench:end -->\n<!-- bench:start -->'],
    ['is there twice', page + page],
  ])('that %s is an error', (_, text) => {
    expect(() => replaceRegion(text, 'bench', 'new')).toThrow('no region "bench"');
  });
});
