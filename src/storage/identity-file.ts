/**
 * The file IDENTITY: who this data directory is, how often it was opened, which groups it has ever
 * held under which replica ids, and which of them are damaged. It outlives the database, so that
 * an emptied one is noticed and never votes, and no replica id is ever used again (M8).
 */
import { ByteReader, ByteWriter, memberAt, utf8 } from '../shared/bytes.js';
import type { Disk } from '../shared/environment.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import type { GroupDamage, StoreIdentity } from './log-store.js';

const FILE_NAME = 'IDENTITY';
const CONTEXT = utf8(FILE_NAME);
/** Version 1 had no replica ids, no removed groups, and one reason for a quarantine. */
const VERSION = 2;

/** Never renumbered: their positions are on disk. */
const REASONS: readonly GroupDamage['reason'][] = [
  'database-log',
  'entry-checksum',
  'entry-missing',
  'entry-terms',
  'meta-checksum',
  'meta-mismatch',
  'unsupported-version',
];

/** What a directory knows of a group that it holds or held. */
export interface KnownGroup {
  /** The highest replica id that was ever created here; 0 when an older version created it. */
  readonly replicaId: number;
  readonly isRemoved: boolean;
}

export type Quarantine = Pick<GroupDamage, 'reason' | 'message'>;

export interface IdentityRecord extends StoreIdentity {
  /** Every group that was ever created here. */
  readonly groups: ReadonlyMap<number, KnownGroup>;
  /** Groups that were found damaged: a later open might not find it again. */
  readonly quarantined: ReadonlyMap<number, Quarantine>;
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
    return bytes && decodeBody(bytes, CONTEXT, decodeIdentity, VERSION);
  }

  /** Durable when the promise resolves. One call at a time. */
  async write(record: IdentityRecord): Promise<void> {
    await this.#disk.writeFile(this.#path, seal(encodeIdentity(record), CONTEXT, VERSION));
  }
}

function encodeIdentity(record: IdentityRecord): Uint8Array {
  const writer = new ByteWriter().string(record.storeId).varint(record.incarnation);
  writer.varint(record.groups.size);
  for (const [groupId, { replicaId, isRemoved }] of record.groups) {
    writer.varint(groupId).varint(replicaId).bool(isRemoved);
  }
  writer.varint(record.quarantined.size);
  for (const [groupId, { reason, message }] of record.quarantined) {
    writer.varint(groupId).varint(REASONS.indexOf(reason)).string(message);
  }
  return writer.finish();
}

function decodeIdentity(body: Uint8Array, version: number): IdentityRecord {
  const reader = new ByteReader(body);
  const storeId = reader.string();
  const incarnation = reader.varint();
  const groups = new Map<number, KnownGroup>();
  for (let count = reader.varint(); count > 0; count--) {
    const groupId = reader.varint();
    const known = { replicaId: 0, isRemoved: false };
    groups.set(
      groupId,
      version === 1 ? known : { replicaId: reader.varint(), isRemoved: reader.bool() },
    );
  }
  const quarantined = new Map<number, Quarantine>();
  for (let count = reader.varint(); count > 0; count--) {
    const groupId = reader.varint();
    const reason = version === 1 ? 'database-log' : memberAt(REASONS, reader.varint(), 'damage');
    quarantined.set(groupId, { reason, message: reader.string() });
  }
  reader.end();
  return { storeId, incarnation, groups, quarantined };
}
