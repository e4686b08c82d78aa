/**
 * Where an import has got to, kept in a small JSON file beside the input so that `--resume` goes on
 * from there. Everything before the position is acknowledged by the cluster.
 */
import { access, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { isDeepStrictEqual } from 'node:util';
import { crc32c } from '../shared/crc32c.js';
import type { FilePosition } from './vector-files.js';

const STATE_FORMAT = 1;
const FINGERPRINT_BYTES_MAX = 4_096;

/** What an import is of; a state is good for the same target only. */
export interface ImportTarget {
  readonly input: string;
  readonly collection: string;
  readonly idPrefix: string;
  /** As `OwnerOptions` of record-owner.ts; both absent in states of before there were tenants. */
  readonly tenant?: string | undefined;
  readonly shardKeyField?: string | undefined;
}

/** The state cannot be used. The message says why and what to do. */
export class ImportStateError extends Error {
  override readonly name = 'ImportStateError';
}

export class ImportState {
  readonly path: string;
  readonly #target: ImportTarget;

  constructor(path: string, target: ImportTarget) {
    this.path = path;
    this.#target = target;
  }

  async exists(): Promise<boolean> {
    return access(this.path).then(
      () => true,
      () => false,
    );
  }

  /**
   * Where the import stopped, or `undefined` where there is no state. Throws `ImportStateError`
   * where the state is of another import, or the file has changed before the position.
   */
  async load(): Promise<FilePosition | undefined> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const state = parseState(text, this.path);
    if (!isDeepStrictEqual(targetOf(state), targetOf(this.#target))) {
      throw new ImportStateError(
        `${this.path} is of an import into ${describeTarget(state)}; ` +
          'remove it or choose another one with --state',
      );
    }
    if (state.fingerprint !== (await fingerprintOf(this.#target.input, state.offset))) {
      throw new ImportStateError(
        `${this.#target.input} has changed since the import stopped; start it without --resume`,
      );
    }
    return { row: state.row, offset: state.offset };
  }

  /** Replaces the state. A crash in between leaves the one before. */
  async save(position: FilePosition): Promise<void> {
    const { input } = this.#target;
    const state: StoredState = {
      format: STATE_FORMAT,
      ...targetOf(this.#target),
      row: position.row,
      offset: position.offset,
      fingerprint: await fingerprintOf(input, position.offset),
    };
    const temporary = `${this.path}.tmp`;
    await writeFile(temporary, `${JSON.stringify(state)}\n`);
    await rename(temporary, this.path);
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true });
  }
}

interface StoredState extends Omit<ImportTarget, 'input'> {
  readonly format: number;
  readonly row: number;
  readonly offset: number;
  /** Checksum of the bytes before the offset. */
  readonly fingerprint: number;
}

function parseState(text: string, path: string): StoredState {
  let state: Partial<StoredState> | null = null;
  try {
    state = JSON.parse(text);
  } catch {
    // Reported below, with everything else that is not a state.
  }
  const { format, collection, idPrefix, row, offset, fingerprint } = state ?? {};
  const { tenant, shardKeyField } = state ?? {};
  if (
    format !== STATE_FORMAT ||
    typeof collection !== 'string' ||
    typeof idPrefix !== 'string' ||
    !isOptionalText(tenant) ||
    !isOptionalText(shardKeyField) ||
    !isCount(row) ||
    !isCount(offset) ||
    typeof fingerprint !== 'number'
  ) {
    throw new ImportStateError(`${path} is not the state of an import; remove it`);
  }
  const target = targetOf({ collection, idPrefix, tenant, shardKeyField });
  return { format, ...target, row, offset, fingerprint };
}

function targetOf({ collection, idPrefix, tenant, shardKeyField }: Omit<ImportTarget, 'input'>) {
  return {
    collection,
    idPrefix,
    ...(tenant !== undefined && { tenant }),
    ...(shardKeyField !== undefined && { shardKeyField }),
  };
}

function describeTarget({ collection, idPrefix, tenant, shardKeyField }: StoredState): string {
  return [
    `"${collection}" with the id prefix "${idPrefix}"`,
    ...(tenant === undefined ? [] : [`for tenant "${tenant}"`]),
    ...(shardKeyField === undefined ? [] : [`with the shard key in ${shardKeyField}`]),
  ].join(', ');
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Checksum of the last bytes before `offset`. Appending to the file does not change it. */
async function fingerprintOf(path: string, offset: number): Promise<number> {
  const sizeBytes = Math.min(offset, FINGERPRINT_BYTES_MAX);
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(sizeBytes);
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, offset - sizeBytes);
    return crc32c(bytes.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
