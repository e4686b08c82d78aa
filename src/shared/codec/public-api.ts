/**
 * Every method of the public API: its path and the codecs of its two messages. The server
 * registers exactly these; the client calls exactly these. A test holds the table against the
 * .proto files.
 */
import * as admin from './admin-messages.js';
import * as records from './api-messages.js';
import * as explain from './explain-messages.js';
import * as replicas from './replica-messages.js';
import * as routes from './routes-messages.js';
import * as scroll from './scroll-messages.js';
import * as search from './search-messages.js';
import * as tenants from './tenant-messages.js';
import * as verify from './verify-messages.js';

export interface ApiMethod<Request, Response> {
  readonly path: string;
  readonly encodeRequest: (request: Request) => Buffer;
  readonly decodeRequest: (bytes: Uint8Array) => Request;
  readonly encodeResponse: (response: Response) => Buffer;
  readonly decodeResponse: (bytes: Uint8Array) => Response;
}

/** Full names of the services, as health and reflection name them. */
export const SERVICES = {
  collections: 'flotilla.v1.Collections',
  records: 'flotilla.v1.Records',
  cluster: 'flotilla.v1.Cluster',
  tenants: 'flotilla.v1.Tenants',
} as const;

/**
 * Header of a call whose caller sends it again by itself: retries happen in one place, so the
 * cluster leaves to the caller what it would repeat after an unknown outcome (of a write with an
 * idempotency key), and tells it soon where another node has to be asked.
 */
export const RETRIES_HEADER = { name: 'flotilla-retries', value: 'client' } as const;

/**
 * Header with the id of the cluster that a call is meant for. A node of another cluster refuses the
 * call with WRONG_CLUSTER and this field; one of an earlier version does not look at it.
 */
export const CLUSTER_HEADER = 'flotilla-cluster';

const method = <Request, Response>(
  service: keyof typeof SERVICES,
  name: string,
  encodeRequest: (request: Request) => Buffer,
  decodeRequest: (bytes: Uint8Array) => Request,
  encodeResponse: (response: Response) => Buffer,
  decodeResponse: (bytes: Uint8Array) => Response,
): ApiMethod<Request, Response> => ({
  path: `/${SERVICES[service]}/${name}`,
  encodeRequest,
  decodeRequest,
  encodeResponse,
  decodeResponse,
});

const replicaMethod = (name: string): ApiMethod<replicas.GroupRequest, replicas.ReplicaResponse> =>
  method(
    'cluster',
    name,
    replicas.encodeGroupRequest,
    replicas.decodeGroupRequest,
    replicas.encodeReplicaResponse,
    replicas.decodeReplicaResponse,
  );

const tenantMethod = (
  name: string,
): ApiMethod<tenants.TenantChangeRequest, tenants.TenantChangeResponse> =>
  method(
    'tenants',
    name,
    tenants.encodeTenantChangeRequest,
    tenants.decodeTenantChangeRequest,
    tenants.encodeTenantChangeResponse,
    tenants.decodeTenantChangeResponse,
  );

const leaderMethod = (name: string): ApiMethod<replicas.GroupRequest, replicas.LeaderResponse> =>
  method(
    'cluster',
    name,
    replicas.encodeGroupRequest,
    replicas.decodeGroupRequest,
    replicas.encodeLeaderResponse,
    replicas.decodeLeaderResponse,
  );

export const API = {
  createCollection: method(
    'collections',
    'CreateCollection',
    admin.encodeCreateCollectionRequest,
    admin.decodeCreateCollectionRequest,
    admin.encodeCollectionResponse,
    admin.decodeCollectionResponse,
  ),
  describeCollection: method(
    'collections',
    'DescribeCollection',
    admin.encodeNameRequest,
    admin.decodeNameRequest,
    admin.encodeCollectionResponse,
    admin.decodeCollectionResponse,
  ),
  listCollections: method(
    'collections',
    'ListCollections',
    admin.encodeEmpty,
    admin.decodeEmpty,
    admin.encodeCollectionsResponse,
    admin.decodeCollectionsResponse,
  ),
  dropCollection: method(
    'collections',
    'DropCollection',
    admin.encodeNameRequest,
    admin.decodeNameRequest,
    admin.encodeEmpty,
    admin.decodeEmpty,
  ),
  upsert: method(
    'records',
    'Upsert',
    records.encodeUpsertRequest,
    records.decodeUpsertRequest,
    records.encodeWriteResponse,
    records.decodeWriteResponse,
  ),
  patch: method(
    'records',
    'Patch',
    records.encodePatchRequest,
    records.decodePatchRequest,
    records.encodeWriteResponse,
    records.decodeWriteResponse,
  ),
  delete: method(
    'records',
    'Delete',
    records.encodeDeleteRequest,
    records.decodeDeleteRequest,
    records.encodeWriteResponse,
    records.decodeWriteResponse,
  ),
  fetch: method(
    'records',
    'Fetch',
    records.encodeFetchRequest,
    records.decodeFetchRequest,
    records.encodeFetchResponse,
    records.decodeFetchResponse,
  ),
  search: method(
    'records',
    'Search',
    search.encodeSearchRequest,
    search.decodeSearchRequest,
    search.encodeSearchResponse,
    search.decodeSearchResponse,
  ),
  searchBatch: method(
    'records',
    'SearchBatch',
    search.encodeSearchBatchRequest,
    search.decodeSearchBatchRequest,
    search.encodeSearchBatchResponse,
    search.decodeSearchBatchResponse,
  ),
  count: method(
    'records',
    'Count',
    scroll.encodeCountRequest,
    scroll.decodeCountRequest,
    scroll.encodeCountResponse,
    scroll.decodeCountResponse,
  ),
  scroll: method(
    'records',
    'Scroll',
    scroll.encodeScrollRequest,
    scroll.decodeScrollRequest,
    scroll.encodeScrollResponse,
    scroll.decodeScrollResponse,
  ),
  deleteByFilter: method(
    'records',
    'DeleteByFilter',
    scroll.encodeDeleteByFilterRequest,
    scroll.decodeDeleteByFilterRequest,
    scroll.encodeDeleteByFilterResponse,
    scroll.decodeDeleteByFilterResponse,
  ),
  explain: method(
    'records',
    'Explain',
    search.encodeSearchRequest,
    search.decodeSearchRequest,
    explain.encodeExplainResponse,
    explain.decodeExplainResponse,
  ),
  getStatus: method(
    'cluster',
    'GetStatus',
    admin.encodeEmpty,
    admin.decodeEmpty,
    admin.encodeStatusResponse,
    admin.decodeStatusResponse,
  ),
  getRoutes: method(
    'cluster',
    'GetRoutes',
    routes.encodeRoutesRequest,
    routes.decodeRoutesRequest,
    routes.encodeRoutes,
    routes.decodeRoutes,
  ),
  verify: method(
    'cluster',
    'Verify',
    verify.encodeVerifyRequest,
    verify.decodeVerifyRequest,
    verify.encodeVerifyResponse,
    verify.decodeVerifyResponse,
  ),
  addReplica: replicaMethod('AddReplica'),
  removeReplica: replicaMethod('RemoveReplica'),
  resetReplica: replicaMethod('ResetReplica'),
  cancelReplicaChange: replicaMethod('CancelReplicaChange'),
  transferLeadership: leaderMethod('TransferLeadership'),
  stepDown: leaderMethod('StepDown'),
  elect: leaderMethod('Elect'),
  assignTenant: tenantMethod('AssignTenant'),
  releaseTenant: tenantMethod('ReleaseTenant'),
  dedicateShard: tenantMethod('DedicateShard'),
  shareShard: tenantMethod('ShareShard'),
  cancelTenantChange: method(
    'tenants',
    'CancelTenantChange',
    tenants.encodeTenantChangeId,
    tenants.decodeTenantChangeId,
    tenants.encodeTenantChangeResponse,
    tenants.decodeTenantChangeResponse,
  ),
  describeTenants: method(
    'tenants',
    'DescribeTenants',
    tenants.encodeDescribeTenantsRequest,
    tenants.decodeDescribeTenantsRequest,
    tenants.encodeTenantsDescription,
    tenants.decodeTenantsDescription,
  ),
  countTenants: method(
    'tenants',
    'CountTenants',
    tenants.encodeCountTenantsRequest,
    tenants.decodeCountTenantsRequest,
    tenants.encodeCountTenantsResponse,
    tenants.decodeCountTenantsResponse,
  ),
  readmitNode: method(
    'cluster',
    'ReadmitNode',
    replicas.encodeNodeId,
    replicas.decodeNodeId,
    replicas.encodeReadmitNodeResponse,
    replicas.decodeReadmitNodeResponse,
  ),
} as const;
