/** Changes of members as faults: they are wanted, and yet must harm no more than the others. */
import { defined } from '../../../src/shared/assert.js';
import type { ShardStatus } from '../../../src/shared/codec/admin-messages.js';
import { waitUntil } from '../wait-until.js';
import type { FaultKind, FaultScene } from './fault-kinds.js';

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
    const { client } = scene.view;
    await changed(
      scene,
      shardId,
      () => client.addReplica({ shardId, nodeId: newcomer }),
      (shard) => nodesOf(shard).includes(newcomer),
    );
    await changed(
      scene,
      shardId,
      () => client.removeReplica({ shardId, nodeId: leaver }),
      (shard) => !nodesOf(shard).includes(leaver),
    );
    const detail = `shard ${shardId} from node ${leaver} to node ${newcomer}`;
    return { detail, cure: async () => undefined };
  },
};

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
