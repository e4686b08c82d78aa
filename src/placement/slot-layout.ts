/** The strategies that lay out slots, by the name that a collection gives them. */
import { unreachable } from '../shared/assert.js';
import { FlotillaError, limitExceeded } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import { ModuloStrategy } from './modulo.js';
import { RendezvousStrategy } from './rendezvous.js';
import { RingStrategy } from './ring-strategy.js';
import type { SlotTable } from './slot-table.js';
import type { PlacementStrategy } from './strategy.js';
import { VirtualShardStrategy } from './virtual-shards.js';

/** Plain data; stored with the placement. */
export type SlotLayout =
  | {
      readonly name: 'ring';
      /** Points a shard, from 1 to `virtualNodesMax`. */
      readonly virtualNodes: number;
    }
  | { readonly name: 'modulo' }
  | { readonly name: 'rendezvous' }
  | { readonly name: 'virtual-shards' };

/** The names of all of them. */
export const SLOT_STRATEGIES = [
  'ring',
  'modulo',
  'rendezvous',
  'virtual-shards',
] as const satisfies readonly SlotLayout['name'][];

export function slotStrategy(layout: SlotLayout): PlacementStrategy<SlotTable> {
  switch (layout.name) {
    case 'ring':
      return new RingStrategy({ virtualNodes: layout.virtualNodes });
    case 'modulo':
      return new ModuloStrategy();
    case 'rendezvous':
      return new RendezvousStrategy();
    case 'virtual-shards':
      return new VirtualShardStrategy();
    default:
      return unreachable(layout, 'layout');
  }
}

/** Throws INVALID_REQUEST or LIMIT_EXCEEDED, naming the field, for a layout that makes no table. */
export function checkLayout(layout: SlotLayout): void {
  if (layout.name !== 'ring') return;
  const { virtualNodes } = layout;
  const field = 'layout.virtualNodes';
  if (!Number.isSafeInteger(virtualNodes) || virtualNodes < 1) {
    const message = `${field} is ${virtualNodes}, it must be a whole number of at least 1`;
    throw new FlotillaError('INVALID_REQUEST', message, { field });
  }
  if (virtualNodes > LIMITS.virtualNodesMax.value) {
    throw limitExceeded('virtualNodesMax', field, virtualNodes);
  }
}
