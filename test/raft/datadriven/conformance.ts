/**
 * Replays a folder of data-driven files through the core and reports how far it conforms: per file
 * whether it passes, fails or is not covered, and totals of directives and protocol lines.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { countLines, type Difference, firstDifference, protocolLines } from './comparison.js';
import { missingFeaturesOf } from './coverage.js';
import { InteractionEnvironment } from './interaction-environment.js';
import { type DataFile, type Directive, parseDataFile, renderDataFile } from './parser.js';
import { handleQuorumDirective } from './quorum-environment.js';

export type Verdict =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly line: number; readonly difference: Difference }
  | {
      readonly kind: 'not-covered';
      /** Names of the missing features, in the order in which they are needed first. */
      readonly needs: readonly string[];
      /** Directives before the first one that needs any of them; all of these match. */
      readonly directivesMatched: number;
    };

/** What the files expect and how much of it came, counted until a file stops being covered. */
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
  /** Of the files that are covered as a whole. */
  readonly covered: Counts;
  /** Of all files; what is not covered counts as not matched. */
  readonly all: Counts;
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

/** A fresh environment of the kind that the file's commands belong to. */
function environmentFor(file: DataFile): (directive: Directive) => string {
  if (file.directives.every((directive) => QUORUM_COMMANDS.has(directive.command))) {
    return handleQuorumDirective;
  }
  const environment = new InteractionEnvironment();
  return (directive) => environment.handle(directive);
}

function countDirective(directive: Directive, output: string | undefined): Counts {
  const counts = countLines(directive, output ?? '');
  const isRun = output !== undefined;
  const actual = protocolLines(output ?? '');
  const isSame = firstDifference(protocolLines(directive.expected), actual) === undefined;
  return {
    files: 0,
    directives: 1,
    directivesMatched: isRun && isSame ? 1 : 0,
    states: counts.states,
    statesMatched: isRun ? counts.statesMatched : 0,
    lines: counts.lines,
    linesMatched: isRun ? counts.linesMatched : 0,
  };
}

/** Replays one file in a fresh environment. `path` is only for the report. */
export function replayFile(path: string, text: string): FileReport {
  const file = parseDataFile(text);
  const handle = environmentFor(file);
  const needs = [...new Set(file.directives.flatMap(missingFeaturesOf))];
  const firstMissing = file.directives.findIndex((each) => missingFeaturesOf(each).length > 0);
  const covered = firstMissing === -1 ? file.directives.length : firstMissing;
  let counts: Counts = { ...NO_COUNTS, files: 1 };
  let failure: Verdict | undefined;
  for (const [at, directive] of file.directives.entries()) {
    const output = at < covered ? handle(directive) : undefined;
    counts = addCounts(counts, countDirective(directive, output));
    if (output === undefined || failure !== undefined) {
      continue;
    }
    const actual = protocolLines(output);
    const difference = firstDifference(protocolLines(directive.expected), actual);
    if (difference !== undefined) {
      failure = { kind: 'failed', line: directive.line, difference };
    }
  }
  const verdict: Verdict =
    needs.length === 0
      ? { kind: 'passed' }
      : { kind: 'not-covered', needs, directivesMatched: covered };
  return { path, verdict: failure ?? verdict, counts };
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
  const sum = (reports: readonly FileReport[]) =>
    reports.map((report) => report.counts).reduce(addCounts, NO_COUNTS);
  const isCovered = (report: FileReport) => report.verdict.kind !== 'not-covered';
  return { directory, files, covered: sum(files.filter(isCovered)), all: sum(files) };
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
    case 'not-covered':
      return `not covered: needs ${verdict.needs.join(', ')}`;
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

function describeCounts(title: string, counts: Counts): string {
  return (
    `${title}: ${counts.files} files, ` +
    `directives ${counts.directivesMatched}/${counts.directives}, ` +
    `level 1 lines ${counts.statesMatched}/${counts.states}, ` +
    `level 2 lines ${counts.linesMatched}/${counts.lines}`
  );
}

/** The report as text: one line per file (three for a failure), then the totals. */
export function describeReport(report: Report): string {
  const count = (kind: Verdict['kind']) =>
    report.files.filter((file) => file.verdict.kind === kind).length;
  return [
    ...report.files.map((file) => `${file.path}: ${describeVerdict(file.verdict)}`),
    '',
    `${count('passed')} passed, ${count('failed')} failed, ${count('not-covered')} not covered`,
    describeCounts('covered', report.covered),
    describeCounts('all', report.all),
    '',
  ].join('\n');
}
