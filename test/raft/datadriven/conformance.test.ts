// Goal: the conformance report tells the truth: no difference is missed, none is invented.
// Method: small files that match, differ, or need what is missing; the command on a scratch folder.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../../scripts/raft-conformance.js';
import { protocolLines, stateLines } from './comparison.js';
import { describeReport, replayFile, runConformance } from './conformance.js';

const SETUP = 'add-nodes 1 voters=(1) index=3\n----\nok\n\ncampaign 1\n----\nok\n\n';
const STATE = '1: StateCandidate (Voter) Term:1 Lead:0';

function verdictOf(text: string) {
  return replayFile('file.txt', text).verdict;
}

describe('replayFile', () => {
  it('passes a file whose every output is as expected', () => {
    expect(verdictOf(`${SETUP}raft-state\n----\n${STATE}\n`)).toEqual({ kind: 'passed' });
  });

  it('takes ok for nothing, and does not look at the lines of the log', () => {
    const text = `add-nodes 1 voters=(1) index=3\n----\nINFO 1 became follower\n  DEBUG x\n`;
    expect(verdictOf(text)).toEqual({ kind: 'passed' });
  });

  it('names the line of the directive and the first lines that differ', () => {
    const wrong = `${STATE.replace('Term:1', 'Term:2')}`;
    expect(verdictOf(`${SETUP}raft-state\n----\n${wrong}\n`)).toEqual({
      kind: 'failed',
      line: 9,
      difference: { expected: wrong, actual: STATE },
    });
  });

  it.each([
    ['a line too many', `${STATE}\nmore`, { expected: 'more', actual: undefined }],
    ['a line too few', '', { expected: undefined, actual: STATE }],
    ['another indentation', `  ${STATE}`, { expected: `  ${STATE}`, actual: STATE }],
  ])('does not overlook %s', (_, expected, difference) => {
    const verdict = verdictOf(`${SETUP}raft-state\n----\n${expected}\n`);
    expect(verdict).toEqual({ kind: 'failed', line: 9, difference });
  });

  it.each([
    'fly 1',
    'campaign 7',
    'campaign x',
    'campaign',
    'restart 1',
    'deliver-msgs 1 drop=(1)',
    'add-nodes 1 colour=red',
    'add-nodes 1 voters=(1) index=1',
    'log-level loud',
  ])('fails a file with the directive %j, which it cannot carry out', (directive) => {
    expect(verdictOf(`${SETUP}${directive}\n----\nok\n`).kind).toBe('failed');
  });

  it('reports a broken invariant of the core as a difference, not as its own end', () => {
    const text = `${SETUP}process-ready 1\n----\npanic\n\ncompact 1 99\n----\nok\n`;
    expect(replayFile('file.txt', text).counts.directives).toBe(4);
    expect(verdictOf(text).kind).toBe('failed');
  });

  it('counts directives and lines at both levels', () => {
    const ready = 'process-ready 1\n----\nReady MustSync=true:\nno\n';
    const text = `${SETUP}raft-state\n----\n${STATE}\n\n${ready}`;
    expect(replayFile('file.txt', text).counts).toEqual({
      files: 1,
      directives: 4,
      directivesMatched: 3,
      states: 1,
      statesMatched: 1,
      lines: 3,
      linesMatched: 2,
    });
  });

  it('runs quorum directives and reports a wrong table', () => {
    const good = 'committed cfg=(1) idx=(12)\n----\n     idx\n>     12    (id=1)\n12\n';
    expect(verdictOf(good)).toEqual({ kind: 'passed' });
    expect(verdictOf(good.replace('\n12\n', '\n13\n')).kind).toBe('failed');
    expect(verdictOf('vote cfg=(1) votes=(y,y)\n----\nVoteWon\n').kind).toBe('failed');
  });
});

describe('comparison', () => {
  it('keeps the lines of the protocol, whatever their words are', () => {
    expect(protocolLines('> 1 handling Ready\n  INFO x\n  Messages:\n  INFORMATION\n')).toEqual([
      '> 1 handling Ready',
      '  Messages:',
      '  INFORMATION',
    ]);
    expect(protocolLines('ok')).toEqual([]);
    expect(protocolLines('no messages\n')).toEqual(['no messages']);
  });

  it('looks at states, logs and committed entries at level 1', () => {
    const lines = ['Ready MustSync=true:', 'CommittedEntries:', '1/3 EntryNormal "x"', 'Messages:'];
    expect(stateLines('process-ready', lines)).toEqual(['1/3 EntryNormal "x"']);
    expect(stateLines('status', ['1: StateProbe match=0 next=1'])).toHaveLength(1);
  });
});

describe('the raft-conformance command', () => {
  let directory = '';

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'raft-conformance-'));
  });

  afterEach(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  it('reports each file and the totals', () => {
    writeFileSync(join(directory, 'a.txt'), `${SETUP}raft-state\n----\n${STATE}\n`);
    writeFileSync(join(directory, 'b.txt'), `${SETUP}raft-state\n----\nwrong\n`);
    expect(describeReport(runConformance(directory)).split('\n')).toEqual([
      'a.txt: pass',
      'b.txt: FAIL at line 9',
      '    expected: wrong',
      `    actual:   ${STATE}`,
      '',
      '1 passed, 1 failed',
      'all: 2 files, directives 5/6, level 1 lines 1/2, level 2 lines 1/2',
      '',
    ]);
  });

  it('ends in 1 for a difference, in 0 once it is rewritten, in 2 for a wrong command line', () => {
    const name = join(directory, 'a.txt');
    writeFileSync(name, `${SETUP}# Why.\nraft-state\n----\nwrong\n`);
    const printed = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    const complained = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(main([directory])).toBe(1);
    expect(main([directory, '--rewrite'])).toBe(0);
    expect(readFileSync(name, 'utf8')).toBe(`${SETUP}# Why.\nraft-state\n----\n${STATE}\n`);
    expect(main([directory])).toBe(0);
    expect(main([])).toBe(2);
    expect(main([directory, '--colour'])).toBe(2);
    expect(main([directory, directory])).toBe(2);
    expect(printed).toHaveBeenCalledTimes(3);
    expect(complained).toHaveBeenCalledTimes(3);
    vi.restoreAllMocks();
  });
});
