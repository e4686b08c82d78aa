/** What is refused because of the replica that a group has, or had, in this store. */
import { FlotillaError } from '../shared/errors.js';
import type { GroupDamage, GroupGenesis } from './log-store.js';

/**
 * A replica id is used once: SETTINGS_MISMATCH unless the genesis' is above `highest`, the highest
 * that the store has had for the group (M8).
 */
export function refuseUsedReplica(genesis: GroupGenesis, highest: number | undefined): void {
  const { groupId, replicaId } = genesis;
  if (highest === undefined || replicaId > highest) return;
  const message =
    `replica ${replicaId} of group ${groupId} cannot be created: this store has had replica ` +
    `${highest}, and replica ids are never used again`;
  throw new FlotillaError('SETTINGS_MISMATCH', message);
}

/** What a caller is told who uses a damaged group. */
export function damagedError({ groupId, reason, message }: GroupDamage): FlotillaError {
  return new FlotillaError(
    'LOG_DAMAGED',
    `the log of group ${groupId} is damaged (${reason}): ${message}`,
  );
}
