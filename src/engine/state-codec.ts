/** The stored form of what a shard is: its ownership, its limits, its collections. */
import type { ByteReader, ByteWriter } from '../shared/bytes.js';
import { MalformedBytesError } from '../shared/bytes.js';
import { readCollectionConfig, writeCollectionConfig } from '../shared/codec/collection-config.js';
import { readOwnership, writeOwnership } from '../shared/codec/ownership.js';
import type { PlacementOwnership } from '../shared/ownership.js';
import type { CollectionConfig } from '../shared/types.js';
import type { ShardGenesis } from './engine.js';
import type { SessionLimits } from './sessions.js';

/** Everything that apply depends on besides collections and sessions. */
export interface ShardState extends ShardGenesis {
  /** Part of the state: an upgrade of the software must not change what old entries do. */
  readonly sessionLimits: SessionLimits;
  /** Absent until a collection brings another placement than the default one. */
  readonly placed?: PlacedState;
}

/** What the shard owns of placements beside the default one. */
export interface PlacedState {
  readonly placements: readonly PlacementOwnership[];
  /** The last change of who owns what that is over here; 0 for none. */
  readonly lastChangeId: number;
  /** What the shard would own after a change that is not decided yet: no less may be written. */
  readonly fence?: { readonly changeId: number; readonly ownership: PlacementOwnership };
}

export type CollectionState =
  | {
      readonly kind: 'active';
      readonly config: CollectionConfig;
      /** @default the default placement */
      readonly placementId?: number;
    }
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
  if (state.placed !== undefined) writePlaced(writer, state.placed);
}

function writePlaced(writer: ByteWriter, { placements, lastChangeId, fence }: PlacedState): void {
  writer.varint(placements.length);
  for (const ownership of placements) writeOwnership(writer, ownership);
  writer.varint(lastChangeId).bool(fence !== undefined);
  if (fence === undefined) return;
  writer.varint(fence.changeId);
  writeOwnership(writer, fence.ownership);
}

function readPlaced(reader: ByteReader): PlacedState {
  const placements: PlacementOwnership[] = [];
  for (let left = reader.varint(); left > 0; left--) placements.push(readOwnership(reader));
  const lastChangeId = reader.varint();
  if (!reader.bool()) return { placements, lastChangeId };
  const fence = { changeId: reader.varint(), ownership: readOwnership(reader) };
  return { placements, lastChangeId, fence };
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
  // A shard that has no other placement than the default one says nothing more.
  const placed = reader.remaining > 0 ? { placed: readPlaced(reader) } : {};
  return { shardId, ownershipVersion, slots, sessionLimits, ...placed };
}

export function writeCollectionState(writer: ByteWriter, state: CollectionState): void {
  writer.u8(KINDS.indexOf(state.kind));
  if (state.kind !== 'active') return;
  writeCollectionConfig(writer, state.config);
  if (state.placementId !== undefined) writer.varint(state.placementId);
}

export function readCollectionState(reader: ByteReader): CollectionState {
  const kind = KINDS[reader.u8()];
  if (kind === undefined) throw new MalformedBytesError('unknown state of a collection');
  if (kind !== 'active') return { kind };
  const config = readCollectionConfig(reader);
  return reader.remaining > 0 ? { kind, config, placementId: reader.varint() } : { kind, config };
}
