/** The public Cluster service. */
import { API } from '../../shared/codec/public-api.js';
import type { ClusterAdmin } from '../backend.js';
import type { UnaryCalls } from '../unary-calls.js';

/** Handlers by the method names of the .proto file. */
export function clusterService(
  calls: UnaryCalls,
  admin: ClusterAdmin,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  return {
    GetStatus: calls.endpoint(API.getStatus, async (_request, options) => admin.status(options)),
  };
}
