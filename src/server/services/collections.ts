/** The public Collections service over the cluster's administration. */
import { API } from '../../shared/codec/public-api.js';
import { checkCollectionName } from '../../shared/collection-settings.js';
import type { ClusterAdmin } from '../backend.js';
import type { UnaryCalls } from '../unary-calls.js';
import { checkCollectionConfig } from '../validate.js';

/** Handlers by the method names of the .proto file. */
export function collectionsService(
  calls: UnaryCalls,
  admin: ClusterAdmin,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  return {
    CreateCollection: calls.endpoint(API.createCollection, async (request, options) =>
      admin.createCollection(checkCollectionConfig(request), options),
    ),

    DescribeCollection: calls.endpoint(API.describeCollection, async (name, options) => {
      checkCollectionName(name, 'name');
      return admin.describeCollection(name, options);
    }),

    ListCollections: calls.endpoint(API.listCollections, async (_request, options) =>
      admin.listCollections(options),
    ),

    DropCollection: calls.endpoint(API.dropCollection, async (name, options) => {
      checkCollectionName(name, 'name');
      await admin.dropCollection(name, options);
    }),
  };
}
