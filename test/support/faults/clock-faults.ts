/** Wall clocks that jump, as those of machines whose time is set by hand or by a wrong server. */
import { defined } from '../../../src/shared/assert.js';
import { type FaultKind, type FaultScene, type OpenFault, someLeader } from './fault-scene.js';

const JUMP_SECONDS = 60;

export const CLOCK_FAULTS: readonly FaultKind[] = [
  {
    name: 'clock-ahead',
    what: 'the wall clock of a leader jumps a minute ahead, and back again',
    goesOnFrom: 'begin',
    isPossible: ({ clocks }) => clocks?.canJump === true,
    begin: (scene) => jumped(scene, JUMP_SECONDS),
  },
  {
    name: 'clock-behind',
    what: 'the wall clock of a leader jumps a minute back, and ahead again',
    goesOnFrom: 'begin',
    isPossible: ({ clocks }) => clocks?.canJump === true,
    begin: (scene) => jumped(scene, -JUMP_SECONDS),
  },
];

async function jumped(scene: FaultScene, bySeconds: number): Promise<OpenFault> {
  const clocks = defined(scene.cluster.clocks, 'clocks that can jump');
  const nodeId = await someLeader(scene);
  clocks.jump(nodeId, bySeconds);
  return { detail: `node ${nodeId}`, cure: async () => clocks.jump(nodeId, 0) };
}
