/** What else would do for the same records, with fewer nodes. */
import { LIMITS } from '../shared/limits.js';
import { CAPACITY_BOUNDS } from './capacity-input.js';
import { type CapacityPlan, planCapacity } from './capacity-plan.js';

export type CapacityAlternative =
  /** No vectors in memory beside the graphs. */
  | { readonly kind: 'without-copy'; readonly nodes: number }
  /** Nodes with so much memory that a cluster can have as many as are needed. */
  | { readonly kind: 'larger-nodes'; readonly nodes: number; readonly nodeMemoryBytes: number };

/** Where memory asks for nodes. Costs up to a few plans. */
export function capacityAlternatives(plan: CapacityPlan): CapacityAlternative[] {
  const { input, nodes } = plan;
  if (nodes.reason !== 'memory' && nodes.reason !== 'limit') return [];
  const alternatives: CapacityAlternative[] = [];
  if (input.exactCopy) {
    const other = planCapacity({ ...input, exactCopy: false }).nodes;
    if (other.count < nodes.count) {
      alternatives.push({ kind: 'without-copy', nodes: other.count });
    }
  }
  if (nodes.count <= LIMITS.nodesMax.value) return alternatives;
  let nodeMemoryBytes = 2 * input.nodeMemoryBytes;
  for (; nodeMemoryBytes <= CAPACITY_BOUNDS.nodeMemoryBytes.max; nodeMemoryBytes *= 2) {
    const { count } = planCapacity({ ...input, nodeMemoryBytes }).nodes;
    if (count > LIMITS.nodesMax.value) continue;
    return [...alternatives, { kind: 'larger-nodes', nodes: count, nodeMemoryBytes }];
  }
  return alternatives;
}
