/** Which nodes are in the zone of this one: a read that any replica may serve need not leave it. */
import type { NodeEntry } from '../topology/document.js';
import type { TopologyView } from '../topology/view.js';

export class NearNodes {
  readonly #view: Pick<TopologyView, 'current'>;
  readonly #localNodeId: number | undefined;
  /** What `#nodeIds` was made of: documents are never changed in place. */
  #nodes: readonly NodeEntry[] | undefined;
  #nodeIds: ReadonlySet<number> = new Set();

  /** @param localNodeId this node; without one none is near */
  constructor(view: Pick<TopologyView, 'current'>, localNodeId: number | undefined) {
    this.#view = view;
    this.#localNodeId = localNodeId;
  }

  /**
   * Whether the node is this one, or in the same zone by the newest topology; nodes that name no
   * zone are one together. Costs a look at all nodes after each change of them, a lookup otherwise.
   */
  has(nodeId: number): boolean {
    const nodes = this.#view.current()?.nodes;
    if (nodes !== this.#nodes) {
      this.#nodes = nodes;
      this.#nodeIds = sameZone(nodes ?? [], this.#localNodeId);
    }
    return this.#nodeIds.has(nodeId);
  }
}

function sameZone(
  nodes: readonly NodeEntry[],
  localNodeId: number | undefined,
): ReadonlySet<number> {
  const local = nodes.find(({ nodeId }) => nodeId === localNodeId);
  if (local === undefined) return new Set();
  return new Set(nodes.filter(({ zone }) => zone === local.zone).map(({ nodeId }) => nodeId));
}
