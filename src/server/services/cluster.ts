/** The public Cluster service over the cluster's administration. */
import { API } from '../../shared/codec/public-api.js';
import { checkCollectionName } from '../../shared/collection-settings.js';
import type { ClusterAdmin, LeaderAction, ReplicaAction } from '../backend.js';
import type { UnaryCalls } from '../unary-calls.js';
import { checkChangeId, checkGroup, checkNodeId } from '../validate.js';

/** Handlers by the method names of the .proto file. */
export function clusterService(
  calls: UnaryCalls,
  admin: ClusterAdmin,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  const replicas = (method: typeof API.addReplica, action: ReplicaAction) =>
    calls.endpoint(method, async (request, options) => {
      const group = checkGroup(request);
      checkNodeId(request.nodeId);
      return admin.changeReplicas(action, group, request.nodeId, options);
    });
  const leader = (method: typeof API.elect, action: LeaderAction) =>
    calls.endpoint(method, async (request, options) =>
      admin.changeLeader(action, checkGroup(request), request.nodeId, options),
    );
  return {
    GetStatus: calls.endpoint(API.getStatus, async (_request, options) => admin.status(options)),
    GetRoutes: calls.endpoint(API.getRoutes, async (request) => admin.routes(request)),
    Verify: calls.endpoint(API.verify, async ({ collection, deep }, options) => {
      if (collection === '') return admin.verify({ deep }, options);
      checkCollectionName(collection, 'collection');
      return admin.verify({ collection, deep }, options);
    }),
    AddReplica: replicas(API.addReplica, 'add'),
    RemoveReplica: replicas(API.removeReplica, 'remove'),
    ResetReplica: replicas(API.resetReplica, 'reset'),
    CancelReplicaChange: calls.endpoint(API.cancelReplicaChange, async (request, options) => {
      const group = checkGroup(request);
      checkChangeId(request.changeId);
      return admin.cancelReplicaChange(group, request.changeId, options);
    }),
    TransferLeadership: leader(API.transferLeadership, 'transfer'),
    StepDown: leader(API.stepDown, 'step-down'),
    Elect: leader(API.elect, 'elect'),
    ReadmitNode: calls.endpoint(API.readmitNode, async (nodeId, options) => {
      checkNodeId(nodeId);
      return admin.readmitNode(nodeId, options);
    }),
  };
}
