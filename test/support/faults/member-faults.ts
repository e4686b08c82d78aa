/** Changes of members as faults: they are wanted, and yet must harm no more than the others. */
import { defined } from '../../../src/shared/assert.js';
import type { ShardStatus } from '../../../src/shared/codec/admin-messages.js';
import { waitUntil } from '../wait-until.js';
import { type FaultKind, type FaultScene, shuffle } from './fault-scene.js';

/** A new replica has to be filled, under load. */
const CHANGE_LIMIT_MS = 180_000;

/** Needs a node that holds no replica of some shard. */
export const MOVE_LEADER: FaultKind = {
  name: 'move-leader',
  what: 'a shard gets a replica on another node, and loses the one that leads it',
  goesOnFrom: 'begin',
  isPossible: ({ nodeIds }) => nodeIds.length > 3,
  begin: async (scene) => {
    const { shards } = await scene.view.status();
    const shardId = Math.floor(scene.random() * shards.length);
    const leaver = await scene.view.leaderOf(shardId);
    const holders = nodesOf(defined(shards[shardId], `shard ${shardId}`));
    const newcomer = defined(
      scene.cluster.nodeIds.find((nodeId) => !holders.includes(nodeId)),
      `node without shard ${shardId}`,
    );
    await added(scene, shardId, newcomer);
    await removed(scene, shardId, leaver);
    const detail = `shard ${shardId} from node ${leaver} to node ${newcomer}`;
    return { detail, cure: async () => undefined };
  },
};

/** Needs at least two nodes that hold no replica of a shard. */
export const GROW_VOTERS: FaultKind = {
  name: 'grow-voters',
  what: 'a shard gets replicas on all nodes, then loses as many others, its leader among them',
  goesOnFrom: 'begin',
  isPossible: ({ nodeIds }) => nodeIds.length > 4,
  begin: async (scene) => {
    const { shards } = await scene.view.status();
    const shardId = Math.floor(scene.random() * shards.length);
    const holders = nodesOf(defined(shards[shardId], `shard ${shardId}`));
    const newcomers = scene.cluster.nodeIds.filter((nodeId) => !holders.includes(nodeId));
    for (const newcomer of newcomers) await added(scene, shardId, newcomer);
    const cure = async (): Promise<void> => {
      const leader = await scene.view.leaderOf(shardId);
      const others = shuffle(
        scene,
        holders.filter((nodeId) => nodeId !== leader),
      );
      const leavers = [leader, ...others].slice(0, newcomers.length);
      for (const leaver of leavers) await removed(scene, shardId, leaver);
    };
    return { detail: `shard ${shardId} to nodes ${newcomers}`, cure };
  },
};

function added(scene: FaultScene, shardId: number, nodeId: number): Promise<void> {
  return changed(
    scene,
    shardId,
    () => scene.view.client.addReplica({ shardId, nodeId }),
    (shard) => nodesOf(shard).includes(nodeId),
  );
}

function removed(scene: FaultScene, shardId: number, nodeId: number): Promise<void> {
  return changed(
    scene,
    shardId,
    () => scene.view.client.removeReplica({ shardId, nodeId }),
    (shard) => !nodesOf(shard).includes(nodeId),
  );
}

function nodesOf({ replicas }: ShardStatus): number[] {
  return replicas.map(({ nodeId }) => nodeId);
}

/** Asks for the change until it is seen to be over; an answer may get lost. */
async function changed(
  { view }: FaultScene,
  shardId: number,
  ask: () => Promise<unknown>,
  isDone: (shard: ShardStatus) => boolean,
): Promise<void> {
  const step = async (): Promise<boolean> => {
    const { shards } = await view.status();
    const shard = defined(shards[shardId], `shard ${shardId}`);
    if (shard.change !== undefined) return false;
    if (isDone(shard)) return true;
    await ask();
    return false;
  };
  await waitUntil(`the change of shard ${shardId} is over`, step, CHANGE_LIMIT_MS);
}
