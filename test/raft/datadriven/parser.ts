/**
 * Reader and writer of data-driven test files (the format of cockroachdb/datadriven).
 *
 * A file is a list of directives. A directive is a command line, lines of input up to `----`, and
 * the expected output up to the first blank line; output that itself holds blank lines stands
 * between two doubled separators. Lines that are blank or begin with `#` in front of a command
 * line are commentary.
 *
 *     # Comment.
 *     command word key=value list=(a, b)
 *     input
 *     ----
 *     expected output
 */

/** One word of a command line: `key`, `key=value` (one value) or `key=(a, b)` (any number). */
export interface Argument {
  readonly key: string;
  readonly values: readonly string[];
}

export interface Directive {
  /** Line of the command in its file, from 1. */
  readonly line: number;
  readonly command: string;
  readonly arguments: readonly Argument[];
  /** What stands between the command line and the separator, without blanks at either end. */
  readonly input: string;
  /** Ends in a line feed unless it is empty. */
  readonly expected: string;
  /** Commentary, command line and input as they stand in the file, for rewriting. */
  readonly source: readonly string[];
}

export interface DataFile {
  readonly directives: readonly Directive[];
  /** Commentary after the last directive. */
  readonly trailer: readonly string[];
}

/** The text is not in the format. The message names the line. */
export class ParseError extends Error {
  override readonly name = 'ParseError';
}

const SEPARATOR = '----';
const WORD = /^ *([-\w/.,+]+)(?:=(\([^)]*\)|[-\w/.,+@=]*))?(?= |$)/;

function isCommentary(line: string): boolean {
  const trimmed = line.trim();
  return trimmed === '' || trimmed.startsWith('#');
}

function parseValues(text: string | undefined): readonly string[] {
  if (text === undefined) {
    return [];
  }
  if (!text.startsWith('(')) {
    return [text];
  }
  const inner = text.slice(1, -1).trim();
  return inner === '' ? [] : inner.split(',').map((value) => value.trim());
}

/** Splits a command line into the command and its arguments. Throws `ParseError`. */
export function parseCommandLine(text: string, line: number): readonly Argument[] {
  const words: Argument[] = [];
  let rest = text.trimEnd();
  while (rest !== '') {
    const match = WORD.exec(rest);
    if (match?.[1] === undefined) {
      throw new ParseError(`line ${line}: cannot read ${JSON.stringify(rest)}`);
    }
    words.push({ key: match[1], values: parseValues(match[2]) });
    rest = rest.slice(match[0].length);
  }
  return words;
}

/** Walks over the lines of a file; every `take...` consumes what it returns. */
class LineReader {
  readonly #lines: readonly string[];
  #next = 0;

  constructor(text: string) {
    const lines = text.split(/\r?\n/);
    if (lines.at(-1) === '') {
      lines.pop();
    }
    this.#lines = lines;
  }

  /** Number of the next line, from 1. */
  get line(): number {
    return this.#next + 1;
  }

  peek(ahead = 0): string | undefined {
    return this.#lines[this.#next + ahead];
  }

  take(): string | undefined {
    const line = this.#lines[this.#next];
    this.#next++;
    return line;
  }

  /** Lines up to the first one that `stops` accepts, which stays, or up to the end. */
  takeUntil(stops: (line: string) => boolean): string[] {
    const taken: string[] = [];
    let line = this.peek();
    while (line !== undefined && !stops(line)) {
      taken.push(line);
      this.take();
      line = this.peek();
    }
    return taken;
  }
}

/** The command line with its continuation lines, which end in a backslash, joined. */
function takeCommandLines(reader: LineReader): { raw: string[]; joined: string } {
  const raw: string[] = [];
  let joined = '';
  let line = reader.take();
  while (line?.endsWith('\\')) {
    raw.push(line);
    joined += `${line.slice(0, -1).trimEnd()} `;
    line = reader.take()?.trimStart();
  }
  raw.push(line ?? '');
  return { raw, joined: joined + (line ?? '') };
}

function takeExpected(reader: LineReader): string {
  const doubled = reader.peek() === SEPARATOR;
  if (!doubled) {
    const lines = reader.takeUntil((line) => line.trim() === '');
    reader.take();
    return lines.map((line) => `${line}\n`).join('');
  }
  reader.take();
  let text = '';
  while (!(reader.peek() === SEPARATOR && reader.peek(1) === SEPARATOR)) {
    const line = reader.take();
    if (line === undefined) {
      throw new ParseError(`line ${reader.line}: the doubled ${SEPARATOR} is never closed`);
    }
    text += `${line}\n`;
  }
  reader.take();
  reader.take();
  if (reader.peek()?.trim() === '') {
    reader.take();
  }
  return text;
}

/** Reads a whole file. Throws `ParseError`. */
export function parseDataFile(text: string): DataFile {
  const reader = new LineReader(text);
  const directives: Directive[] = [];
  for (;;) {
    const commentary = reader.takeUntil((line) => !isCommentary(line));
    if (reader.peek() === undefined) {
      return { directives, trailer: commentary };
    }
    const line = reader.line;
    const commandLines = takeCommandLines(reader);
    const [command, ...words] = parseCommandLine(commandLines.joined, line);
    const input = reader.takeUntil((each) => each === SEPARATOR);
    if (command === undefined || reader.take() === undefined) {
      throw new ParseError(`line ${line}: the directive has no ${SEPARATOR}`);
    }
    directives.push({
      line,
      command: command.key,
      arguments: words,
      input: input.join('\n').trim(),
      expected: takeExpected(reader),
      source: [...commentary, ...commandLines.raw, ...input],
    });
  }
}

/** The file with other expected outputs, one per directive in order. */
export function renderDataFile(file: DataFile, outputs: readonly string[]): string {
  const blocks = file.directives.map((directive, at) => {
    const output = (outputs[at] ?? '').replace(/\n+$/, '');
    const body = output === '' ? '' : `${output}\n`;
    const head = [...directive.source, SEPARATOR].join('\n');
    return /^\s*$/m.test(body.trimEnd()) && body !== ''
      ? `${head}\n${SEPARATOR}\n${body}${SEPARATOR}\n${SEPARATOR}\n\n`
      : `${head}\n${body}\n`;
  });
  const trailer = file.trailer.map((line) => `${line}\n`).join('');
  return `${(blocks.join('') + trailer).replace(/\n+$/, '')}\n`;
}
