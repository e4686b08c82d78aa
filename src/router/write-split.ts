/** Cutting a write: by shard, then into log entries. Pure. */
import { assert } from '../shared/assert.js';
import { operationSizeBytes, type WriteOperation } from '../shared/codec/command.js';
import { LIMITS } from '../shared/limits.js';
import type { CollectionRoute, RoutedKey } from '../topology/routes.js';

/** What a command takes besides its operations: the header, and a key of the longest client id. */
const COMMAND_OVERHEAD_BYTES = 256;

/** A record of a request, and where it lives. */
export interface RecordTarget {
  /** Position in the request. */
  readonly ordinal: number;
  readonly slot: number;
  readonly tenant: string;
  /** As shards know it; see addresses.ts. */
  readonly id: string;
}

/** Operations by the shard that owns them; each list keeps the order of the request. */
export function splitByShard<T extends RoutedKey>(
  route: Pick<CollectionRoute, 'shardOf'>,
  operations: readonly T[],
): Map<number, T[]> {
  const parts = new Map<number, T[]>();
  for (const operation of operations) {
    const shardId = route.shardOf(operation);
    const part = parts.get(shardId);
    if (part === undefined) parts.set(shardId, [operation]);
    else part.push(operation);
  }
  return parts;
}

/**
 * Operations in the order given, cut so that each list makes a command of at most `sizeMaxBytes`.
 * The limits on ids, vectors and metadata keep every single operation far below it.
 */
export function cutIntoCommands(
  operations: readonly WriteOperation[],
  sizeMaxBytes = LIMITS.entryBytesMax.value,
): WriteOperation[][] {
  const commands: WriteOperation[][] = [];
  let command: WriteOperation[] = [];
  let leftBytes = 0;
  for (const operation of operations) {
    const sizeBytes = operationSizeBytes(operation);
    assert(
      sizeBytes + COMMAND_OVERHEAD_BYTES <= sizeMaxBytes,
      () => `a write of ${sizeBytes} bytes does not fit an entry of ${sizeMaxBytes}`,
    );
    if (command.length === 0 || sizeBytes > leftBytes) {
      command = [];
      commands.push(command);
      leftBytes = sizeMaxBytes - COMMAND_OVERHEAD_BYTES;
    }
    command.push(operation);
    leftBytes -= sizeBytes;
  }
  return commands;
}
