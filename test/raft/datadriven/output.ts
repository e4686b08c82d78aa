/** What a directive prints: text with levels of indentation, silent while the log level is none. */

const LEVELS = ['debug', 'info', 'warn', 'error', 'fatal', 'none'] as const;
export type LogLevel = (typeof LEVELS)[number];

/** The level of that name, in any case, or undefined. */
export function parseLogLevel(name: string): LogLevel | undefined {
  return LEVELS.find((level) => level === name.toLowerCase());
}

export class ReplayOutput {
  level: LogLevel = 'debug';
  #text = '';

  /** The level `none` silences everything, not only the log. */
  get isQuiet(): boolean {
    return this.level === 'none';
  }

  write(text: string): void {
    if (!this.isQuiet) {
      this.#text += text;
    }
  }

  writeLine(text: string): void {
    this.write(`${text}\n`);
  }

  /** Runs `body`; every line that it writes is moved right by two columns. */
  indented(body: () => void): void {
    const before = this.#text;
    this.#text = '';
    try {
      body();
    } finally {
      const lines = this.#text.split('\n');
      if (lines.at(-1) === '') {
        lines.pop();
      }
      this.#text = before + lines.map((line) => `  ${line}\n`).join('');
    }
  }

  /** All that was written since the last call. */
  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}
