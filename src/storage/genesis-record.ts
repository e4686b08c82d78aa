/** What a group started from, as one record per group that is written once. */
import type { ConfState } from '../raft/types.js';
import { ByteReader, ByteWriter, equalBytes } from '../shared/bytes.js';
import { FlotillaError } from '../shared/errors.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import { genesisKey } from './keys.js';
import type { GroupGenesis, GroupMember } from './log-store.js';

function writeIds(writer: ByteWriter, ids: readonly number[]): void {
  writer.varint(ids.length);
  for (const id of ids) writer.varint(id);
}

function readIds(reader: ByteReader): number[] {
  return Array.from({ length: reader.varint() }, () => reader.varint());
}

function readConfState(reader: ByteReader): ConfState {
  return {
    voters: readIds(reader),
    votersOutgoing: readIds(reader),
    learners: readIds(reader),
    learnersNext: readIds(reader),
    autoLeave: reader.bool(),
  };
}

function readMember(reader: ByteReader): GroupMember {
  return { replicaId: reader.varint(), nodeId: reader.varint(), storeId: reader.string() };
}

export function encodeGenesis(genesis: GroupGenesis): Uint8Array {
  const { confState, members } = genesis;
  const writer = new ByteWriter().varint(genesis.groupId).varint(genesis.replicaId);
  writeIds(writer, confState.voters);
  writeIds(writer, confState.votersOutgoing);
  writeIds(writer, confState.learners);
  writeIds(writer, confState.learnersNext);
  writer.bool(confState.autoLeave).varint(members.length);
  for (const member of members) {
    writer.varint(member.replicaId).varint(member.nodeId).string(member.storeId);
  }
  return seal(writer.finish(), genesisKey(genesis.groupId));
}

/** The record under `key`, the group's `genesisKey`. Throws a `RecordError`. */
export function decodeGenesis(key: Uint8Array, record: Uint8Array): GroupGenesis {
  return decodeBody(record, key, (body) => {
    const reader = new ByteReader(body);
    const genesis = {
      groupId: reader.varint(),
      replicaId: reader.varint(),
      confState: readConfState(reader),
      members: Array.from({ length: reader.varint() }, () => readMember(reader)),
    };
    reader.end();
    return genesis;
  });
}

/** Creating a group again is allowed, as long as it is the same group: else SETTINGS_MISMATCH. */
export function assertSameGenesis(existing: GroupGenesis, asked: GroupGenesis): void {
  if (equalBytes(encodeGenesis(existing), encodeGenesis(asked))) return;
  const message = `group ${asked.groupId} exists in this store with another genesis`;
  throw new FlotillaError('SETTINGS_MISMATCH', message);
}
