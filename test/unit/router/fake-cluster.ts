/** Goal: shards that fail on demand. Method: replicas over a shared map, with scripted faults. */
import type {
  Explanation,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
} from '../../../src/engine/engine.js';
import { compileFilter } from '../../../src/engine/filter/compiled-filter.js';
import type {
  CallContext,
  ProposalAnswer,
  ReadAnswer,
  ReplicaStatus,
  ShardReplica,
  ShownState,
} from '../../../src/replica/replica.js';
import { compareHits } from '../../../src/router/merge.js';
import type { SearchHit } from '../../../src/router/requests.js';
import { Router, type RouterOptions } from '../../../src/router/router.js';
import { defined } from '../../../src/shared/assert.js';
import { floatsOf } from '../../../src/shared/bytes.js';
import {
  decodeCommand,
  type WriteCommand,
  type WriteOperation,
} from '../../../src/shared/codec/command.js';
import { decodeFilter } from '../../../src/shared/codec/filter-bytes.js';
import { isRelaxed } from '../../../src/shared/consistency.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import type { ErrorReason } from '../../../src/shared/error-codes.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { comparePositions } from '../../../src/shared/scroll-position.js';
import type { ErrorBody, WriteOutcome } from '../../../src/shared/types.js';
import type { TopologyDocument } from '../../../src/topology/document.js';
import { initialTopology } from '../../../src/topology/initial-topology.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import { VirtualEnvironment } from '../../support/virtual-environment.js';

type FakeRecord = SearchHit & { readonly values: Uint8Array; readonly metadata: Uint8Array };
type CommandAnswer = Extract<ProposalAnswer, { kind: 'applied' }>['result'];

/** What one replica does to the next calls of a kind; the last fault stays until `heal`. */
export type Fault =
  | 'none'
  /** Never answers. Proposals that reach a hanging leader are not carried out. */
  | 'hang'
  /** Carries the proposal out, then never answers. */
  | 'hang-after'
  /** Carries the proposal out, and answers that the outcome is unknown. */
  | 'lose-answer'
  /** Does nothing, and answers that the outcome is unknown. */
  | 'lose-proposal'
  /** Carries the first command out; the others are known to be lost. */
  | 'cut-off'
  | { readonly reject: ErrorReason; readonly leaderNodeId?: number };

export class FakeShard {
  readonly records = new Map<string, FakeRecord>();
  readonly results = new Map<string, WriteOutcome>();
  /** Entries in the log: each command that was carried out, a repeated one too. */
  readonly log: WriteCommand[] = [];
  leaderNodeId: number;
  ownershipVersion = 1;
  term = 1;
  nextVersion = 1n;
  /** Clients whose writes are refused as forgotten. */
  readonly forgotten = new Set<string>();
  readonly #shardId: number;

  constructor(shardId: number, leaderNodeId: number) {
    this.#shardId = shardId;
    this.leaderNodeId = leaderNodeId;
  }

  /** What callers get that have another table. */
  get stale(): FlotillaError {
    const shardId = String(this.#shardId);
    const details = { shardId, ownershipVersion: String(this.ownershipVersion) };
    return new FlotillaError('STALE_TOPOLOGY', 'another table', { details });
  }

  elect(nodeId: number): void {
    this.leaderNodeId = nodeId;
    this.term++;
  }

  apply(command: WriteCommand): CommandAnswer {
    if (command.ownershipVersion !== this.ownershipVersion) return refused(this.stale);
    if (this.forgotten.has(command.requestKey.clientId)) return refused(expired);
    this.log.push(command);
    const { clientId, sequence } = command.requestKey;
    const outcomes = command.operations.map((operation) => {
      const { ordinal, tenant, id } = operation;
      const key = `${clientId}/${sequence}/${ordinal}`;
      const known = this.results.get(key);
      if (known !== undefined) return { ordinal, outcome: known };
      const version = this.nextVersion++;
      const old = this.records.get(id);
      const outcome: WriteOutcome = isHeld(operation, old)
        ? { kind: 'applied', version, existed: old !== undefined }
        : { kind: 'not-applied', error: conflict };
      if (operation.kind === 'delete' && outcome.kind === 'applied') this.records.delete(id);
      else if (operation.kind === 'upsert' && outcome.kind === 'applied') {
        const [values, metadata] = [operation.values.slice(), operation.metadata.slice()];
        this.records.set(id, { tenant, id, version, values, metadata, distance: 0 });
      }
      this.results.set(key, outcome);
      return { ordinal, outcome };
    });
    return { kind: 'write', outcomes };
  }
}

/** What a replica shows that is behind. */
interface HeldState {
  readonly records: ReadonlyMap<string, FakeRecord>;
  readonly appliedIndex: number;
  readonly claimsAll: boolean;
}

/** One replica; counts its calls. */
export class FakeReplica implements ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  readonly #shard: FakeShard;
  readonly calls: string[] = [];
  readonly contexts: CallContext[] = [];
  /** Buffers of proposals, as they were handed over. */
  readonly buffers: Uint8Array[] = [];
  readonly scrolls: ScrollQuery[] = [];
  faults: Fault[] = [];
  /** Whether `status` hangs too: the whole node is stopped. */
  isStopped = false;
  /** What its answers say of their age, where they say it. */
  ageMs: (() => number) | undefined;
  #held: HeldState | undefined;
  /** How long the answer to the next call takes, that to a status left out. @default none */
  delayMs: (() => number) | undefined;
  readonly #scheduler: Scheduler;

  constructor(shardId: number, nodeId: number, shard: FakeShard, scheduler: Scheduler) {
    this.shardId = shardId;
    this.nodeId = nodeId;
    this.#shard = shard;
    this.#scheduler = scheduler;
  }

  /**
   * From now on relaxed reads see what is there now. With `claimsAll` answers say that the log was
   * applied up to its end: the index of an answer is an upper bound.
   */
  holdBack(claimsAll: boolean): void {
    const { records, log } = this.#shard;
    this.#held = { records: new Map(records), appliedIndex: log.length, claimsAll };
  }

  catchUp(): void {
    this.#held = undefined;
  }

  /** Stops answering anything. */
  stop(): void {
    this.isStopped = true;
    this.faults = ['hang'];
  }

  heal(): void {
    this.isStopped = false;
    this.faults = [];
  }

  async propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]> {
    const fault = this.#begin('propose', context);
    this.buffers.push(...commands);
    if (fault === 'hang') return never();
    if (this.delayMs !== undefined) await this.#takeTime(this.delayMs(), context);
    if (fault === 'lose-proposal') return commands.map(() => ({ kind: 'unknown', error: lost }));
    this.#assertServes(fault);
    const answers = commands.map((bytes, at): ProposalAnswer => {
      if (fault === 'cut-off' && at > 0) return { kind: 'not-applied', error: noLeader };
      const { command } = decodeCommand(bytes);
      if (command.kind !== 'write') {
        return { kind: 'applied', index: 1, result: { kind: 'done' } };
      }
      const result = this.#shard.apply(command);
      return { kind: 'applied', index: this.#shard.log.length, result };
    });
    if (fault === 'hang-after') return never();
    return fault === 'lose-answer'
      ? answers.map(() => ({ kind: 'unknown', error: lost }))
      : answers;
  }

  async search(
    scope: { ownershipVersion: number },
    queries: readonly (Selection & { vector: Uint8Array; k: number })[],
    context: CallContext,
  ): Promise<ReadAnswer<SearchHit[][]>> {
    const state = await this.#read('search', scope, context);
    const value = queries.map(({ vector, k, ...selection }) =>
      this.#selected(selection, context)
        .map((record) => ({ ...record, distance: squaredDistance(record.values, vector) }))
        .sort(compareHits)
        .slice(0, k),
    );
    return { value, state };
  }

  async fetch(
    scope: { ownershipVersion: number },
    keys: readonly { id: string }[],
    _include: object,
    context: CallContext,
  ): Promise<ReadAnswer<(FakeRecord | undefined)[]>> {
    const state = await this.#read('fetch', scope, context);
    return { value: keys.map(({ id }) => this.#shard.records.get(id)), state };
  }

  async contents(): Promise<{ faults: [] }> {
    return { faults: [] };
  }

  async count(
    scope: { ownershipVersion: number },
    selection: Selection,
    context: CallContext,
  ): Promise<ReadAnswer<number>> {
    const state = await this.#read('count', scope, context);
    return { value: this.#selected(selection, context).length, state };
  }

  async scroll(
    scope: { ownershipVersion: number },
    query: ScrollQuery,
    context: CallContext,
  ): Promise<ReadAnswer<ScrollPage>> {
    const state = await this.#read('scroll', scope, context);
    this.scrolls.push(query);
    const { after = { id: '', tenant: '' }, limit } = query;
    const rest = this.#selected(query, context)
      .filter((record) => comparePositions(record, after) > 0)
      .sort(comparePositions);
    const records = rest.slice(0, limit);
    const last = records.at(-1);
    if (rest.length <= limit || last === undefined) return { value: { records }, state };
    return { value: { records, next: { id: last.id, tenant: last.tenant } }, state };
  }

  async tenants(
    scope: { ownershipVersion: number },
    _query: object,
    context: CallContext,
  ): Promise<ReadAnswer<[]>> {
    await this.#read('tenants', scope, context);
    return { value: [] };
  }

  async explain(
    scope: { ownershipVersion: number },
    _query: SearchQuery,
    context: CallContext,
  ): Promise<ReadAnswer<Explanation>> {
    const state = await this.#read('explain', scope, context);
    const value: Explanation = {
      plan: 'scan',
      reason: 'it has no graph',
      records: this.#shard.records.size,
      estimatedMatches: 1,
      indexedFields: [],
      scannedFields: [],
      visited: 0,
      compared: 0,
      durationMs: 0,
    };
    return { value, state };
  }

  async barrier(context: CallContext): Promise<void> {
    const fault = this.#begin('barrier', context);
    if (fault === 'hang') return never();
    if (this.delayMs !== undefined) await this.#takeTime(this.delayMs(), context);
    this.#assertServes(fault);
  }

  async status(): Promise<ReplicaStatus> {
    this.calls.push('status');
    if (this.isStopped) return never();
    return {
      groupId: this.shardId + 1,
      shardId: this.shardId,
      replicaId: 1,
      nodeId: this.nodeId,
      role: this.#shard.leaderNodeId === this.nodeId ? 'StateLeader' : 'StateFollower',
      term: this.#shard.term,
      leaderNodeId: this.#shard.leaderNodeId,
      commitIndex: 0,
      appliedIndex: 0,
      lastIndex: 0,
      leaderChanges: 0,
      followers: [],
      engine: undefined,
      fault: undefined,
    };
  }

  #selected({ filter, tenant }: Selection, { consistency }: CallContext): FakeRecord[] {
    const held = isRelaxed(consistency ?? 'strong') ? this.#held : undefined;
    const records = [...(held?.records ?? this.#shard.records).values()].filter(
      (record) => tenant === undefined || record.tenant === tenant,
    );
    if (filter === undefined) return records;
    const matches = compileFilter(decodeFilter(filter, []), []);
    return records.filter(({ metadata }) => matches(metadata));
  }

  /** Gives up early when the caller does. */
  #takeTime(delayMs: number, { signal }: CallContext): Promise<void> {
    return sleep(this.#scheduler, delayMs, signal);
  }

  #begin(kind: string, context: CallContext): Fault {
    this.calls.push(kind);
    this.contexts.push(context);
    const fault = this.faults.length > 1 ? this.faults.shift() : this.faults[0];
    return fault ?? 'none';
  }

  async #read(
    kind: string,
    scope: { ownershipVersion: number },
    context: CallContext,
  ): Promise<ShownState> {
    const fault = this.#begin(kind, context);
    if (fault === 'hang') return never();
    if (this.delayMs !== undefined) await this.#takeTime(this.delayMs(), context);
    if (isRelaxed(context.consistency ?? 'strong')) assertNoError(fault);
    else this.#assertServes(fault);
    if (scope.ownershipVersion !== this.#shard.ownershipVersion) {
      throw this.#shard.stale;
    }
    this.#assertYoung(context);
    const all = this.#shard.log.length;
    const held = isRelaxed(context.consistency ?? 'strong') ? this.#held : undefined;
    const appliedIndex = held === undefined || held.claimsAll ? all : held.appliedIndex;
    return { appliedIndex, ...(this.ageMs !== undefined && { ageMs: this.ageMs() }) };
  }

  #assertYoung({ consistency }: CallContext): void {
    if (typeof consistency !== 'object' || !('boundedMs' in consistency)) return;
    if ((this.ageMs?.() ?? 0) <= consistency.boundedMs) return;
    throw new FlotillaError('REPLICA_BEHIND', 'older than it may be');
  }

  #assertServes(fault: Fault): void {
    assertNoError(fault);
    const { leaderNodeId } = this.#shard;
    if (leaderNodeId === this.nodeId) return;
    if (leaderNodeId === 0) throw new FlotillaError('NO_LEADER', 'no leader');
    throw new FlotillaError('NOT_LEADER', 'not the leader', {
      details: { leaderNodeId: String(leaderNodeId) },
    });
  }
}

function assertNoError(fault: Fault): void {
  if (typeof fault !== 'object') return;
  throw new FlotillaError(fault.reject, 'as the test says', {
    ...(fault.leaderNodeId !== undefined && {
      details: { leaderNodeId: String(fault.leaderNodeId) },
    }),
  });
}

/** Whether the condition of a write on a version holds; there are no others here. */
function isHeld({ condition }: WriteOperation, record: FakeRecord | undefined): boolean {
  return condition?.kind !== 'version' || condition.version === record?.version;
}

const conflict: ErrorBody = new FlotillaError('VERSION_CONFLICT', 'another version').body;
const noLeader: ErrorBody = new FlotillaError('NO_LEADER', 'another leader took over').body;
const expired = new FlotillaError('SESSION_EXPIRED', 'refused at apply');
const lost: ErrorBody = new FlotillaError('OUTCOME_UNKNOWN', 'the answer was lost').body;

export const DIMENSION = 2;

export interface FakeClusterOptions
  extends Omit<RouterOptions, 'view' | 'replicas' | 'environment'> {
  readonly shards?: number;
  readonly nodes?: number;
}

/** A router over shards whose leaders are on the first node of each, until the test says else. */
export class FakeCluster {
  readonly environment = new VirtualEnvironment();
  readonly view = new TopologyHolder();
  readonly shards: FakeShard[];
  readonly #replicas = new Map<string, FakeReplica>();
  readonly router: Router;

  constructor({ shards = 3, nodes = 3, ...options }: FakeClusterOptions = {}) {
    const document = documentWith(shards, nodes);
    this.view.publish(document);
    this.shards = document.shards.map(
      ({ shardId, replicas }) => new FakeShard(shardId, defined(replicas[0], 'a replica').nodeId),
    );
    for (const { shardId, replicas } of document.shards) {
      const shard = defined(this.shards[shardId], 'a shard');
      for (const { nodeId } of replicas) {
        const replica = new FakeReplica(shardId, nodeId, shard, this.environment.scheduler);
        this.#replicas.set(`${shardId}/${nodeId}`, replica);
      }
    }
    this.router = new Router({
      view: this.view,
      replicas: (shard, replica) => this.replica(shard.shardId, replica.nodeId),
      environment: this.environment,
      ...options,
    });
  }

  get document(): TopologyDocument {
    return defined(this.view.current(), 'the topology');
  }

  shard(shardId: number): FakeShard {
    return defined(this.shards[shardId], `shard ${shardId}`);
  }

  replica(shardId: number, nodeId: number): FakeReplica {
    return defined(this.#replicas.get(`${shardId}/${nodeId}`), `replica ${shardId}/${nodeId}`);
  }

  replicasOf(shardId: number): FakeReplica[] {
    const { replicas } = defined(this.document.shards[shardId], 'a shard');
    return replicas.map(({ nodeId }) => this.replica(shardId, nodeId));
  }

  leaderOf(shardId: number): FakeReplica {
    return this.replica(shardId, this.shard(shardId).leaderNodeId);
  }

  /** The followers, in the order of the topology. */
  followersOf(shardId: number): FakeReplica[] {
    return this.replicasOf(shardId).filter((one) => one !== this.leaderOf(shardId));
  }

  /** What the work settles to in virtual time. */
  run<T>(work: Promise<T>): Promise<T> {
    return this.environment.settle(work);
  }
}

function documentWith(shards: number, nodeCount: number): TopologyDocument {
  const nodes = Array.from({ length: nodeCount }, (_, at) => ({
    nodeId: at + 1,
    storeId: `store-${at + 1}`,
    peerAddress: `peer-${at + 1}`,
    clientAddress: `client-${at + 1}`,
    httpAddress: `http-${at + 1}`,
  }));
  const settings = {
    shards,
    replicationFactor: Math.min(3, nodeCount),
    virtualNodes: 100,
    electionTimeoutMs: 1_000,
    leases: false,
  };
  const genesis = initialTopology({ clusterId: 'test', settings, nodes });
  const config = {
    name: 'docs',
    dimension: DIMENSION,
    metric: 'l2' as const,
    m: 16,
    efConstruction: 200,
    indexedFields: [],
  };
  const { document } = applyTopologyCommand(genesis, { kind: 'beginCreateCollection', config });
  const finish = { kind: 'finishCreateCollection' as const, collectionId: 1 };
  return applyTopologyCommand(document, finish).document;
}

function squaredDistance(a: Uint8Array, b: Uint8Array): number {
  const other = floatsOf(b);
  return floatsOf(a).reduce((sum, value, at) => sum + (value - (other[at] ?? 0)) ** 2, 0);
}

function refused({ body }: FlotillaError): CommandAnswer {
  return { kind: 'refused', error: body };
}

function never(): Promise<never> {
  return new Promise(() => undefined);
}
