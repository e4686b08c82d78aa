/** What a replica says of itself that leads alone, for tests of who asks. */
import type { ReplicaStatus } from '../../../src/replica/replica.js';

export const REPLICA_STATUS: ReplicaStatus = {
  groupId: 1,
  shardId: 0,
  replicaId: 1,
  nodeId: 1,
  role: 'StateLeader',
  term: 1,
  leaderNodeId: 1,
  commitIndex: 1,
  appliedIndex: 1,
  lastIndex: 1,
  leaderChanges: 1,
  followers: [],
  engine: undefined,
  fault: undefined,
};
