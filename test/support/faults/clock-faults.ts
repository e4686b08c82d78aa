/** Wall clocks that jump, as those of machines whose time is set by hand or by a wrong server. */
import type { ProcessCluster } from '../process-cluster.js';
import {
  apart,
  disturbed,
  type FaultKind,
  type FaultScene,
  type OpenFault,
  others,
  someLeader,
} from './fault-scene.js';

const JUMP_SECONDS = 60;

const canJump = ({ clocks }: ProcessCluster): boolean => clocks?.canJump === true;
const canCutAndJump = (cluster: ProcessCluster): boolean =>
  canJump(cluster) && cluster.network.abilities.has('isCut');

/** The last two are what would make a lease by the wall clock lie. */
export const CLOCK_FAULTS: readonly FaultKind[] = [
  {
    name: 'clock-ahead',
    what: 'the wall clock of a leader jumps a minute ahead, and back again',
    goesOnFrom: 'begin',
    isPossible: canJump,
    begin: async (scene) => jumped(scene, [await someLeader(scene)], JUMP_SECONDS),
  },
  {
    name: 'clock-behind',
    what: 'the wall clock of a leader jumps a minute back, and ahead again',
    goesOnFrom: 'begin',
    isPossible: canJump,
    begin: async (scene) => jumped(scene, [await someLeader(scene)], -JUMP_SECONDS),
  },
  {
    name: 'cut-off-behind',
    what: 'the wall clock of a leader jumps a minute back, and it is cut off',
    goesOnFrom: 'begin',
    isPossible: canCutAndJump,
    begin: async (scene) => {
      const leader = await someLeader(scene);
      return cutOff(scene, leader, jumped(scene, [leader], -JUMP_SECONDS));
    },
  },
  {
    name: 'cut-off-others-ahead',
    what: 'all wall clocks but that of a leader jump a minute ahead, and it is cut off',
    goesOnFrom: 'begin',
    isPossible: canCutAndJump,
    begin: async (scene) => {
      const leader = await someLeader(scene);
      return cutOff(scene, leader, jumped(scene, others(scene, [leader]), JUMP_SECONDS));
    },
  },
];

function jumped(
  { cluster: { clocks } }: FaultScene,
  nodeIds: readonly number[],
  bySeconds: number,
): OpenFault {
  for (const nodeId of nodeIds) clocks?.jump(nodeId, bySeconds);
  const cure = async (): Promise<void> => {
    for (const nodeId of nodeIds) clocks?.jump(nodeId, 0);
  };
  return { detail: `clocks of nodes ${nodeIds}`, cure };
}

function cutOff(scene: FaultScene, leader: number, jump: OpenFault): OpenFault {
  const cut = disturbed(scene, apart([leader], others(scene, [leader])), `leader ${leader}`);
  const cure = async (): Promise<void> => {
    await jump.cure();
    await cut.cure();
  };
  return { detail: `${jump.detail}, ${cut.detail}`, cure };
}
