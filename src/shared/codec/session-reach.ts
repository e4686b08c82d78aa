/** How far sessions reach, in entries of shards' logs and in answers to them. */
import type { ByteReader, ByteWriter } from '../bytes.js';
import type { ClientReach, SessionReach } from '../session-reach.js';

export function writeSessionReach(
  writer: ByteWriter,
  { watermarkMs, lastVersion, clients }: SessionReach,
): void {
  // Plus one: a shard that has forgotten nobody says -1.
  writer
    .varint(watermarkMs + 1)
    .u64(lastVersion)
    .varint(clients.length);
  for (const { clientId, clientStampMs, sequence } of clients) {
    writer.string(clientId).varint(clientStampMs).varint(sequence);
  }
}

export function readSessionReach(reader: ByteReader): SessionReach {
  const watermarkMs = reader.varint() - 1;
  const lastVersion = reader.u64();
  const clients: ClientReach[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    clients.push({
      clientId: reader.string(),
      clientStampMs: reader.varint(),
      sequence: reader.varint(),
    });
  }
  return { watermarkMs, lastVersion, clients };
}
