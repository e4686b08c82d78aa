/**
 * The file LOW-WATER: for each group a state that the database is known to have synced. A database
 * that is behind it has lost something: it came back without an error and must not vote.
 *
 * Terms, votes, snapshots and compaction points are in the file before their write is
 * acknowledged. The batch sequence and the last index of other writes follow at most
 * `LOW_WATER_PERIOD_MS` later and at an orderly close: when the machine stops inside this window
 * *and* the end of the database's log is destroyed, entries that were acknowledged in it are
 * missing without a trace. A quorum's other members have them.
 */
import { ByteReader, ByteWriter, utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import type { GroupMeta } from './meta-record.js';

const FILE_NAME = 'LOW-WATER';
const CONTEXT = utf8(FILE_NAME);

/** How often new last indexes are written down. */
export const LOW_WATER_PERIOD_MS = 1_000;

export type LowWaterMark = Pick<GroupMeta, 'term' | 'vote' | 'lastIndex' | 'batchSequence'>;

/** What shows that `meta` is older than `mark`, a state that was durable; undefined if nothing. */
export function behind(mark: LowWaterMark, meta: GroupMeta): string | undefined {
  const { term, vote, lastIndex, batchSequence } = mark;
  if (meta.batchSequence < batchSequence) {
    const found = `the database ends at ${meta.batchSequence} (${meta.lastIndex})`;
    return `batch ${batchSequence} (last index ${lastIndex}) was synced, ${found}`;
  }
  const otherVote = meta.term === term && vote !== 0 && meta.vote !== vote;
  if (meta.term < term || otherVote) {
    const found = `the database has ${meta.term} and ${meta.vote}`;
    return `term ${term} with vote ${vote} was synced, ${found}`;
  }
  return undefined;
}

export class LowWaterFile {
  readonly #disk: Disk;
  readonly #path: string;
  #marks = new Map<number, LowWaterMark>();
  #dirty = false;
  #saving: Promise<void> = Promise.resolve();

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#path = `${directory}/${FILE_NAME}`;
  }

  /** Reads the marks, none where there is no file. Throws a `RecordError`. */
  async load(): Promise<void> {
    const bytes = await this.#disk.readFile(this.#path);
    if (bytes) this.#marks = decodeBody(bytes, CONTEXT, decodeMarks);
  }

  groups(): readonly number[] {
    return [...this.#marks.keys()];
  }

  get(groupId: number): LowWaterMark | undefined {
    return this.#marks.get(groupId);
  }

  /** Takes a mark from a state that the database has synced, for the next `save`. */
  note(groupId: number, mark: LowWaterMark): void {
    this.#marks.set(groupId, mark);
    this.#dirty = true;
  }

  /** Forgets a group that was removed, with the next `save`. */
  forget(groupId: number): void {
    if (this.#marks.delete(groupId)) this.#dirty = true;
  }

  /** Writes what was noted before the call; nothing when there is nothing new. */
  save(): Promise<void> {
    const save = this.#saving.then(() => this.#saveIfDirty());
    // The caller hears of the failure; the next save must not fail for the same reason.
    this.#saving = save.catch(() => undefined);
    return save;
  }

  async #saveIfDirty(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    await this.#disk.writeFile(this.#path, seal(encodeMarks(this.#marks), CONTEXT));
  }
}

function encodeMarks(marks: ReadonlyMap<number, LowWaterMark>): Uint8Array {
  const writer = new ByteWriter().varint(marks.size);
  for (const [groupId, mark] of marks) {
    writer.varint(groupId).varint(mark.term).varint(mark.vote);
    writer.varint(mark.lastIndex).varint(mark.batchSequence);
  }
  return writer.finish();
}

function decodeMarks(body: Uint8Array): Map<number, LowWaterMark> {
  const reader = new ByteReader(body);
  const marks = new Map<number, LowWaterMark>();
  for (let count = reader.varint(); count > 0; count--) {
    marks.set(reader.varint(), {
      term: reader.varint(),
      vote: reader.varint(),
      lastIndex: reader.varint(),
      batchSequence: reader.varint(),
    });
  }
  reader.end();
  return marks;
}
