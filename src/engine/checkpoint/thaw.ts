/** Makes a graph ready to be changed again whose file is written or read, beside the requests. */
import type { Graph } from '../graph.js';
import type { Slices } from '../slices.js';

/** Tombstones that are made in one go. */
const THAWED_AT_ONCE = 1_024;

/** Makes tombstones of all that was hidden while the graph was frozen. */
export async function thawInSlices(graph: Graph, slices: Slices): Promise<void> {
  while (!graph.thaw(THAWED_AT_ONCE)) await slices.pause();
}
