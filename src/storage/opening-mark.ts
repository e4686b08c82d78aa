/**
 * What LevelDB says that it left out when it opened, kept over opens that were cut short.
 *
 * It says so in its own log, once: the open that meets the damage also removes it, and the next one
 * begins that log anew. The file OPENING is there from before the database opens until the findings
 * are in IDENTITY; an open that finds it there first takes over what the one before it was told.
 */
import { utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { RecordError, seal, unseal } from '../shared/sealed-record.js';

const FILE_NAME = 'OPENING';
const CONTEXT = utf8(FILE_NAME);

/** How LevelDB says in its log that it left records out when it opened. */
const DROPPED = /^.*(?:dropping|ignoring error).*$/im;

export class OpeningMark {
  readonly #disk: Disk;
  readonly #directory: string;
  /** What opens that were cut short have found. */
  readonly #known: string | undefined;

  private constructor(disk: Disk, directory: string, known: string | undefined) {
    this.#disk = disk;
    this.#directory = directory;
    this.#known = known;
  }

  /** To be set before the database is opened. */
  static async set(disk: Disk, directory: string): Promise<OpeningMark> {
    const known = await readKnown(disk, directory);
    await disk.writeFile(`${directory}/${FILE_NAME}`, seal(utf8(known ?? ''), CONTEXT));
    return new OpeningMark(disk, directory, known);
  }

  /** The line that tells of lost records; undefined when there is none. */
  async droppedLine(): Promise<string | undefined> {
    return this.#known ?? lineInLog(this.#disk, this.#directory);
  }

  /** To be cleared once the findings are durable elsewhere. */
  async clear(): Promise<void> {
    await this.#disk.remove(`${this.#directory}/${FILE_NAME}`);
  }
}

/** What is known before the database is opened: nothing, unless the last open was cut short. */
async function readKnown(disk: Disk, directory: string): Promise<string | undefined> {
  const record = await disk.readFile(`${directory}/${FILE_NAME}`);
  if (record === undefined) return undefined;
  const line = lineIn(record);
  return line === '' ? lineInLog(disk, directory) : line;
}

function lineIn(record: Uint8Array): string {
  try {
    return Buffer.from(unseal(record, CONTEXT)).toString('utf8');
  } catch (thrown) {
    // That there is a mark says enough: the open was cut short.
    if (thrown instanceof RecordError) return '';
    throw thrown;
  }
}

async function lineInLog(disk: Disk, directory: string): Promise<string | undefined> {
  const bytes = await disk.readFile(`${directory}/log/LOG`);
  return bytes && DROPPED.exec(Buffer.from(bytes).toString('latin1'))?.[0];
}
