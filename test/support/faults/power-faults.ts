/** Machines that lose power: their processes die, and their disks forget what was not synced. */
import type { ProcessCluster } from '../process-cluster.js';
import {
  apart,
  disturbed,
  type FaultKind,
  type FaultScene,
  others,
  pick,
  someLeader,
  startAgain,
} from './fault-scene.js';

const canForget = (cluster: ProcessCluster): boolean => cluster.canForget;

export const POWER_FAULTS: readonly FaultKind[] = [
  {
    name: 'power-cut',
    what: 'SIGKILL of any process, and its disk loses what was not synced; started again',
    goesOnFrom: 'begin',
    isPossible: canForget,
    begin: async (scene) => {
      const nodeId = pick(scene, scene.cluster.nodeIds);
      const detail = await powerCut(scene, [nodeId]);
      return { detail, cure: () => startAgain(scene, [nodeId]) };
    },
  },
  {
    name: 'power-cut-all',
    what: 'SIGKILL of all processes at once, and all disks lose what was not synced; started again',
    goesOnFrom: 'cure',
    isPossible: canForget,
    begin: async (scene) => {
      const { nodeIds } = scene.cluster;
      const detail = await powerCut(scene, nodeIds);
      return { detail, cure: () => startAgain(scene, nodeIds) };
    },
  },
  {
    name: 'shorter-log-votes',
    what: 'a node loses power and what was not synced, and is back when the leader is cut off',
    goesOnFrom: 'begin',
    isPossible: (cluster) => canForget(cluster) && cluster.network.abilities.has('isCut'),
    begin: async (scene) => {
      const { cluster } = scene;
      const leader = await someLeader(scene);
      const voter = pick(scene, others(scene, [leader]));
      const lost = await powerCut(scene, [voter]);
      const cut = disturbed(scene, apart([leader], others(scene, [leader])), `leader ${leader}`);
      cluster.startNode(voter);
      const cure = async (): Promise<void> => {
        await cut.cure();
        await cluster.ready();
      };
      return { detail: `${lost}, ${cut.detail}`, cure };
    },
  },
];

/** The processes die at once; resolves with who lost how much. */
async function powerCut(
  { cluster, random }: FaultScene,
  nodeIds: readonly number[],
): Promise<string> {
  await Promise.all(nodeIds.map((nodeId) => cluster.kill(nodeId)));
  const lost = nodeIds.map((nodeId) => {
    const { files, sizeBytes } = cluster.forget(nodeId, random);
    return `node ${nodeId} loses ${sizeBytes} bytes of ${files} files`;
  });
  return lost.join(', ');
}
