/**
 * A record's key within its collection as one string: what maps and sets of the engine are keyed
 * by, and all that is kept in memory of a key. Distinct keys have distinct names.
 */
import type { RecordKey } from './engine.js';

export type RecordName = string;

/** `slot/length of tenant/tenant and id`. */
export function recordName({ slot, tenant, id }: RecordKey): RecordName {
  return `${slot}/${tenant.length}/${tenant}${id}`;
}

/** By id, then tenant, as hits of equal distance are answered: by UTF-16 unit. */
export function compareRecordNames(a: RecordName, b: RecordName): number {
  const [one, other] = [recordOfName(a), recordOfName(b)];
  if (one.id !== other.id) return one.id < other.id ? -1 : 1;
  if (one.tenant !== other.tenant) return one.tenant < other.tenant ? -1 : 1;
  return 0;
}

export function recordOfName(name: RecordName): RecordKey {
  const slotEnd = name.indexOf('/');
  const lengthEnd = name.indexOf('/', slotEnd + 1);
  const idAt = lengthEnd + 1 + Number(name.slice(slotEnd + 1, lengthEnd));
  return {
    slot: Number(name.slice(0, slotEnd)),
    tenant: name.slice(lengthEnd + 1, idAt),
    id: name.slice(idAt),
  };
}
