/** A group's configuration beyond its genesis: one record per group, replaced as it changes. */
import type { ConfState } from '../raft/types.js';
import { ByteReader, ByteWriter } from '../shared/bytes.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import { configurationKey } from './keys.js';
import type { GroupConfiguration, GroupMember } from './log-store.js';

function writeIds(writer: ByteWriter, ids: readonly number[]): void {
  writer.varint(ids.length);
  for (const id of ids) writer.varint(id);
}

function readIds(reader: ByteReader): number[] {
  return Array.from({ length: reader.varint() }, () => reader.varint());
}

export function writeConfState(writer: ByteWriter, confState: ConfState): void {
  writeIds(writer, confState.voters);
  writeIds(writer, confState.votersOutgoing);
  writeIds(writer, confState.learners);
  writeIds(writer, confState.learnersNext);
  writer.bool(confState.autoLeave);
}

export function readConfState(reader: ByteReader): ConfState {
  return {
    voters: readIds(reader),
    votersOutgoing: readIds(reader),
    learners: readIds(reader),
    learnersNext: readIds(reader),
    autoLeave: reader.bool(),
  };
}

export function writeMembers(writer: ByteWriter, members: readonly GroupMember[]): void {
  writer.varint(members.length);
  for (const { replicaId, nodeId, storeId } of members) {
    writer.varint(replicaId).varint(nodeId).string(storeId);
  }
}

export function readMembers(reader: ByteReader): GroupMember[] {
  return Array.from({ length: reader.varint() }, () => ({
    replicaId: reader.varint(),
    nodeId: reader.varint(),
    storeId: reader.string(),
  }));
}

export function encodeConfiguration(
  groupId: number,
  { index, confState, members }: GroupConfiguration,
): Uint8Array {
  const writer = new ByteWriter().varint(index);
  writeConfState(writer, confState);
  writeMembers(writer, members);
  return seal(writer.finish(), configurationKey(groupId));
}

/** The record under `key`, the group's `configurationKey`. Throws a `RecordError`. */
export function decodeConfiguration(key: Uint8Array, record: Uint8Array): GroupConfiguration {
  return decodeBody(record, key, (body) => {
    const reader = new ByteReader(body);
    const configuration = {
      index: reader.varint(),
      confState: readConfState(reader),
      members: readMembers(reader),
    };
    reader.end();
    return configuration;
  });
}
