/** A group's state as plain data, for status pages and metrics. */
import type { RaftGroup } from './group.js';
import type { ReplicaStatus } from './replica.js';

export function groupStatusOf<Result>(
  group: RaftGroup<Result>,
  where: { readonly shardId: number; readonly nodeId: number },
): ReplicaStatus {
  const status = group.status();
  return {
    groupId: group.groupId,
    shardId: where.shardId,
    replicaId: group.replicaId,
    nodeId: where.nodeId,
    role: status.softState.role,
    term: status.hardState.term,
    leaderNodeId: group.leaderNodeId,
    commitIndex: status.hardState.commit,
    appliedIndex: group.appliedIndex,
    lastIndex: status.lastIndex,
    leaderChanges: status.leaderChanges,
    followers: status.progress
      .filter((progress) => progress.id !== group.replicaId)
      .map((progress) => {
        const snapshot = status.sending.get(progress.id);
        return {
          ...progress,
          nodeId: group.memberNodeId(progress.id),
          lagEntries: Math.max(0, status.lastIndex - progress.match),
          lagMs: status.lagMs.get(progress.id) ?? 0,
          ...(snapshot !== undefined && { snapshot }),
        };
      }),
    engine: undefined,
    fault: status.fault,
    ...(status.receiving !== undefined && { receiving: status.receiving }),
  };
}
