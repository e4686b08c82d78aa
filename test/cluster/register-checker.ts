// Goal: decide whether a history of one register is linearizable.
// Method: all written values differ, so each value has one write and its reads: its operations must
// have happened without another value's in between. Gibbons and Korach's zones decide that.

export interface Operation {
  readonly kind: 'write' | 'read';
  /** Unique among writes. Reads of 0 saw the register before any write. */
  readonly value: number;
  /** Positions on one clock: an operation that ends before another starts happened before it. */
  readonly start: number;
  /** Infinity for a write of which nobody knows whether it happened. */
  readonly end: number;
}

interface Zone {
  readonly value: number;
  /** The earliest end and the latest start among the operations on the value. */
  readonly firstEnd: number;
  readonly lastStart: number;
}

/**
 * Why the history cannot have been that of one register; undefined when it can. Cost grows with
 * the square of the values.
 */
export function registerFault(operations: readonly Operation[]): string | undefined {
  const byValue = new Map<number, Operation[]>([
    // The register's first state, written before everything.
    [0, [{ kind: 'write', value: 0, start: -1, end: -1 }]],
  ]);
  for (const operation of operations) {
    const list = byValue.get(operation.value) ?? [];
    byValue.set(operation.value, list);
    list.push(operation);
  }
  const zones: Zone[] = [];
  for (const [value, list] of byValue) {
    const write = list.find(({ kind }) => kind === 'write');
    if (write === undefined) return `${value} was read and never written`;
    const early = list.find(({ kind, end }) => kind === 'read' && end < write.start);
    if (early !== undefined) return `${value} was read before it was written`;
    // A write that nobody saw and nobody knows of may as well not have happened.
    if (list.length === 1 && write.end === Infinity) continue;
    zones.push({
      value,
      firstEnd: Math.min(...list.map(({ end }) => end)),
      lastStart: Math.max(...list.map(({ start }) => start)),
    });
  }
  return zonesFault(zones);
}

/**
 * A forward zone (first end before last start) is a time in which the register must have held the
 * value throughout. Two of them may not overlap, and no other value may have all of its operations
 * inside of one.
 */
function zonesFault(zones: readonly Zone[]): string | undefined {
  const forward = zones.filter((zone) => zone.firstEnd < zone.lastStart);
  for (const held of forward) {
    for (const other of zones) {
      if (other === held) continue;
      const low = Math.min(other.firstEnd, other.lastStart);
      const high = Math.max(other.firstEnd, other.lastStart);
      const isForward = other.firstEnd < other.lastStart;
      const clashes = isForward
        ? low < held.lastStart && held.firstEnd < high
        : held.firstEnd < low && high < held.lastStart;
      if (clashes) return `${other.value} was there while the register held ${held.value}`;
    }
  }
  return undefined;
}
