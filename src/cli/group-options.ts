/** Options of the commands that are about one Raft group and a node of it. */
import type { Command } from 'commander';
import type { GroupPlace } from '../client/index.js';
import { LIMITS } from '../shared/limits.js';
import { UsageError } from './exit-codes.js';
import { integerOption } from './options.js';

const NODE_ID_MAX = 65_535;

export interface GroupOptions {
  readonly shard?: number;
  readonly topology: boolean;
}

export function addGroupOptions(command: Command): Command {
  return command
    .option('--shard <id>', 'the shard', integerOption(0, LIMITS.shardsMax.value - 1))
    .option('--topology', 'the group of the topology instead of a shard', false);
}

export const nodeIdOption = integerOption(1, NODE_ID_MAX);

export function groupPlace({ shard, topology }: GroupOptions): GroupPlace {
  if (topology === (shard !== undefined)) {
    throw new UsageError('give --shard <id> or --topology, and not both');
  }
  return shard === undefined ? { topology: true } : { shardId: shard };
}

export function groupTitle({ shardId }: GroupPlace): string {
  return shardId === undefined ? 'the topology' : `shard ${shardId}`;
}
