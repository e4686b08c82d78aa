/**
 * Finds damage in the table files of a LevelDB database.
 *
 * Each block of a table has a checksum that LevelDB does not look at here: the binding has no
 * option for it. Most flipped bytes then show as a record that does not pass its own checksum, but
 * about one in fifty hides a record, or a whole block, and nothing tells that it was there.
 *
 *     data block, filter block, index of the filters, index of the data blocks | footer of 48 bytes
 *     block: contents | type u8 | masked crc32c of both, u32 LE
 */
import { ByteReader, MalformedBytesError } from '../shared/bytes.js';
import { crc32c } from '../shared/crc32c.js';
import type { Disk } from '../shared/environment.js';

const TABLE_FILE = /\.(?:ldb|sst)$/;
const FOOTER_SIZE_BYTES = 48;
const MAGIC = 0xdb4775248b80fb57n;
const TYPE_SIZE_BYTES = 1;
const CHECKSUM_SIZE_BYTES = 4;
const CHECKSUM_MASK = 0xa282ead8;
const U32_SIZE_BYTES = 4;

/** Where a block's contents are in the file. */
interface BlockHandle {
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * What is wrong with the first damaged table of a database that is not open; `undefined` where none
 * is. Reads every table, one in memory at a time.
 */
export async function damagedTable(
  disk: Pick<Disk, 'list' | 'readFile'>,
  databasePath: string,
): Promise<string | undefined> {
  for (const name of await disk.list(databasePath)) {
    if (!TABLE_FILE.test(name)) continue;
    const bytes = await disk.readFile(`${databasePath}/${name}`);
    if (bytes === undefined) continue;
    try {
      checkTable(bytes);
    } catch (error) {
      if (error instanceof MalformedBytesError) return `${name}: ${error.message}`;
      throw error;
    }
  }
  return undefined;
}

/** Throws MalformedBytesError where any block is not what was written. */
function checkTable(table: Uint8Array): void {
  if (table.length < FOOTER_SIZE_BYTES) throw new MalformedBytesError('the table is cut short');
  const footer = table.subarray(table.length - FOOTER_SIZE_BYTES);
  const view = new DataView(footer.buffer, footer.byteOffset, footer.byteLength);
  if (view.getBigUint64(FOOTER_SIZE_BYTES - 8, true) !== MAGIC) {
    throw new MalformedBytesError('the table has no footer');
  }
  const reader = new ByteReader(footer);
  const filters = readHandle(reader);
  const index = readHandle(reader);
  for (const block of [filters, index]) {
    for (const handle of handlesIn(checkedBlock(table, block))) checkedBlock(table, handle);
  }
}

function checkedBlock(table: Uint8Array, { offset, sizeBytes }: BlockHandle): Uint8Array {
  const end = offset + sizeBytes + TYPE_SIZE_BYTES;
  if (end + CHECKSUM_SIZE_BYTES > table.length) {
    throw new MalformedBytesError(`the block at ${offset} ends behind the table`);
  }
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const masked = (view.getUint32(end, true) - CHECKSUM_MASK) >>> 0;
  const checksum = ((masked >>> 17) | (masked << 15)) >>> 0;
  if (crc32c(table.subarray(offset, end)) !== checksum) {
    throw new MalformedBytesError(`the checksum of the block at ${offset} does not match`);
  }
  return table.subarray(offset, offset + sizeBytes);
}

/** The blocks that an index names; its keys do not matter. */
function* handlesIn(block: Uint8Array): Generator<BlockHandle> {
  if (block.length < U32_SIZE_BYTES) throw new MalformedBytesError('an index is cut short');
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const restarts = view.getUint32(block.length - U32_SIZE_BYTES, true);
  const end = block.length - U32_SIZE_BYTES * (restarts + 1);
  if (end < 0) throw new MalformedBytesError('an index has too many restarts');
  const reader = new ByteReader(block.subarray(0, end));
  while (reader.remaining > 0) {
    reader.varint();
    const keySizeBytes = reader.varint();
    const valueSizeBytes = reader.varint();
    reader.raw(keySizeBytes);
    yield readHandle(new ByteReader(reader.raw(valueSizeBytes)));
  }
}

function readHandle(reader: ByteReader): BlockHandle {
  return { offset: reader.varint(), sizeBytes: reader.varint() };
}
