/** What a group started from, as one record per group that is written once. */
import { ByteReader, ByteWriter, equalBytes } from '../shared/bytes.js';
import { FlotillaError } from '../shared/errors.js';
import { decodeBody, seal } from '../shared/sealed-record.js';
import {
  readConfState,
  readMembers,
  writeConfState,
  writeMembers,
} from './configuration-record.js';
import { genesisKey } from './keys.js';
import type { GroupGenesis } from './log-store.js';

export function encodeGenesis(genesis: GroupGenesis): Uint8Array {
  const writer = new ByteWriter().varint(genesis.groupId).varint(genesis.replicaId);
  writeConfState(writer, genesis.confState);
  writeMembers(writer, genesis.members);
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
      members: readMembers(reader),
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
