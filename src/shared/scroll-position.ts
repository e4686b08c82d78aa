/** Where a scroll has come to. Its records are in one order, on each shard and over all of them. */
import { compareText } from './filter-values.js';

export interface ScrollPosition {
  readonly id: string;
  readonly tenant: string;
}

/** By the UTF-8 bytes of the id, then those of the tenant; as in sorting. */
export function comparePositions(a: ScrollPosition, b: ScrollPosition): number {
  return compareText(a.id, b.id) || compareText(a.tenant, b.tenant);
}
