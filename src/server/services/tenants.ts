/** The public Tenants service over the cluster's administration. */
import { invalidField } from '../../shared/checks.js';
import { API } from '../../shared/codec/public-api.js';
import { checkCollectionName } from '../../shared/collection-settings.js';
import type { TenantAction, TenantAdmin } from '../backend.js';
import type { UnaryCalls } from '../unary-calls.js';
import { checkTenantChange, checkTenantPage } from '../validate-tenants.js';

/** Handlers by the method names of the .proto file. */
export function tenantsService(
  calls: UnaryCalls,
  admin: TenantAdmin,
): Record<string, ReturnType<UnaryCalls['endpoint']>> {
  const change = (method: typeof API.assignTenant, kind: TenantAction['kind']) =>
    calls.endpoint(method, async (request, options) => {
      const { action, by } = checkTenantChange(kind, request);
      return admin.changeTenants(action, by, options);
    });
  return {
    AssignTenant: change(API.assignTenant, 'assignTenant'),
    ReleaseTenant: change(API.releaseTenant, 'releaseTenant'),
    DedicateShard: change(API.dedicateShard, 'dedicateShard'),
    ShareShard: change(API.shareShard, 'shareShard'),
    CancelTenantChange: calls.endpoint(API.cancelTenantChange, async (changeId, options) => {
      if (changeId === 0) throw invalidField('changeId', 'is missing');
      return admin.cancelTenantChange(changeId, options);
    }),
    DescribeTenants: calls.endpoint(API.describeTenants, async (request, options) =>
      admin.describeTenants(request, options),
    ),
    CountTenants: calls.endpoint(API.countTenants, async (request, options) => {
      checkCollectionName(request.collection, 'collection');
      return admin.countTenants(request.collection, checkTenantPage(request), options);
    }),
  };
}
