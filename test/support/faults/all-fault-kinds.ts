/** Every fault that a nemesis can cause; which of them are possible depends on the cluster. */
import { FAULT_KINDS, type FaultKind } from './fault-kinds.js';
import { GROW_VOTERS, MOVE_LEADER } from './member-faults.js';

export const ALL_FAULT_KINDS: readonly FaultKind[] = [...FAULT_KINDS, MOVE_LEADER, GROW_VOTERS];
