/** What operators ask of the cluster: collections come and go, replicas too; how is everything. */
import type { Router } from '../router/router.js';
import type {
  CallOptions,
  ClusterAdmin,
  GroupName,
  LeaderAction,
  ReplicaAction,
  TenantAction,
  TenantPage,
} from '../server/backend.js';
import { assert, defined } from '../shared/assert.js';
import type { ClusterStatus, CollectionInfo } from '../shared/codec/admin-messages.js';
import type {
  LeaderResponse,
  ReadmitNodeResponse,
  ReplicaResponse,
} from '../shared/codec/replica-messages.js';
import type { Routes, RoutesRequest } from '../shared/codec/routes-messages.js';
import type {
  CountTenantsResponse,
  DescribeTenantsRequest,
  TenantChangeResponse,
  TenantsDescription,
} from '../shared/codec/tenant-messages.js';
import type { VerifyResponse } from '../shared/codec/verify-messages.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { CollectionConfig } from '../shared/types.js';
import type { CollectionEntry, TopologyCommand, TopologyDocument } from '../topology/document.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';
import { clusterRoutes } from './cluster-routes.js';
import type { ContentVerifier } from './content-verifier.js';
import type { GroupCalls } from './group-calls.js';
import { ReplicaAdmin } from './replica-admin.js';
import type { ReplicaDirectory } from './replica-directory.js';
import { DirectoryAdmin } from './tenant-admin.js';
import { whenSeen } from './when-seen.js';

export interface NodeAdminOptions {
  readonly nodeId: number;
  readonly router: Router;
  readonly view: TopologyView;
  readonly topology: () => TopologyGroup | undefined;
  readonly groups: GroupCalls;
  readonly directory: Pick<ReplicaDirectory, 'replicaOf'>;
  readonly status: (timeoutMs: number) => Promise<ClusterStatus>;
  readonly verifier: Pick<ContentVerifier, 'verify'>;
  readonly environment: Environment;
}

const QUORUM_CHECK_TIMEOUT_MS = 2_000;
const STATUS_TIMEOUT_MAX_MS = 2_000;

/** Of the time that is left. */
const COUNT_SHARE = 0.8;
/** How the count of records fails where shards do not answer. */
const UNKNOWN_COUNT: ReadonlySet<string> = new Set(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);

export class NodeAdmin implements ClusterAdmin {
  readonly #options: NodeAdminOptions;
  readonly #replicas: ReplicaAdmin;
  readonly #tenants: DirectoryAdmin;

  constructor(options: NodeAdminOptions) {
    const { view, groups, directory, environment } = options;
    this.#options = options;
    const topology = (): TopologyGroup => this.#topology();
    this.#replicas = new ReplicaAdmin({ view, topology, groups, directory, environment });
    this.#tenants = new DirectoryAdmin({ router: options.router, view, topology, environment });
  }

  async createCollection(config: CollectionConfig, options: CallOptions): Promise<CollectionInfo> {
    const endMs = this.#nowMs + options.timeoutMs;
    const { collections } = await this.#freshDocument(options);
    const isThere = collections.some(
      (one) => one.config.name === config.name && one.state === 'active',
    );
    // Nothing has to be finished for it: it is answered also while shards have no quorum.
    if (!isThere) await this.#assertQuorums(options);
    const started = await this.#change({ kind: 'beginCreateCollection', config }, options);
    const created = await whenSeen(
      this.#options,
      options,
      `creating collection ${config.name}`,
      (document) => {
        const entry = document.collections.find((one) => one.collectionId === started.collectionId);
        // Someone may have dropped it in the same breath.
        if (entry === undefined && document.nextCollectionId > started.collectionId) return started;
        return entry?.state === 'creating' ? undefined : entry;
      },
    );
    return { ...infoOf(created), recordCount: await this.#count(created, endMs, options) };
  }

  async dropCollection(name: string, options: CallOptions): Promise<void> {
    const { collectionId } = collectionNamed(name, await this.#freshDocument(options));
    await this.#assertQuorums(options);
    const command: TopologyCommand = { kind: 'beginDropCollection', collectionId };
    const result = await this.#topology().propose(command, options);
    // Gone already: by someone else, or by an attempt of this call whose answer was lost.
    if (result.kind === 'refused' && result.error.reason !== 'COLLECTION_NOT_FOUND') {
      throw FlotillaError.fromBody(result.error);
    }
    await whenSeen(this.#options, options, `dropping collection ${name}`, (document) => {
      const isLeft = document.collections.some((one) => one.collectionId === collectionId);
      return isLeft ? undefined : true;
    });
  }

  async listCollections(options: CallOptions): Promise<readonly CollectionInfo[]> {
    const { collections } = await this.#freshDocument(options);
    return collections.map(infoOf).sort((a, b) => (a.config.name < b.config.name ? -1 : 1));
  }

  async describeCollection(name: string, options: CallOptions): Promise<CollectionInfo> {
    const endMs = this.#nowMs + options.timeoutMs;
    const entry = collectionNamed(name, await this.#freshDocument(options));
    const recordCount = await this.#count(entry, endMs, options);
    return { ...infoOf(entry), recordCount };
  }

  async verify(
    { collection, deep }: { readonly collection?: string; readonly deep: boolean },
    options: CallOptions,
  ): Promise<VerifyResponse> {
    const collectionId =
      collection === undefined
        ? undefined
        : collectionNamed(collection, await this.#freshDocument(options)).collectionId;
    return { shards: await this.#options.verifier.verify({ collectionId, deep }, options) };
  }

  status(options: CallOptions): Promise<ClusterStatus> {
    return this.#options.status(Math.min(options.timeoutMs / 2, STATUS_TIMEOUT_MAX_MS));
  }

  clusterId(): string | undefined {
    return this.#options.view.current()?.clusterId;
  }

  routes(request: RoutesRequest): Routes {
    const { nodeId, router, view } = this.#options;
    const document = view.current();
    if (document === undefined) throw notJoined();
    const leaderOf = (shardId: number): number | undefined => router.leaderOf(shardId);
    return clusterRoutes({ document, nodeId, leaderOf }, request);
  }

  changeReplicas(
    action: ReplicaAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    return this.#replicas.changeReplicas(action, group, nodeId, options);
  }

  cancelReplicaChange(
    group: GroupName,
    changeId: number,
    options: CallOptions,
  ): Promise<ReplicaResponse> {
    return this.#replicas.cancelReplicaChange(group, changeId, options);
  }

  changeLeader(
    action: LeaderAction,
    group: GroupName,
    nodeId: number,
    options: CallOptions,
  ): Promise<LeaderResponse> {
    return this.#replicas.changeLeader(action, group, nodeId, options);
  }

  readmitNode(nodeId: number, options: CallOptions): Promise<ReadmitNodeResponse> {
    return this.#replicas.readmitNode(nodeId, options);
  }

  changeTenants(
    action: TenantAction,
    by: string,
    options: CallOptions,
  ): Promise<TenantChangeResponse> {
    return this.#tenants.change(action, by, options);
  }

  cancelTenantChange(changeId: number, options: CallOptions): Promise<TenantChangeResponse> {
    return this.#tenants.cancel(changeId, options);
  }

  describeTenants(
    request: DescribeTenantsRequest,
    options: CallOptions,
  ): Promise<TenantsDescription> {
    return this.#tenants.describe(request, options);
  }

  countTenants(
    collection: string,
    page: TenantPage,
    options: CallOptions,
  ): Promise<CountTenantsResponse> {
    return this.#tenants.count(collection, page, options);
  }

  get #nowMs(): number {
    return this.#options.environment.clock.monotonicMs();
  }

  /** Not known in a part of what is left is not known: the rest of the answer is worth more. */
  async #count(
    entry: CollectionEntry,
    endMs: number,
    { timeoutMs, signal }: CallOptions,
  ): Promise<number | undefined> {
    if (entry.state !== 'active') return undefined;
    try {
      const { count } = await this.#options.router.count(entry.config.name, {
        timeoutMs: Math.min(timeoutMs / 2, COUNT_SHARE * (endMs - this.#nowMs)),
        signal,
        allTenants: true,
      });
      return count;
    } catch (error) {
      const isUnknown = isFlotillaError(error) && UNKNOWN_COUNT.has(error.code);
      if (isUnknown && !signal?.aborted) return undefined;
      throw error;
    }
  }

  /** A change is not even begun while a shard has no quorum: it could not be finished. */
  async #assertQuorums({ timeoutMs, signal }: CallOptions): Promise<void> {
    const { router, view } = this.#options;
    const deadline = { timeoutMs: Math.min(timeoutMs / 2, QUORUM_CHECK_TIMEOUT_MS), signal };
    const shards = view.current()?.shards ?? [];
    await Promise.all(shards.map(({ shardId }) => router.barrier(shardId, deadline)));
  }

  async #change(command: TopologyCommand, options: CallOptions): Promise<CollectionEntry> {
    const result = await this.#topology().propose(command, options);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    assert(result.kind === 'ok', `${command.kind} is about a collection`);
    return result.collection;
  }

  async #freshDocument(options: CallOptions): Promise<TopologyDocument> {
    await this.#topology().refresh(options);
    return defined(this.#options.view.current(), 'the topology');
  }

  #topology(): TopologyGroup {
    const topology = this.#options.topology();
    if (topology !== undefined) return topology;
    throw notJoined();
  }
}

function notJoined(): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', 'This node has not joined a cluster yet');
}

function collectionNamed(name: string, document: TopologyDocument): CollectionEntry {
  const entry = document.collections.find(({ config }) => config.name === name);
  if (entry !== undefined) return entry;
  throw new FlotillaError('COLLECTION_NOT_FOUND', `There is no collection ${name}`, {
    field: 'name',
  });
}

function infoOf({ config, state }: CollectionEntry): CollectionInfo {
  return { config, state };
}
