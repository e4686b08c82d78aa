/**
 * The file IDENTITY: who this data directory is, how often it was opened, which groups it has ever
 * held, and which of them lost something that only the open which found it could see. It outlives
 * the database, so that an emptied one is noticed and never votes (M8).
 */
import { ByteReader, ByteWriter, utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import type { StoreIdentity } from './log-store.js';

const FILE_NAME = 'IDENTITY';
const CONTEXT = utf8(FILE_NAME);

export interface IdentityRecord extends StoreIdentity {
  /** Every group that was ever created here. */
  readonly groups: ReadonlySet<number>;
  /** Groups that lost records when the database was opened, with what the database said. */
  readonly quarantined: ReadonlyMap<number, string>;
}

export class IdentityFile {
  readonly #disk: Disk;
  readonly #path: string;

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#path = `${directory}/${FILE_NAME}`;
  }

  /** Undefined where there is no file. Throws a `RecordError`. */
  async read(): Promise<IdentityRecord | undefined> {
    const bytes = await this.#disk.readFile(this.#path);
    return bytes && decodeBody(bytes, CONTEXT, decodeIdentity);
  }

  /** Durable when the promise resolves. One call at a time. */
  async write(record: IdentityRecord): Promise<void> {
    await this.#disk.writeFile(this.#path, seal(encodeIdentity(record), CONTEXT));
  }
}

function encodeIdentity(record: IdentityRecord): Uint8Array {
  const writer = new ByteWriter().string(record.storeId).varint(record.incarnation);
  writer.varint(record.groups.size);
  for (const groupId of record.groups) writer.varint(groupId);
  writer.varint(record.quarantined.size);
  for (const [groupId, message] of record.quarantined) writer.varint(groupId).string(message);
  return writer.finish();
}

function decodeIdentity(body: Uint8Array): IdentityRecord {
  const reader = new ByteReader(body);
  const storeId = reader.string();
  const incarnation = reader.varint();
  const groups = new Set(Array.from({ length: reader.varint() }, () => reader.varint()));
  const quarantined = new Map<number, string>();
  for (let count = reader.varint(); count > 0; count--) {
    quarantined.set(reader.varint(), reader.string());
  }
  reader.end();
  return { storeId, incarnation, groups, quarantined };
}
