/**
 * A record's key within its collection as one string: what maps and sets of the engine are keyed
 * by, and all that is kept in memory of a key. Distinct keys have distinct names.
 */
import { comparePositions } from '../shared/scroll-position.js';
import type { RecordKey } from './engine.js';

export type RecordName = string;

/** `slot/length of tenant/tenant and id`. */
export function recordName({ slot, tenant, id }: RecordKey): RecordName {
  return `${slot}/${tenant.length}/${tenant}${id}`;
}

/** By id, then tenant, as hits of equal distance are answered, and scrolls. */
export function compareRecordNames(a: RecordName, b: RecordName): number {
  return comparePositions(recordOfName(a), recordOfName(b));
}

export function recordOfName(name: RecordName): RecordKey {
  const { tenantAt, idAt } = placesInName(name);
  return {
    slot: Number(name.slice(0, name.indexOf('/'))),
    tenant: name.slice(tenantAt, idAt),
    id: name.slice(idAt),
  };
}

/** Where tenant and id begin in a name: the tenant ends where the id begins, the id at its end. */
export function placesInName(name: RecordName): {
  readonly tenantAt: number;
  readonly idAt: number;
} {
  const slotEnd = name.indexOf('/');
  const lengthEnd = name.indexOf('/', slotEnd + 1);
  const tenantAt = lengthEnd + 1;
  return { tenantAt, idAt: tenantAt + Number(name.slice(slotEnd + 1, lengthEnd)) };
}
