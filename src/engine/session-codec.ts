/** The stored form of sessions, and of outcomes in memory: about five bytes an outcome. */
import { type ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import type { ErrorBody, Version, WriteOutcome } from '../shared/types.js';

/** What became of one ordinal of a request, and the unit it belongs to: both move together. */
export interface RecordedOutcome {
  readonly ordinal: number;
  readonly slot: number;
  readonly outcome: WriteOutcome;
}

export interface StoredClient {
  readonly stampMs: number;
  /** Log index of the client's last entry: the order in which clients are forgotten. */
  readonly lastUsedIndex: number;
  /** Requests below this sequence are forgotten. */
  readonly lowestKnown: number;
}

const KIND = { created: 0, replaced: 1, notApplied: 2 } as const;

export function writeClient(writer: ByteWriter, client: StoredClient): void {
  writer.varint(client.stampMs).varint(client.lastUsedIndex).varint(client.lowestKnown);
}

export function readClient(reader: ByteReader): StoredClient {
  return {
    stampMs: reader.varint(),
    lastUsedIndex: reader.varint(),
    lowestKnown: reader.varint(),
  };
}

/** All applied outcomes of an entry have the entry's version, which is written once. */
export function encodeOutcomes(version: Version, outcomes: readonly RecordedOutcome[]): Uint8Array {
  const writer = new ByteWriter(16 + 6 * outcomes.length);
  writer.u64(version).varint(outcomes.length);
  for (const { ordinal, slot, outcome } of outcomes) {
    writer.varint(ordinal).varint(slot);
    if (outcome.kind === 'applied') writer.u8(outcome.existed ? KIND.replaced : KIND.created);
    else writer.u8(KIND.notApplied).string(JSON.stringify(outcome.error));
  }
  return writer.finish();
}

export function decodeOutcomes(reader: ByteReader): RecordedOutcome[] {
  const version = reader.u64();
  const outcomes: RecordedOutcome[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const ordinal = reader.varint();
    const slot = reader.varint();
    outcomes.push({ ordinal, slot, outcome: readOutcome(reader, version) });
  }
  return outcomes;
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
