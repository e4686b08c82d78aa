/** The work of an engine in a few numbers, over all of its collections. */
import type { EngineStats, GraphWork } from '../engine/engine.js';
import type { EngineState } from '../shared/codec/engine-state.js';

export function engineStateOf({ collections }: Pick<EngineStats, 'collections'>): EngineState {
  const sum = (key: 'headRows' | 'graphPoints' | 'tombstones'): number =>
    collections.reduce((total, collection) => total + collection[key], 0);
  const count = (work: GraphWork): number =>
    collections.filter(({ graphWork }) => graphWork === work).length;
  return {
    headRows: sum('headRows'),
    graphPoints: sum('graphPoints'),
    graphTombstones: sum('tombstones'),
    renewing: collections.some(({ isRenewing }) => isRenewing),
    graphsLoading: count('loading'),
    graphsRebuilding: count('rebuilding'),
  };
}
