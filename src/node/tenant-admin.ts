/** What operators ask about tenants: who is where, how much, and to have that changed. */
import { tenancyFindings } from '../placement/tenant-limits.js';
import type { Router } from '../router/router.js';
import type { CallOptions, TenantAction, TenantPage } from '../server/backend.js';
import { assert, defined } from '../shared/assert.js';
import type {
  CountTenantsResponse,
  ShardTenancyMessage,
  TenantAuditMessage,
  TenantChangeResponse,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
import { type Deadline, withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { TopologyDocument } from '../topology/document.js';
import type { TenantAuditEntry } from '../topology/placements.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';

export interface TenantAdminOptions {
  readonly router: Router;
  readonly view: TopologyView;
  /** Throws NODE_NOT_READY. */
  readonly topology: () => TopologyGroup;
  readonly environment: Environment;
}

/** See `TenantAdmin` of the server's backend. */
export class DirectoryAdmin {
  readonly #options: TenantAdminOptions;

  constructor(options: TenantAdminOptions) {
    this.#options = options;
  }

  async change(
    action: TenantAction,
    by: string,
    options: CallOptions,
  ): Promise<TenantChangeResponse> {
    const { topology, environment } = this.#options;
    const atMs = environment.clock.wallMs();
    const command = { kind: 'beginTenantChange', action, by, atMs } as const;
    const result = await topology().propose(command, options);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    assert(result.kind === 'tenants', `${command.kind} is about tenants`);
    const { changeId } = result;
    if (changeId === 0) return { changed: false, epoch: (await this.#fresh(options)).epoch };
    const { audit, epoch } = await this.#end(changeId, options);
    if (audit?.refused !== undefined) throw FlotillaError.fromBody(audit.refused);
    return { changed: true, epoch };
  }

  /** Reads all tenants of all collections that are routed by tenant. */
  async describe(options: CallOptions): Promise<TenantsDescription> {
    const document = await this.#fresh(options);
    const directory = document.placements?.entries.find(({ state }) => state.kind === 'tenants');
    const state = directory?.state.kind === 'tenants' ? directory.state : undefined;
    const names = document.collections
      .filter((one) => one.state === 'active' && one.config.routing === 'tenant')
      .map(({ config }) => config.name);
    const shards = await this.#usage(document, names, options);
    return {
      assignments: state?.table.assignments ?? [],
      dedicatedShards: state?.table.dedicatedShardIds ?? [],
      shards,
      findings: state === undefined ? [] : tenancyFindings(state.limits, shards),
      audit: (document.placements?.audit ?? []).map(auditMessage),
    };
  }

  async count(
    collection: string,
    page: TenantPage,
    options: CallOptions,
  ): Promise<CountTenantsResponse> {
    return this.#options.router.countTenants(collection, page, options);
  }

  async #usage(
    { shards }: TopologyDocument,
    collections: readonly string[],
    options: CallOptions,
  ): Promise<ShardTenancyMessage[]> {
    const tenants = new Map(shards.map(({ shardId }) => [shardId, new Set<string>()]));
    const vectors = new Map(shards.map(({ shardId }) => [shardId, 0]));
    for (const collection of collections) {
      let after: string | undefined;
      do {
        const page = { limit: LIMITS.tenantsListMax.value, ...(after !== undefined && { after }) };
        const { counts, hasMore } = await this.count(collection, page, options);
        for (const { tenant, shardId, records } of counts) {
          tenants.get(shardId)?.add(tenant);
          vectors.set(shardId, (vectors.get(shardId) ?? 0) + records);
        }
        after = hasMore ? counts.at(-1)?.tenant : undefined;
      } while (after !== undefined);
    }
    return shards.map(({ shardId }) => ({
      shardId,
      tenants: tenants.get(shardId)?.size ?? 0,
      vectors: vectors.get(shardId) ?? 0,
    }));
  }

  async #fresh(options: CallOptions): Promise<TopologyDocument> {
    await this.#options.topology().refresh(options);
    return defined(this.#options.view.current(), 'the topology');
  }

  /** Waits until the view of this node shows that the change is over. */
  #end(
    changeId: number,
    deadline: Deadline,
  ): Promise<{ readonly audit: TenantAuditEntry | undefined; readonly epoch: number }> {
    const { view, environment } = this.#options;
    let stop = (): void => undefined;
    const seen = new Promise<TopologyDocument>((resolve) => {
      const check = (document: TopologyDocument): void => {
        const { change, nextChangeId = 0 } = document.placements ?? {};
        if (nextChangeId > changeId && change?.changeId !== changeId) resolve(document);
      };
      stop = view.onChange(check);
      const now = view.current();
      if (now !== undefined) check(now);
    });
    return withDeadline(environment.scheduler, seen, deadline, 'changing the tenant directory')
      .then(({ placements, epoch }) => ({
        audit: placements?.audit.find((entry) => entry.changeId === changeId),
        epoch,
      }))
      .finally(() => stop());
  }
}

function auditMessage(entry: TenantAuditEntry): TenantAuditMessage {
  const { changeId, action, fromShardId, by, atMs, refused } = entry;
  return {
    changeId,
    action: action.kind,
    tenant: 'tenant' in action ? action.tenant : '',
    shardId: 'shardId' in action ? action.shardId : undefined,
    fromShardId,
    by,
    atMs,
    refused: refused?.reason ?? '',
  };
}
