import { unreachable } from '../../../src/shared/assert.js';
import type { SimRandom } from './sim-random.js';

/**
 * Shapes of a partition: two halves, one alone, two halves with one node that sees both, everyone
 * sees a majority but not the same one, and cuts that stop one direction only.
 */
export type PartitionShape = 'halves' | 'isolate' | 'bridge' | 'ring' | 'one-way';

export const PARTITION_SHAPES: readonly PartitionShape[] = [
  'halves',
  'isolate',
  'bridge',
  'ring',
  'one-way',
];

/** What goes from the first to the second does not arrive. */
export type Cut<Host> = readonly [from: Host, to: Host];

/** The directed cuts of a partition of this shape, drawn over the hosts. At least two hosts. */
export function drawPartition<Host>(
  random: SimRandom,
  hosts: readonly Host[],
  shape: PartitionShape,
): Cut<Host>[] {
  const order = random.shuffled(hosts);
  const middle = random.integer(1, order.length - 1);
  switch (shape) {
    case 'halves':
      return bothWays(order.slice(0, middle), order.slice(middle));
    case 'isolate':
      return bothWays(order.slice(0, 1), order.slice(1));
    case 'bridge': {
      const rest = order.slice(1);
      const half = Math.floor(rest.length / 2);
      return bothWays(rest.slice(0, half), rest.slice(half));
    }
    case 'ring':
      return ringCuts(order);
    case 'one-way':
      return product(order.slice(0, middle), order.slice(middle));
    default:
      return unreachable(shape, 'partition shape');
  }
}

/** Each sees the nearest ones on the ring, just enough of them for a majority with itself. */
function ringCuts<Host>(order: readonly Host[]): Cut<Host>[] {
  const size = order.length;
  const reach = Math.ceil((Math.floor(size / 2) + 1 - 1) / 2);
  return order.flatMap((from, at) =>
    order.flatMap((to, toAt): Cut<Host>[] => {
      const distance = Math.min((at - toAt + size) % size, (toAt - at + size) % size);
      return distance > reach ? [[from, to]] : [];
    }),
  );
}

function bothWays<Host>(some: readonly Host[], others: readonly Host[]): Cut<Host>[] {
  return [...product(some, others), ...product(others, some)];
}

function product<Host>(from: readonly Host[], to: readonly Host[]): Cut<Host>[] {
  return from.flatMap((one) => to.map((other): Cut<Host> => [one, other]));
}
