/** Every fault that a nemesis can cause; which of them are possible depends on the cluster. */
import { defined } from '../../../src/shared/assert.js';
import { CLOCK_FAULTS } from './clock-faults.js';
import { FAULT_KINDS } from './fault-kinds.js';
import type { FaultKind } from './fault-scene.js';
import { GROW_VOTERS, MOVE_LEADER } from './member-faults.js';
import { POWER_FAULTS } from './power-faults.js';

export const ALL_FAULT_KINDS: readonly FaultKind[] = [
  ...FAULT_KINDS,
  ...POWER_FAULTS,
  ...CLOCK_FAULTS,
  MOVE_LEADER,
  GROW_VOTERS,
];

/** The kinds of these names, in their order. */
export function faultKinds(...names: readonly string[]): FaultKind[] {
  return names.map((name) =>
    defined(
      ALL_FAULT_KINDS.find((kind) => kind.name === name),
      `fault kind ${name}`,
    ),
  );
}
