/**
 * The file beside a saved graph that says which record each of its labels stood for, and what the
 * graph's own file must be. In frames, see frame-file.ts:
 *
 *     header   magic, format u8, collection, applied index
 *     page     entries: labels left out since the entry before, name of the record (empty for none
 *              any more), and version u64 where it has a name
 *     footer   number of entries, crc32c u32 of the file before the footer, the `SavedIndex`
 *
 * Every label is listed that is no tombstone in the graph's file, in ascending order. About 30
 * bytes a label, with its record's id.
 */
import { assert } from '../../shared/assert.js';
import { type ByteReader, type ByteWriter, MalformedBytesError } from '../../shared/bytes.js';
import type { Disk, DiskFile } from '../../shared/environment.js';
import {
  bodyLength,
  FrameReader,
  FrameWriter,
  frameFailure,
  newFrame,
} from '../../shared/frame-file.js';
import { RecordError } from '../../shared/sealed-record.js';
import { METRICS, type Version } from '../../shared/types.js';
import type { SavedIndex } from '../index/vector-index.js';
import type { RecordName } from '../record-name.js';

const MAGIC = 'flotilla labels';
const FORMAT = 1;
const KIND = { header: 1, page: 2, footer: 3 } as const;
/** Well below a millisecond to write or read. */
const PAGE_TARGET_BYTES = 16 * 1024;

export interface LabelTableHeader {
  readonly collectionId: number;
  /** What the shard had applied when the table was begun. */
  readonly appliedIndex: number;
}

export interface LabelEntry {
  readonly label: number;
  /** Whose vector the point has; `undefined` where that was replaced while the graph was saved. */
  readonly record: { readonly name: RecordName; readonly version: Version } | undefined;
}

/**
 * Writes a new file over what is at `path`, and syncs it. The entries of a page are written before
 * the next is asked for. `saved` may settle later than all of them are given.
 */
export async function writeLabelTable(
  disk: Disk,
  path: string,
  { collectionId, appliedIndex }: LabelTableHeader,
  pages: AsyncIterable<readonly LabelEntry[]>,
  saved: Promise<SavedIndex>,
): Promise<void> {
  await disk.remove(path);
  const file = await disk.openFile(path, 'write');
  try {
    const frames = new FrameWriter(file);
    const head = newFrame().string(MAGIC).u8(FORMAT).varint(collectionId).varint(appliedIndex);
    await frames.write(KIND.header, head);
    let body = newFrame(PAGE_TARGET_BYTES);
    let entries = 0;
    let expected = 0;
    for await (const page of pages) {
      for (const { label, record } of page) {
        assert(label >= expected, () => `label ${label} comes before ${expected}`);
        body.varint(label - expected).string(record?.name ?? '');
        if (record !== undefined) body.u64(record.version);
        expected = label + 1;
        entries += 1;
      }
      if (bodyLength(body) < PAGE_TARGET_BYTES) continue;
      await frames.write(KIND.page, body);
      body = newFrame(PAGE_TARGET_BYTES);
    }
    if (bodyLength(body) > 0) await frames.write(KIND.page, body);
    const footer = newFrame().varint(entries).u32(frames.crc32c);
    writeSavedIndex(footer, await saved);
    await frames.write(KIND.footer, footer);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** An open label table. What it gives out has passed its checksums. */
export class LabelTableReader {
  readonly header: LabelTableHeader;
  readonly #what: string;
  readonly #file: DiskFile;
  readonly #frames: FrameReader;
  #saved: SavedIndex | undefined;

  private constructor(what: string, file: DiskFile, frames: FrameReader, header: LabelTableHeader) {
    this.#what = what;
    this.#file = file;
    this.#frames = frames;
    this.header = header;
  }

  /** Rejects with LOG_DAMAGED, or UNSUPPORTED_VERSION for a newer format. */
  static async open(disk: Disk, path: string): Promise<LabelTableReader> {
    const what = `the label table ${path}`;
    const file = await disk.openFile(path, 'read');
    try {
      const frames = new FrameReader(file);
      const { body } = await frames.next([KIND.header]);
      return new LabelTableReader(what, file, frames, readHeader(body));
    } catch (error) {
      await file.close();
      throw frameFailure(what, error);
    }
  }

  /** What the graph's file must be: told where the table ends, so that the table was whole. */
  get saved(): SavedIndex {
    assert(this.#saved !== undefined, 'the label table was not read to its end');
    return this.#saved;
  }

  /**
   * The entries, once, ascending by label. Fails with LOG_DAMAGED as soon as it meets damage: only
   * who has come to the end knows that the table is whole.
   */
  async *pages(): AsyncGenerator<LabelEntry[]> {
    try {
      let entries = 0;
      let expected = 0;
      for (;;) {
        const { crc32c } = this.#frames;
        const { kind, body } = await this.#frames.next([KIND.page, KIND.footer]);
        if (kind === KIND.footer) {
          this.#saved = this.#readFooter(body, entries, crc32c);
          const { points, removedPoints, lastLabel } = this.#saved;
          if (points - removedPoints === entries && expected <= lastLabel + 1) return;
          throw new MalformedBytesError(`${entries} labels for a graph of other points`);
        }
        const page = readEntries(body, expected);
        entries += page.length;
        expected = (page.at(-1)?.label ?? expected - 1) + 1;
        yield page;
      }
    } catch (error) {
      throw frameFailure(this.#what, error);
    }
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.#file.close();
  }

  #readFooter(footer: ByteReader, entries: number, crc32c: number): SavedIndex {
    const isSame = footer.varint() === entries && footer.u32() === crc32c;
    const saved = readSavedIndex(footer);
    footer.end();
    if (isSame && this.#frames.isAtEnd) return saved;
    throw new MalformedBytesError('the footer tells of another table');
  }
}

function readHeader(body: ByteReader): LabelTableHeader {
  if (body.string() !== MAGIC) throw new MalformedBytesError('it is no label table');
  const format = body.u8();
  if (format !== FORMAT) throw new RecordError('unsupported-version', `format ${format}`);
  const header = { collectionId: body.varint(), appliedIndex: body.varint() };
  body.end();
  return header;
}

function readEntries(body: ByteReader, first: number): LabelEntry[] {
  const entries: LabelEntry[] = [];
  let expected = first;
  while (body.remaining > 0) {
    const label = expected + body.varint();
    const name = body.string();
    entries.push({ label, record: name === '' ? undefined : { name, version: body.u64() } });
    expected = label + 1;
  }
  return entries;
}

function writeSavedIndex(body: ByteWriter, saved: SavedIndex): void {
  const { kind, options, points, removedPoints, lastLabel, sizeBytes, crc32c } = saved;
  const { dimension, metric, m, efConstruction } = options;
  body.string(kind).varint(dimension).string(metric).varint(m).varint(efConstruction);
  body
    .varint(points)
    .varint(removedPoints)
    .varint(lastLabel + 1)
    .varint(sizeBytes)
    .u32(crc32c);
}

function readSavedIndex(body: ByteReader): SavedIndex {
  const kind = body.string();
  const dimension = body.varint();
  const metricName = body.string();
  const metric = METRICS.find((one) => one === metricName);
  if (metric === undefined) throw new MalformedBytesError(`there is no metric ${metricName}`);
  return {
    kind,
    options: { dimension, metric, m: body.varint(), efConstruction: body.varint() },
    points: body.varint(),
    removedPoints: body.varint(),
    lastLabel: body.varint() - 1,
    sizeBytes: body.varint(),
    crc32c: body.u32(),
  };
}
