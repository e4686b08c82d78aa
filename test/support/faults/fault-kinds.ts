/** The faults that a nemesis can cause, each with its cure. */
import { defined } from '../../../src/shared/assert.js';
import type { ProcessCluster } from '../process-cluster.js';
import { waitUntil } from '../wait-until.js';
import {
  apart,
  disturbed,
  type FaultKind,
  type FaultScene,
  type OpenFault,
  others,
  type Path,
  pick,
  shuffle,
  someLeader,
  startAgain,
} from './fault-scene.js';
import type { SmallDisk } from './small-disk.js';

/** Below the low-water mark of a log store, and above what its reserve is given up for. */
const LOW_DISK_SHARE = 0.05;

const always = (): boolean => true;
const hasSmallDisk = ({ smallDisk }: ProcessCluster): boolean => smallDisk !== undefined;
const canCut = ({ network }: ProcessCluster): boolean => network.abilities.has('isCut');

export const FAULT_KINDS: readonly FaultKind[] = [
  {
    name: 'kill-leader',
    what: 'SIGKILL of the process that leads a shard; started again',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => killed(scene, [await someLeader(scene)]),
  },
  {
    name: 'kill-node',
    what: 'SIGKILL of any process; started again',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => killed(scene, [pick(scene, scene.cluster.nodeIds)]),
  },
  {
    name: 'kill-all',
    what: 'SIGKILL of all processes at once; started again',
    goesOnFrom: 'cure',
    isPossible: always,
    begin: async (scene) => killed(scene, scene.cluster.nodeIds),
  },
  {
    name: 'stop-leader',
    what: 'SIGTERM of the process that leads a shard: an orderly stop; started again',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => {
      const nodeId = await someLeader(scene);
      await scene.cluster.terminate(nodeId);
      return { detail: `node ${nodeId}`, cure: () => startAgain(scene, [nodeId]) };
    },
  },
  {
    name: 'rolling-restart',
    what: 'SIGTERM of each process in turn, the next one when the last is back and level',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => {
      for (const nodeId of scene.cluster.nodeIds) {
        await scene.cluster.terminate(nodeId);
        await startAgain(scene, [nodeId]);
        await scene.view.level();
      }
      return { detail: `nodes ${scene.cluster.nodeIds}`, cure: async () => undefined };
    },
  },
  {
    name: 'pause-leader',
    what: 'SIGSTOP of the process that leads a shard; SIGCONT',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => {
      const nodeId = await someLeader(scene);
      scene.cluster.pause(nodeId);
      return {
        detail: `node ${nodeId}`,
        cure: async () => scene.cluster.resume(nodeId),
      };
    },
  },
  {
    name: 'wipe-node',
    what: 'a node loses its process and its directory, and is taken in again under the same id',
    goesOnFrom: 'begin',
    isPossible: always,
    begin: async (scene) => {
      const { cluster, view } = scene;
      const nodeId = pick(scene, cluster.nodeIds);
      await cluster.kill(nodeId);
      cluster.wipe(nodeId);
      const cure = async (): Promise<void> => {
        cluster.startNode(nodeId);
        // Refused until the others have heard from the node as it is now.
        await waitUntil(`node ${nodeId} is taken in again`, async () => {
          await view.client.readmitNode(nodeId);
          return true;
        });
        await cluster.ready();
      };
      return { detail: `node ${nodeId}`, cure };
    },
  },
  {
    name: 'low-disk',
    what: 'a node has hardly any space left, and gets it back',
    goesOnFrom: 'begin',
    isPossible: hasSmallDisk,
    begin: async ({ cluster }) => {
      const disk = smallDiskOf(cluster);
      disk.fill(disk.shareBytes(LOW_DISK_SHARE));
      return { detail: `node ${disk.nodeId}`, cure: async () => disk.free() };
    },
  },
  {
    name: 'full-disk',
    what: 'the disk of a node is full to the last byte; space is made, the node started again',
    goesOnFrom: 'begin',
    isPossible: hasSmallDisk,
    begin: async (scene) => {
      const { cluster } = scene;
      const disk = smallDiskOf(cluster);
      disk.fill(0);
      const cure = async (): Promise<void> => {
        disk.free();
        await cluster.terminate(disk.nodeId);
        await startAgain(scene, [disk.nodeId]);
      };
      return { detail: `node ${disk.nodeId}`, cure };
    },
  },
  {
    name: 'isolate-leader',
    what: 'a leader is cut off from all other nodes, not from clients',
    goesOnFrom: 'begin',
    isPossible: canCut,
    begin: async (scene) => {
      const nodeId = await someLeader(scene);
      return disturbed(scene, apart([nodeId], others(scene, [nodeId])), `node ${nodeId}`);
    },
  },
  {
    name: 'isolate-node',
    what: 'any one node is cut off from all other nodes, not from clients',
    goesOnFrom: 'begin',
    isPossible: canCut,
    begin: async (scene) => {
      const nodeId = pick(scene, scene.cluster.nodeIds);
      return disturbed(scene, apart([nodeId], others(scene, [nodeId])), `node ${nodeId}`);
    },
  },
  {
    name: 'halves',
    what: 'the nodes fall into a majority and a minority',
    goesOnFrom: 'begin',
    isPossible: (cluster) => canCut(cluster) && cluster.nodeIds.length > 3,
    begin: async (scene) => {
      const shuffled = shuffle(scene, scene.cluster.nodeIds);
      const minority = shuffled.slice(0, Math.ceil(shuffled.length / 2) - 1);
      return disturbed(scene, apart(minority, others(scene, minority)), `nodes ${minority}`);
    },
  },
  {
    name: 'bridge',
    what: 'two parts do not see one another; one node sees both',
    goesOnFrom: 'begin',
    isPossible: canCut,
    begin: async (scene) => {
      const [bridge, ...rest] = shuffle(scene, scene.cluster.nodeIds);
      const half = rest.slice(0, rest.length / 2);
      const paths = apart(half, others(scene, [bridge as number, ...half]));
      return disturbed(scene, paths, `node ${bridge} sees all, nodes ${half} a part`);
    },
  },
  {
    name: 'ring',
    what: 'every node sees only its two neighbours on a ring',
    goesOnFrom: 'begin',
    isPossible: (cluster) => canCut(cluster) && cluster.nodeIds.length > 4,
    begin: async (scene) => {
      const ring = shuffle(scene, scene.cluster.nodeIds);
      const paths = ring.flatMap((from, at) =>
        ring
          .filter(
            (_, to) => ![0, 1, ring.length - 1].includes((to - at + ring.length) % ring.length),
          )
          .map((to): Path => [from, to]),
      );
      return disturbed(scene, paths, `ring ${ring}`);
    },
  },
  {
    name: 'deaf-leader',
    what: 'a leader can send to the other nodes and receives nothing from them',
    goesOnFrom: 'begin',
    isPossible: canCut,
    begin: (scene) => cutOneWay(scene, (leader, other) => [other, leader]),
  },
  {
    name: 'mute-leader',
    what: 'a leader receives from the other nodes and nothing of what it sends arrives',
    goesOnFrom: 'begin',
    isPossible: canCut,
    begin: (scene) => cutOneWay(scene, (leader, other) => [leader, other]),
  },
  {
    name: 'loss',
    what: '20 % to 50 % of the packets between nodes are lost',
    goesOnFrom: 'begin',
    isPossible: ({ network }) => network.abilities.has('lossShare'),
    begin: async (scene) => {
      const lossShare = 0.2 + 0.3 * scene.random();
      const detail = `${Math.round(100 * lossShare)} %`;
      return disturbed(scene, allPaths(scene), detail, { lossShare });
    },
  },
  {
    name: 'delay',
    what: 'each way between nodes takes 25 ms to 125 ms longer',
    goesOnFrom: 'begin',
    isPossible: ({ network }) => network.abilities.has('delayMs'),
    begin: async (scene) =>
      disturbed(scene, allPaths(scene), '75 +- 50 ms', { delayMs: 25, jitterMs: 100 }),
  },
];

/** Cuts one direction between a leader and each of the other nodes. */
async function cutOneWay(
  scene: FaultScene,
  pathOf: (leader: number, other: number) => Path,
): Promise<OpenFault> {
  const leader = await someLeader(scene);
  const paths = others(scene, [leader]).map((other) => pathOf(leader, other));
  return disturbed(scene, paths, `node ${leader}`);
}

async function killed(scene: FaultScene, nodeIds: readonly number[]): Promise<OpenFault> {
  await Promise.all(nodeIds.map((nodeId) => scene.cluster.kill(nodeId)));
  return { detail: `nodes ${nodeIds}`, cure: () => startAgain(scene, nodeIds) };
}

function smallDiskOf({ smallDisk }: ProcessCluster): SmallDisk {
  return defined(smallDisk, 'small disk of a node');
}

function allPaths({ cluster }: FaultScene): Path[] {
  return cluster.nodeIds.flatMap((a) =>
    cluster.nodeIds.filter((b) => b !== a).map((b): Path => [a, b]),
  );
}
