/** The stored form of sessions, and of outcomes in memory: about five bytes an outcome. */
import { type ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import type { ErrorBody, Version, WriteOutcome } from '../shared/types.js';

/** What became of one ordinal of a request, and the unit it belongs to: both move together. */
export interface RecordedOutcome {
  readonly ordinal: number;
  readonly slot: number;
  readonly outcome: WriteOutcome;
  /** Whose record it is about. @default nobody's, of whichever collection */
  readonly owner?: RecordOwner;
}

/** Who may use the same key for other records, so that outcomes are kept apart by it (U1). */
export interface RecordOwner {
  readonly collectionId: number;
  readonly tenant: string;
}

export interface StoredClient {
  readonly stampMs: number;
  /** Log index of the client's last entry: the order in which clients are forgotten. */
  readonly lastUsedIndex: number;
  /** Requests below this sequence are forgotten. */
  readonly lowestKnown: number;
  /** Requests up to this one may have been applied by shards that had keys of this one before. */
  readonly reach: number;
}

/** Stands for no owner: collections count from 1. */
const NOBODY: RecordOwner = { collectionId: 0, tenant: '' };

const KIND = { created: 0, replaced: 1, notApplied: 2 } as const;

export function writeClient(writer: ByteWriter, client: StoredClient): void {
  writer.varint(client.stampMs).varint(client.lastUsedIndex).varint(client.lowestKnown);
  // Most clients have none, and are written as they always were.
  if (client.reach > 0) writer.varint(client.reach);
}

export function readClient(reader: ByteReader): StoredClient {
  return {
    stampMs: reader.varint(),
    lastUsedIndex: reader.varint(),
    lowestKnown: reader.varint(),
    reach: reader.remaining > 0 ? reader.varint() : 0,
  };
}

/**
 * All applied outcomes of an entry have the entry's version, which is written once. Owners follow
 * where there are any: the number of outcomes in a row that are of one, and which that is.
 */
export function encodeOutcomes(version: Version, outcomes: readonly RecordedOutcome[]): Uint8Array {
  const writer = new ByteWriter(16 + 6 * outcomes.length);
  writer.u64(version).varint(outcomes.length);
  for (const { ordinal, slot, outcome } of outcomes) {
    writer.varint(ordinal).varint(slot);
    if (outcome.kind === 'applied') writer.u8(outcome.existed ? KIND.replaced : KIND.created);
    else writer.u8(KIND.notApplied).string(JSON.stringify(outcome.error));
  }
  if (outcomes.some(({ owner }) => owner !== undefined)) writeOwners(writer, outcomes);
  return writer.finish();
}

function writeOwners(writer: ByteWriter, outcomes: readonly RecordedOutcome[]): void {
  let at = 0;
  while (at < outcomes.length) {
    const owner = outcomes[at]?.owner ?? NOBODY;
    let end = at + 1;
    while (end < outcomes.length && isSameOwner(outcomes[end]?.owner ?? NOBODY, owner)) end++;
    writer
      .varint(end - at)
      .varint(owner.collectionId)
      .string(owner.tenant);
    at = end;
  }
}

function isSameOwner(a: RecordOwner, b: RecordOwner): boolean {
  return a.collectionId === b.collectionId && a.tenant === b.tenant;
}

export function decodeOutcomes(reader: ByteReader): RecordedOutcome[] {
  const version = reader.u64();
  const outcomes: RecordedOutcome[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const ordinal = reader.varint();
    const slot = reader.varint();
    outcomes.push({ ordinal, slot, outcome: readOutcome(reader, version) });
  }
  return reader.remaining > 0 ? readOwners(reader, outcomes) : outcomes;
}

function readOwners(reader: ByteReader, outcomes: readonly RecordedOutcome[]): RecordedOutcome[] {
  const owned: RecordedOutcome[] = [];
  while (owned.length < outcomes.length) {
    const end = owned.length + reader.varint();
    const owner = { collectionId: reader.varint(), tenant: reader.string() };
    if (end <= owned.length || end > outcomes.length) throw new MalformedBytesError('owners');
    for (const outcome of outcomes.slice(owned.length, end)) {
      owned.push(isSameOwner(owner, NOBODY) ? outcome : { ...outcome, owner });
    }
  }
  return owned;
}

function readOutcome(reader: ByteReader, version: Version): WriteOutcome {
  const kind = reader.u8();
  switch (kind) {
    case KIND.created:
      return { kind: 'applied', version, existed: false };
    case KIND.replaced:
      return { kind: 'applied', version, existed: true };
    case KIND.notApplied:
      return { kind: 'not-applied', error: JSON.parse(reader.string()) as ErrorBody };
    default:
      throw new MalformedBytesError(`outcome kind ${kind}`);
  }
}
