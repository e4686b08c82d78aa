/**
 * When two outputs of a directive are the same: lines of the library's log do not
 * count, `ok` is the same as nothing, everything else is compared exactly.
 *
 * Level 1 looks at states and logs only (raft-state, raft-log, status, committed entries), which
 * any design can meet; level 2 at every line of the protocol.
 */

import type { Directive } from './parser.js';

const LOG_LINE = /^\s*(?:DEBUG|INFO|WARN|ERROR|FATAL) /;
const STATE_COMMANDS: ReadonlySet<string> = new Set(['raft-state', 'raft-log', 'status']);

/** The lines of an output that count. */
export function protocolLines(output: string): readonly string[] {
  const lines = output
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '' && !LOG_LINE.test(line));
  return lines.length === 1 && lines[0] === 'ok' ? [] : lines;
}

/** Of the lines that count, those that level 1 compares. */
export function stateLines(command: string, lines: readonly string[]): readonly string[] {
  if (STATE_COMMANDS.has(command)) {
    return lines;
  }
  let inCommitted = false;
  return lines.filter((line) => {
    const text = line.trim();
    const isHeader = text === 'CommittedEntries:';
    inCommitted = isHeader || (inCommitted && /^\d+\/\d+ Entry/.test(text));
    return inCommitted && !isHeader;
  });
}

/** The first line in which two outputs differ; `undefined` stands for the end of an output. */
export interface Difference {
  readonly expected: string | undefined;
  readonly actual: string | undefined;
}

/** The first difference, if there is one. */
export function firstDifference(
  expected: readonly string[],
  actual: readonly string[],
): Difference | undefined {
  const length = Math.max(expected.length, actual.length);
  for (let at = 0; at < length; at++) {
    if (expected[at] !== actual[at]) {
      return { expected: expected[at], actual: actual[at] };
    }
  }
  return undefined;
}

/** How many lines of the expected output count, at both levels, and how many of them came. */
export interface LineCounts {
  readonly states: number;
  readonly statesMatched: number;
  readonly lines: number;
  readonly linesMatched: number;
}

function matchingPrefix(expected: readonly string[], actual: readonly string[]): number {
  const at = expected.findIndex((line, position) => line !== actual[position]);
  return at === -1 ? expected.length : at;
}

/** Compares an output with the expectation of its directive and counts. */
export function countLines(directive: Directive, output: string): LineCounts {
  const expected = protocolLines(directive.expected);
  const actual = protocolLines(output);
  const expectedStates = stateLines(directive.command, expected);
  const actualStates = stateLines(directive.command, actual);
  return {
    states: expectedStates.length,
    statesMatched: matchingPrefix(expectedStates, actualStates),
    lines: expected.length,
    linesMatched: matchingPrefix(expected, actual),
  };
}
