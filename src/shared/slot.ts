/** Slots: what routing keys hash to. Shared, so that clients find the same one as routers. */
import { LIMITS } from './limits.js';
import { murmur3OfString } from './murmur3.js';

/** A power of two, since a slot is the leading bits of a hash. */
const SLOT_SHIFT = 32 - Math.log2(LIMITS.slots.value);

/** The slot of a routing key: the top 10 bits of MurmurHash3 x86 32 over its UTF-8 bytes. */
export function slotOfKey(routingKey: string): number {
  return murmur3OfString(routingKey) >>> SLOT_SHIFT;
}
