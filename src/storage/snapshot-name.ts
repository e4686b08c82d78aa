/**
 * Which snapshot a file holds, as the file's name: a name is there whole or not at all, and needs
 * no second file to be kept in step with it.
 *
 *     group-index-term-size-checksum-source.ending
 */
import { assert } from '../shared/assert.js';
import { utf8Length } from '../shared/bytes.js';

/** A snapshot file of one replica; another replica's may differ in its bytes. */
export interface SnapshotId {
  readonly groupId: number;
  /** The state after the entry of this index and term. */
  readonly index: number;
  readonly term: number;
  /** Who wrote the file: 1 to 40 bytes. */
  readonly sourceId: string;
  readonly sizeBytes: number;
  /** Of the whole file. */
  readonly crc32c: number;
}

/** `snap` is complete, `part` is being received, `mark` says how far that has come. */
export type SnapshotFileKind = 'snap' | 'part' | 'mark';

export interface SnapshotName {
  readonly id: SnapshotId;
  readonly kind: SnapshotFileKind;
}

const SOURCE_BYTES_MAX = 40;
const NAME = /^(\d+)-(\d+)-(\d+)-(\d+)-([0-9a-f]{8})-([^/]+)\.(snap|part|mark)$/;

export function nameOf(id: SnapshotId, kind: SnapshotFileKind): string {
  const { groupId, index, term, sourceId, sizeBytes, crc32c } = id;
  for (const number of [groupId, index, term, sizeBytes, crc32c]) {
    assert(Number.isSafeInteger(number) && number >= 0, () => `a snapshot of ${number}`);
  }
  const sourceBytes = utf8Length(sourceId);
  assert(sourceBytes > 0 && sourceBytes <= SOURCE_BYTES_MAX, () => `source ${sourceId}`);
  const checksum = crc32c.toString(16).padStart(8, '0');
  const source = encodeURIComponent(sourceId);
  return `${groupId}-${index}-${term}-${sizeBytes}-${checksum}-${source}.${kind}`;
}

/** Undefined for a name that `nameOf` does not make. */
export function parseName(name: string): SnapshotName | undefined {
  const match = NAME.exec(name);
  if (!match) return undefined;
  const [, groupId, index, term, sizeBytes, checksum, source, kind] = match;
  const id: SnapshotId = {
    groupId: Number(groupId),
    index: Number(index),
    term: Number(term),
    sourceId: decoded(source ?? ''),
    sizeBytes: Number(sizeBytes),
    crc32c: Number.parseInt(checksum ?? '', 16),
  };
  return { id, kind: kind as SnapshotFileKind };
}

function decoded(source: string): string {
  try {
    return decodeURIComponent(source);
  } catch {
    return source;
  }
}

export function sameSnapshot(a: SnapshotId, b: SnapshotId): boolean {
  return nameOf(a, 'snap') === nameOf(b, 'snap');
}
