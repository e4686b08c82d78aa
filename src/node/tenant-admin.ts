/** What operators ask about tenants: who is where, how much, and to have that changed. */
import { tenancyFindings } from '../placement/tenant-limits.js';
import type { Router } from '../router/router.js';
import type { CallOptions, TenantAction, TenantPage } from '../server/backend.js';
import { assert, defined } from '../shared/assert.js';
import type {
  CountTenantsResponse,
  DescribeTenantsRequest,
  ShardTenancyMessage,
  TenantAuditMessage,
  TenantChangeMessage,
  TenantChangeResponse,
  TenantCountMessage,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
import type { Deadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { ShardEntry, TenantCommand, TopologyDocument } from '../topology/document.js';
import type { TenantAuditEntry } from '../topology/placements.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import { applyTopologyCommand } from '../topology/transitions.js';
import type { TopologyView } from '../topology/view.js';
import { isAboutCollections, NewestTopology } from './newest-topology.js';
import { whenSeen } from './when-seen.js';

export interface TenantAdminOptions {
  readonly router: Pick<Router, 'barrier' | 'countTenants'>;
  readonly view: TopologyView;
  /** Throws NODE_NOT_READY. */
  readonly topology: () => Pick<TopologyGroup, 'propose' | 'refresh'>;
  readonly environment: Environment;
}

const QUORUM_CHECK_TIMEOUT_MAX_MS = 2_000;

/** See `TenantAdmin` of the server's backend. */
export class DirectoryAdmin {
  readonly #options: TenantAdminOptions;
  readonly #newest: NewestTopology;

  constructor(options: TenantAdminOptions) {
    this.#options = options;
    this.#newest = new NewestTopology(options);
  }

  async change(
    action: TenantAction,
    by: string,
    options: CallOptions,
  ): Promise<TenantChangeResponse> {
    const atMs = this.#options.environment.clock.wallMs();
    const command = { kind: 'beginTenantChange', action, by, atMs } as const;
    await this.#assertQuorums(command, options);
    const changeId = await this.#propose(command, options);
    if (changeId === 0) return { changed: false, epoch: (await this.#fresh(options)).epoch };
    const { audit, epoch } = await this.#end(changeId, options);
    if (audit?.refused !== undefined) throw FlotillaError.fromBody(audit.refused);
    return { changed: true, epoch };
  }

  /** Does not wait until the fences are lifted: a shard that has one may be why it is given up. */
  async cancel(changeId: number, options: CallOptions): Promise<TenantChangeResponse> {
    const message = `Change ${changeId} of the tenant directory was given up`;
    const refused = { reason: 'TENANT_CHANGE_CANCELLED', message } as const;
    await this.#propose({ kind: 'decideTenantChange', changeId, refused }, options);
    const { placements, epoch } = await this.#fresh(options);
    const entry = placements?.audit.find((one) => one.changeId === changeId);
    if (entry?.refused !== undefined) return { changed: true, epoch };
    const which = `change ${changeId} of the tenant directory`;
    const why = entry === undefined ? `There is no ${which}` : `Too late: ${which} is decided`;
    throw new FlotillaError('CHANGE_NOT_FOUND', why, { field: 'changeId' });
  }

  /** With usage it reads all tenants of all collections that are routed by tenant. */
  async describe(
    { withoutUsage }: DescribeTenantsRequest,
    options: CallOptions,
  ): Promise<TenantsDescription> {
    const { placements, shards, collections } = await this.#fresh(options);
    const directory = placements?.entries.find(({ state }) => state.kind === 'tenants');
    const state = directory?.state.kind === 'tenants' ? directory.state : undefined;
    const names = collections
      .filter((one) => one.state === 'active' && one.config.routing === 'tenant')
      .map(({ config }) => config.name);
    const usage = withoutUsage ? [] : await this.#usage(shards, names, options);
    const { change, audit = [] } = placements ?? {};
    return {
      assignments: state?.table.assignments ?? [],
      dedicatedShards: state?.table.dedicatedShardIds ?? [],
      shards: usage,
      findings: state === undefined ? [] : tenancyFindings(state.limits, usage),
      audit: audit.map(auditMessage),
      ...(change !== undefined && { change: { ...changeMessage(change), stage: change.stage } }),
    };
  }

  count(collection: string, page: TenantPage, options: CallOptions): Promise<CountTenantsResponse> {
    const { router } = this.#options;
    return this.#newest.tried(options, () => router.countTenants(collection, page, options));
  }

  async #propose(command: TenantCommand, options: CallOptions): Promise<number> {
    const result = await this.#options.topology().propose(command, options);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    assert(result.kind === 'tenants', `${command.kind} is about tenants`);
    return result.changeId;
  }

  /** A change is not even begun while a shard that it is about has no quorum: it would not end. */
  async #assertQuorums(command: TenantCommand, { timeoutMs, signal }: CallOptions): Promise<void> {
    const { router, view } = this.#options;
    const document = view.current();
    if (document === undefined) return;
    const { document: planned, result } = applyTopologyCommand(document, command);
    if (result.kind !== 'tenants') return;
    const deadline = { timeoutMs: Math.min(timeoutMs / 2, QUORUM_CHECK_TIMEOUT_MAX_MS), signal };
    const steps = planned.placements?.change?.steps ?? [];
    await Promise.all(steps.map(({ shardId }) => router.barrier(shardId, deadline)));
  }

  /** What each shard holds; nothing where one of them does not answer in half of the time. */
  async #usage(
    shards: readonly ShardEntry[],
    collections: readonly string[],
    { timeoutMs, signal }: CallOptions,
  ): Promise<ShardTenancyMessage[]> {
    const { clock } = this.#options.environment;
    const endMs = clock.monotonicMs() + timeoutMs / 2;
    const holdings = new Map(
      shards.map(({ shardId }) => [shardId, { tenants: new Set<string>(), vectors: 0 }]),
    );
    try {
      for (const collection of collections) {
        const left = (): CallOptions => ({ timeoutMs: endMs - clock.monotonicMs(), signal });
        for await (const { tenant, shardId, records } of this.#tenantsOf(collection, left)) {
          const holding = defined(holdings.get(shardId), `shard ${shardId}`);
          holding.tenants.add(tenant);
          holding.vectors += records;
        }
      }
    } catch (error) {
      if (isFlotillaError(error) && error.code === 'UNAVAILABLE') return [];
      throw error;
    }
    return [...holdings].map(([shardId, { tenants, vectors }]) => {
      return { shardId, tenants: tenants.size, vectors };
    });
  }

  /** Page by page; none any more of a collection that is dropped meanwhile. */
  async *#tenantsOf(
    collection: string,
    left: () => CallOptions,
  ): AsyncGenerator<TenantCountMessage> {
    let after: string | undefined;
    do {
      const page = { limit: LIMITS.tenantsListMax.value, ...(after !== undefined && { after }) };
      let found: CountTenantsResponse;
      try {
        found = await this.#options.router.countTenants(collection, page, left());
      } catch (error) {
        if (isFlotillaError(error) && isAboutCollections(error)) return;
        throw error;
      }
      yield* found.counts;
      after = found.hasMore ? found.counts.at(-1)?.tenant : undefined;
    } while (after !== undefined);
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
    const what = 'changing the tenant directory';
    return whenSeen(this.#options, deadline, what, ({ placements, epoch }) => {
      const { change, nextChangeId = 0, audit = [] } = placements ?? {};
      if (nextChangeId <= changeId || change?.changeId === changeId) return undefined;
      return { audit: audit.find((entry) => entry.changeId === changeId), epoch };
    });
  }
}

function auditMessage(entry: TenantAuditEntry): TenantAuditMessage {
  const { fromShardId, refused } = entry;
  return { ...changeMessage(entry), fromShardId, refused: refused?.reason ?? '' };
}

/** What a change under way and one of the log have in common. */
type NotedChange = Pick<TenantAuditEntry, 'changeId' | 'action' | 'by' | 'atMs'>;

function changeMessage(change: NotedChange): Omit<TenantChangeMessage, 'stage'> {
  const { changeId, action, by, atMs } = change;
  return {
    changeId,
    action: action.kind,
    tenant: 'tenant' in action ? action.tenant : '',
    shardId: 'shardId' in action ? action.shardId : undefined,
    by,
    atMs,
  };
}
