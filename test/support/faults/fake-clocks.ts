/** Nodes whose clocks are wrong: by libfaketime (`apt-get install libfaketime`), preloaded. */
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const LIBRARY_DIRECTORIES = '/usr/lib';
/** The build for programs of several threads. */
const LIBRARY = 'faketime/libfaketimeMT.so.1';

export interface FakeClocksOptions {
  /** Where the nodes read what their clocks are to say. */
  readonly directory: string;
  /**
   * How fast all clocks of a node run, the monotonic one too, by node; 1 is right. Without it the
   * monotonic clocks are right, and the wall clocks can jump.
   */
  readonly rates?: Readonly<Record<number, number>>;
}

export class FakeClocks {
  readonly #library: string;
  readonly #options: FakeClocksOptions;

  static isAvailable(): boolean {
    return findLibrary() !== undefined;
  }

  /** Throws where the library is not installed. */
  constructor(options: FakeClocksOptions) {
    const library = findLibrary();
    if (library === undefined) throw new Error('libfaketime is not installed');
    this.#library = library;
    this.#options = options;
  }

  /** Whether wall clocks can jump. */
  get canJump(): boolean {
    return this.#options.rates === undefined;
  }

  /** For a process that is about to start. Its clock is right until it is made to jump. */
  environmentOf(nodeId: number): Record<string, string> {
    const { rates } = this.#options;
    if (rates !== undefined) {
      return { LD_PRELOAD: this.#library, FAKETIME: `+0 x${rates[nodeId] ?? 1}` };
    }
    this.#say(nodeId, 0);
    return {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#fileOf(nodeId),
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
  }

  /** From now on the wall clock of a node is off by so much; 0 makes it right again. */
  jump(nodeId: number, bySeconds: number): void {
    if (!this.canJump) throw new Error('these clocks run at a rate and do not jump');
    this.#say(nodeId, bySeconds);
  }

  #say(nodeId: number, bySeconds: number): void {
    const sign = bySeconds < 0 ? '-' : '+';
    writeFileSync(this.#fileOf(nodeId), `${sign}${Math.abs(bySeconds)}\n`);
  }

  #fileOf(nodeId: number): string {
    return join(this.#options.directory, `clock-${nodeId}`);
  }
}

function findLibrary(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  return readdirSync(LIBRARY_DIRECTORIES)
    .map((name) => join(LIBRARY_DIRECTORIES, name, LIBRARY))
    .find((path) => existsSync(path));
}
