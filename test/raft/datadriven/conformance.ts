/**
 * Replays a folder of data-driven files through the core and reports how far it conforms: per file
 * whether it passes or fails, and totals of directives and protocol lines.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { countLines, type Difference, firstDifference, protocolLines } from './comparison.js';
import { ConfChangeEnvironment } from './confchange-environment.js';
import { InteractionEnvironment } from './interaction-environment.js';
import { type DataFile, type Directive, parseDataFile, renderDataFile } from './parser.js';
import { handleQuorumDirective } from './quorum-environment.js';

export type Verdict =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly line: number; readonly difference: Difference };

/** What the files expect and how much of it came. */
export interface Counts {
  readonly files: number;
  readonly directives: number;
  readonly directivesMatched: number;
  /** Lines of states, logs and committed entries (level 1). */
  readonly states: number;
  readonly statesMatched: number;
  /** All lines of the protocol (level 2). */
  readonly lines: number;
  readonly linesMatched: number;
}

export interface FileReport {
  /** Relative to the folder. */
  readonly path: string;
  readonly verdict: Verdict;
  readonly counts: Counts;
}

export interface Report {
  readonly directory: string;
  readonly files: readonly FileReport[];
  readonly totals: Counts;
}

const NO_COUNTS: Counts = {
  files: 0,
  directives: 0,
  directivesMatched: 0,
  states: 0,
  statesMatched: 0,
  lines: 0,
  linesMatched: 0,
};

function addCounts(a: Counts, b: Counts): Counts {
  return {
    files: a.files + b.files,
    directives: a.directives + b.directives,
    directivesMatched: a.directivesMatched + b.directivesMatched,
    states: a.states + b.states,
    statesMatched: a.statesMatched + b.statesMatched,
    lines: a.lines + b.lines,
    linesMatched: a.linesMatched + b.linesMatched,
  };
}

const QUORUM_COMMANDS: ReadonlySet<string> = new Set(['committed', 'vote']);
const CONFCHANGE_COMMANDS: ReadonlySet<string> = new Set(['simple', 'enter-joint', 'leave-joint']);

/** A fresh environment of the kind that the file's commands belong to. */
function environmentFor(file: DataFile): (directive: Directive) => string {
  if (file.directives.every((directive) => QUORUM_COMMANDS.has(directive.command))) {
    return handleQuorumDirective;
  }
  if (file.directives.every((directive) => CONFCHANGE_COMMANDS.has(directive.command))) {
    const confChanges = new ConfChangeEnvironment();
    return (directive) => confChanges.handle(directive);
  }
  const environment = new InteractionEnvironment();
  return (directive) => environment.handle(directive);
}

function countDirective(directive: Directive, output: string, isSame: boolean): Counts {
  const counts = countLines(directive, output);
  return { files: 0, directives: 1, directivesMatched: isSame ? 1 : 0, ...counts };
}

/** Replays one file in a fresh environment. `path` is only for the report. */
export function replayFile(path: string, text: string): FileReport {
  const file = parseDataFile(text);
  const handle = environmentFor(file);
  let counts: Counts = { ...NO_COUNTS, files: 1 };
  let verdict: Verdict = { kind: 'passed' };
  for (const directive of file.directives) {
    const output = handle(directive);
    const expected = protocolLines(directive.expected);
    const difference = firstDifference(expected, protocolLines(output));
    counts = addCounts(counts, countDirective(directive, output, difference === undefined));
    if (difference !== undefined && verdict.kind === 'passed') {
      verdict = { kind: 'failed', line: directive.line, difference };
    }
  }
  return { path, verdict, counts };
}

/** The data-driven files below a folder, sorted, relative to it. */
export function listDataFiles(directory: string): readonly string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.txt'))
    .map((entry) => relative(directory, join(entry.parentPath, entry.name)))
    .sort();
}

/**
 * Replays every `.txt` file below `directory`. Throws when the folder cannot be read, and a
 * `ParseError` for a file that is not in the format.
 */
export function runConformance(directory: string): Report {
  const files = listDataFiles(directory).map((path) =>
    replayFile(path, readFileSync(join(directory, path), 'utf8')),
  );
  return {
    directory,
    files,
    totals: files.map(({ counts }) => counts).reduce(addCounts, NO_COUNTS),
  };
}

/** Writes what the core prints today into the files as their expected outputs. Review the diff. */
export function rewriteExpectations(directory: string): void {
  for (const path of listDataFiles(directory)) {
    const name = join(directory, path);
    const file = parseDataFile(readFileSync(name, 'utf8'));
    const handle = environmentFor(file);
    writeFileSync(name, renderDataFile(file, file.directives.map(handle)));
  }
}

function describeVerdict(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'passed':
      return 'pass';
    case 'failed': {
      const { expected, actual } = verdict.difference;
      const show = (line: string | undefined) => (line === undefined ? '(end of output)' : line);
      return [
        `FAIL at line ${verdict.line}`,
        `    expected: ${show(expected)}`,
        `    actual:   ${show(actual)}`,
      ].join('\n');
    }
  }
}

/** The report as text: one line per file (three for a failure), then the totals. */
export function describeReport({ files, totals }: Report): string {
  const passed = files.filter((file) => file.verdict.kind === 'passed').length;
  return [
    ...files.map((file) => `${file.path}: ${describeVerdict(file.verdict)}`),
    '',
    `${passed} passed, ${files.length - passed} failed`,
    `all: ${totals.files} files, ` +
      `directives ${totals.directivesMatched}/${totals.directives}, ` +
      `level 1 lines ${totals.statesMatched}/${totals.states}, ` +
      `level 2 lines ${totals.linesMatched}/${totals.lines}`,
    '',
  ].join('\n');
}
