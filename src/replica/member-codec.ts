/**
 * The members of a group as bytes: in `ConfChange.context` those that are added, in a snapshot's
 * `data` all of its configuration. Layout: format byte, count, then id, node and store of each.
 */
import { ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import type { GroupMember } from '../storage/log-store.js';

const FORMAT = 1;

export function encodeMembers(members: readonly GroupMember[]): Uint8Array {
  const writer = new ByteWriter(16 + 48 * members.length).u8(FORMAT).varint(members.length);
  for (const { replicaId, nodeId, storeId } of members) {
    writer.varint(replicaId).varint(nodeId).string(storeId);
  }
  return writer.finish();
}

/** No bytes at all are no members: a change that only removes, or leaves a joint configuration. */
export function decodeMembers(bytes: Uint8Array): readonly GroupMember[] {
  if (bytes.length === 0) return [];
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== FORMAT) throw new MalformedBytesError(`group members of format ${format}`);
  const members: GroupMember[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    members.push({
      replicaId: reader.varint(),
      nodeId: reader.varint(),
      storeId: reader.string(),
    });
  }
  reader.end();
  return members;
}
