/**
 * The stores of a replica, one after another: a snapshot is built into a new generation beside the
 * one that is in use, and one small file, replaced atomically, says which of them counts.
 *
 *     GENERATION    number of the generation that counts; what is wrong with it, if something is
 *     points-N/     the database of generation N
 *     graphs-N/     checkpoints of the graphs of generation N: derived data
 *
 * Generation 0 is the directory itself: where the database lay before there were generations.
 */
import { ByteReader, ByteWriter, utf8 } from '../shared/bytes.js';
import { droppedRecords } from '../shared/dropped-records.js';
import type { Disk } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { Kv } from '../shared/kv.js';
import { decodeBody, recordFailure, seal } from '../shared/sealed-record.js';
import { damagedTable } from './table-check.js';

const FILE = 'GENERATION';
const CONTEXT = utf8(FILE);
const DIRECTORY = /^(?:points|graphs)-(\d+)$/;
/** One of LevelDB's own files, which every database has. */
const DATABASE_FILE = 'CURRENT';
const ORIGINAL = 0;
const NONE = -1;

/** Reads of values come from here when they are warm; vectors do not compress. */
const KV_OPTIONS = { cacheSizeBytes: 32 * 1024 * 1024, writeBufferSizeBytes: 16 * 1024 * 1024 };

interface Generation {
  readonly number: number;
  /** Why its database cannot be trusted any more. */
  readonly damage: string | undefined;
}

/** The database of a generation that does not count yet. */
export interface NewGeneration {
  readonly number: number;
  readonly kv: Kv;
}

/** The generation that counts, open. */
export interface OpenGeneration extends NewGeneration {
  /** Whether an empty database is a new one: one that came from a snapshot never is. */
  readonly mayBeNew: boolean;
}

export class Generations {
  readonly #disk: Disk;
  readonly #path: string;

  constructor(disk: Disk, path: string) {
    this.#disk = disk;
    this.#path = path;
  }

  /**
   * Opens the database that counts, and removes what is left of others; in a new directory makes
   * the first.
   *
   * Rejects with LOG_DAMAGED when the database lost records or the file that says which one counts
   * is gone or damaged, again at every open, until a snapshot is installed (S5).
   */
  async open(): Promise<OpenGeneration> {
    const { number, damage } = (await this.#read()) ?? (await this.#begin());
    await this.removeAllBut(number);
    if (damage !== undefined) throw new FlotillaError('LOG_DAMAGED', damage);
    try {
      return { number, kv: await this.#openIntact(number), mayBeNew: number <= 1 };
    } catch (error) {
      // LevelDB tells of some damage once: what it does not see the next time is still lost.
      if (isFlotillaError(error) && error.reason === 'LOG_DAMAGED') {
        await this.#write({ number, damage: error.message });
      }
      throw error;
    }
  }

  /** An empty database beside the others. */
  async create(): Promise<NewGeneration> {
    const found = await this.#directories();
    const number = 1 + Math.max(ORIGINAL, ...found.map((directory) => directory.number));
    return { number, kv: await this.#disk.openKv(this.#databasePath(number), KV_OPTIONS) };
  }

  /** Where the checkpoints of a generation's graphs are, if there are any. */
  graphsPath(number: number): string {
    return `${this.#path}/graphs-${number}`;
  }

  /** Removes what there is of a generation that is not wanted, its database closed. */
  async discard(number: number): Promise<void> {
    await this.#disk.remove(this.#databasePath(number));
    await this.#disk.remove(this.graphsPath(number));
  }

  /** From here on the generation counts. All of its database must be durable. */
  commit(number: number): Promise<void> {
    return this.#write({ number, damage: undefined });
  }

  /** Removes the databases of all other generations, none of which may be open. */
  async removeAllBut(kept: number): Promise<void> {
    for (const { name, number } of await this.#directories()) {
      if (number !== kept) await this.#disk.remove(`${this.#path}/${name}`);
    }
    if (kept !== ORIGINAL) await this.#removeOriginal();
  }

  /**
   * Removes everything, none of which may be open: the next `open` makes a new store. One that is
   * found half removed counts as damaged.
   */
  async clear(): Promise<void> {
    await this.#disk.makeDirectory(this.#path);
    await this.#write({ number: ORIGINAL, damage: `the point store ${this.#path} is given up` });
    await this.removeAllBut(NONE);
    await this.#disk.remove(`${this.#path}/${FILE}`);
  }

  async #openIntact(number: number): Promise<Kv> {
    const path = this.#databasePath(number);
    const damage = await damagedTable(this.#disk, path);
    if (damage !== undefined) throw this.#damaged(damage);
    const kv = await this.#disk.openKv(path, KV_OPTIONS);
    // The open before this one may have met the damage, and died before it could be noted.
    const dropped =
      (await droppedRecords(this.#disk, path)) ??
      (await droppedRecords(this.#disk, path, 'LOG.old'));
    if (dropped === undefined) return kv;
    await kv.close();
    throw this.#damaged(`the database lost records: ${dropped}`);
  }

  /** Notes the generation that there is, before the first database is made. */
  async #begin(): Promise<Generation> {
    const names = await this.#disk.list(this.#path);
    if (names.some((name) => DIRECTORY.test(name))) {
      throw this.#damaged(`it has been used and has no ${FILE} file`);
    }
    const number = names.includes(DATABASE_FILE) ? ORIGINAL : 1;
    await this.#disk.makeDirectory(this.#path);
    await this.commit(number);
    return { number, damage: undefined };
  }

  async #read(): Promise<Generation | undefined> {
    const path = `${this.#path}/${FILE}`;
    const bytes = await this.#disk.readFile(path);
    if (bytes === undefined) return undefined;
    try {
      return decodeBody(bytes, CONTEXT, readGeneration);
    } catch (error) {
      throw recordFailure(path, error);
    }
  }

  async #write({ number, damage }: Generation): Promise<void> {
    const body = new ByteWriter().varint(number).string(damage ?? '');
    await this.#disk.writeFile(`${this.#path}/${FILE}`, seal(body.finish(), CONTEXT));
  }

  async #directories(): Promise<{ readonly name: string; readonly number: number }[]> {
    const names = await this.#disk.list(this.#path);
    return names.flatMap((name) => {
      const [, digits] = DIRECTORY.exec(name) ?? [];
      return digits === undefined ? [] : [{ name, number: Number(digits) }];
    });
  }

  async #removeOriginal(): Promise<void> {
    const names = await this.#disk.list(this.#path);
    if (!names.includes(DATABASE_FILE)) return;
    const files = names.filter((name) => name !== FILE && !DIRECTORY.test(name));
    // The name that tells of a database goes last: a removal that was cut short is begun again.
    for (const name of files.sort((a, b) => rankOf(a) - rankOf(b))) {
      await this.#disk.remove(`${this.#path}/${name}`);
    }
  }

  #databasePath(number: number): string {
    return number === ORIGINAL ? this.#path : `${this.#path}/points-${number}`;
  }

  #damaged(why: string): FlotillaError {
    return new FlotillaError('LOG_DAMAGED', `the point store ${this.#path} is damaged: ${why}`);
  }
}

/** Deletes a replica's state, all or nothing as far as later opens can tell. */
export function clearPointStore(disk: Disk, path: string): Promise<void> {
  return new Generations(disk, path).clear();
}

function rankOf(name: string): number {
  return name === DATABASE_FILE ? 1 : 0;
}

function readGeneration(body: Uint8Array): Generation {
  const reader = new ByteReader(body);
  const number = reader.varint();
  const damage = reader.string();
  reader.end();
  return { number, damage: damage === '' ? undefined : damage };
}
