/** Cutting a write: by shard, then into log entries. Pure. */
import { slotOfKey } from '../placement/slot-table.js';
import { assert, defined } from '../shared/assert.js';
import { operationSizeBytes, type WriteOperation } from '../shared/codec/command.js';
import { LIMITS } from '../shared/limits.js';

/** What a command takes besides its operations: the header, and a key of the longest client id. */
const COMMAND_OVERHEAD_BYTES = 256;

/** Tenants arrive with tenant-routed collections; until then all records are in one namespace. */
export const DEFAULT_TENANT = '';

/** A record of a request, and where it lives. */
export interface RecordTarget {
  /** Position in the request. */
  readonly ordinal: number;
  readonly slot: number;
  readonly tenant: string;
  readonly id: string;
}

export function targetOf(ordinal: number, id: string): RecordTarget {
  return { ordinal, slot: slotOfKey(id), tenant: DEFAULT_TENANT, id };
}

/** Operations by the shard that owns their slot; each list keeps the order of the request. */
export function splitByShard<T extends { readonly slot: number }>(
  slotTable: readonly number[],
  operations: readonly T[],
): Map<number, T[]> {
  const parts = new Map<number, T[]>();
  for (const operation of operations) {
    const shardId = defined(slotTable[operation.slot], `slot ${operation.slot}`);
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
