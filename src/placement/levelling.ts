/**
 * Evens loads out by shifting single units from node to node, along chains where no direct shift
 * helps: the augmenting paths of network flow, by which no better end can be missed.
 */

/** One unit of load that goes from one node to another. */
export interface Shift {
  readonly shardId: number;
  readonly fromNodeId: number;
  readonly toNodeId: number;
}

/** Loads, and the shifts that the rules allow as things stand. */
export interface Levelling {
  readonly nodeIds: readonly number[];
  loadOf(nodeId: number): number;
  /** Those that are liked best come first. At least one for each node that can be reached. */
  shiftsFrom(nodeId: number): Iterable<Shift>;
  take(shift: Shift): void;
}

/**
 * Shifts until no chain of allowed shifts leads from a node to one with at least two units less:
 * then the loads are as even as the rules let them be. Takes the shortest chain each time, and its
 * last shift first, so that no node on the way has more than before.
 *
 * Each chain makes the sum of the squared loads smaller. Finding one costs a visit of every
 * allowed shift at worst; where direct shifts will do, those of one node.
 */
export function level(levelling: Levelling): void {
  for (;;) {
    const chain = findChain(levelling);
    if (chain === undefined) return;
    for (const shift of chain.toReversed()) levelling.take(shift);
  }
}

/** From the fullest node that has one. */
function findChain(levelling: Levelling): Shift[] | undefined {
  const { nodeIds, loadOf } = levelling;
  const loads = new Map(nodeIds.map((nodeId) => [nodeId, loadOf(nodeId)]));
  const lowest = Math.min(...loads.values());
  const fullest = [...loads].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
  for (const [nodeId, load] of fullest) {
    if (load < lowest + 2) return undefined;
    const chain = chainFrom(nodeId, levelling, load - 2);
    if (chain !== undefined) return chain;
  }
  return undefined;
}

/** The shortest chain to a node of at most `loadMax`; of equally short ones to the emptiest. */
function chainFrom(
  startId: number,
  { loadOf, shiftsFrom }: Levelling,
  loadMax: number,
): Shift[] | undefined {
  const arrivals = new Map<number, Shift>();
  let border = [startId];
  while (border.length > 0) {
    const reached: number[] = [];
    for (const nodeId of border) {
      for (const shift of shiftsFrom(nodeId)) {
        const { toNodeId } = shift;
        if (toNodeId === startId || arrivals.has(toNodeId)) continue;
        arrivals.set(toNodeId, shift);
        reached.push(toNodeId);
      }
    }
    const ends = reached
      .filter((nodeId) => loadOf(nodeId) <= loadMax)
      .sort((a, b) => loadOf(a) - loadOf(b) || a - b);
    const [end] = ends;
    if (end !== undefined) return chainTo(end, startId, arrivals);
    border = reached;
  }
  return undefined;
}

function chainTo(endId: number, startId: number, arrivals: ReadonlyMap<number, Shift>): Shift[] {
  const chain: Shift[] = [];
  for (let nodeId = endId; nodeId !== startId; ) {
    const shift = arrivals.get(nodeId) as Shift;
    chain.unshift(shift);
    nodeId = shift.fromNodeId;
  }
  return chain;
}
