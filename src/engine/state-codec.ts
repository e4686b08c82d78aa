/** The stored form of what a shard is: its ownership, its limits, its collections. */
import type { ByteReader, ByteWriter } from '../shared/bytes.js';
import { MalformedBytesError } from '../shared/bytes.js';
import { readCollectionConfig, writeCollectionConfig } from '../shared/codec/command.js';
import type { CollectionConfig } from '../shared/types.js';
import type { ShardGenesis } from './engine.js';
import type { SessionLimits } from './sessions.js';

/** Everything that apply depends on besides collections and sessions. */
export interface ShardState extends ShardGenesis {
  /** Part of the state: an upgrade of the software must not change what old entries do. */
  readonly sessionLimits: SessionLimits;
}

export type CollectionState =
  | { readonly kind: 'active'; readonly config: CollectionConfig }
  /** Dropped, its records not all erased yet. */
  | { readonly kind: 'dropping' }
  /** Kept for ever: ids are not reused, and a late duplicate of its creation must not revive it. */
  | { readonly kind: 'dropped' };

const KINDS = ['active', 'dropping', 'dropped'] as const;

export function writeShardState(writer: ByteWriter, state: ShardState): void {
  writer.varint(state.shardId).varint(state.ownershipVersion).varint(state.slots.length);
  for (const slot of state.slots) writer.varint(slot);
  writer.varint(state.sessionLimits.clientsMax).varint(state.sessionLimits.requestsMax);
}

export function readShardState(reader: ByteReader): ShardState {
  const shardId = reader.varint();
  const ownershipVersion = reader.varint();
  const slots: number[] = [];
  for (let left = reader.varint(); left > 0; left--) slots.push(reader.varint());
  const sessionLimits = { clientsMax: reader.varint(), requestsMax: reader.varint() };
  return { shardId, ownershipVersion, slots, sessionLimits };
}

export function writeCollectionState(writer: ByteWriter, state: CollectionState): void {
  writer.u8(KINDS.indexOf(state.kind));
  if (state.kind === 'active') writeCollectionConfig(writer, state.config);
}

export function readCollectionState(reader: ByteReader): CollectionState {
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw new MalformedBytesError('unknown state of a collection');
  return kind === 'active' ? { kind, config: readCollectionConfig(reader) } : { kind };
}
