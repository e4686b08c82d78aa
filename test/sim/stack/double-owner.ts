/**
 * Goal: no key has two shards that answer for it (O3). Method: what the logs of all shards say, as
 * far as any replica has applied them.
 */
import { slotOfKey } from '../../../src/placement/slot-table.js';
import type { ShardReplay } from './shard-replay.js';

/** A key that two shards own; empty where there is none. Costs all that they own. */
export function doubleOwner(replays: ReadonlyMap<number, ShardReplay>): string {
  const owners = new Map<string, number>();
  for (const [shardId, { ownership }] of replays) {
    for (const [placementId, { units = [], here }] of ownership.placements) {
      const names = [
        ...units.map((slot) => `slot ${slot}`),
        ...here.map((tenant) => `tenant ${tenant}`),
      ];
      for (const name of names) {
        const key = `${name} of placement ${placementId}`;
        const other = owners.get(key) ?? shardId;
        if (other !== shardId) return `${key} is of shards ${other} and ${shardId}`;
        owners.set(key, shardId);
      }
      for (const tenant of here) {
        const bySlot = ownerBySlot(replays, placementId, tenant, shardId);
        if (bySlot !== undefined) return `tenant ${tenant} is of shards ${bySlot} and ${shardId}`;
      }
    }
  }
  return '';
}

/** Another shard that still owns the tenant by its slot. */
function ownerBySlot(
  replays: ReadonlyMap<number, ShardReplay>,
  placementId: number,
  tenant: string,
  hereId: number,
): number | undefined {
  const key = { slot: slotOfKey(tenant), tenant };
  for (const [shardId, { ownership }] of replays) {
    if (shardId !== hereId && ownership.owns(placementId, key)) return shardId;
  }
  return undefined;
}
