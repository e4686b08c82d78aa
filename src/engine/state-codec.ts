/** The stored form of what a shard is: its ownership, its limits, its collections. */
import type { ByteReader, ByteWriter } from '../shared/bytes.js';
import { MalformedBytesError } from '../shared/bytes.js';
import { readCollectionConfig, writeCollectionConfig } from '../shared/codec/collection-config.js';
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
  const { clientsMax, requestsMax, bytesMax } = state.sessionLimits;
  writer.varint(clientsMax).varint(requestsMax).varint(bytesMax);
}

export function readShardState(reader: ByteReader): ShardState {
  const shardId = reader.varint();
  const ownershipVersion = reader.varint();
  const slots: number[] = [];
  for (let left = reader.varint(); left > 0; left--) slots.push(reader.varint());
  const [clientsMax, requestsMax] = [reader.varint(), reader.varint()];
  // The first release had no such limit, and what a shard began with it keeps.
  const bytesMax = reader.remaining > 0 ? reader.varint() : Number.MAX_SAFE_INTEGER;
  const sessionLimits = { clientsMax, requestsMax, bytesMax };
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
