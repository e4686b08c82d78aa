/** A shard replica on this node: its Raft group, its engine, and the clock that stamps versions. */
import type {
  AppliedState,
  CommandResult,
  ContentQuery,
  ContentReport,
  Engine,
  Explanation,
  Hit,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  StoredRecord,
  TenantCount,
  TenantsQuery,
} from '../engine/engine.js';
import type { Entry, LogReader } from '../raft/types.js';
import { unreachable } from '../shared/assert.js';
import { commandVersion, decodeCommand, stampCommand } from '../shared/codec/command.js';
import { withDeadline } from '../shared/deadline.js';
import type { Environment } from '../shared/environment.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { type FlotillaError, toFlotillaError } from '../shared/errors.js';
import { GiveUp, type GiveUpSignal } from '../shared/give-up.js';
import { HybridClock } from '../shared/hlc.js';
import type { StateMachine } from '../shared/state-machine.js';
import type { GroupGenesis, LogStore } from '../storage/log-store.js';
import { hasCommand } from './apply-queue.js';
import { ConsistentReads } from './consistent-reads.js';
import { ExpiryDriver } from './expiry-driver.js';
import type { RaftGroup } from './group.js';
import type { ReplicaHost } from './host.js';
import type { ProposalOutcome } from './proposals.js';
import type {
  CallContext,
  ProposalAnswer,
  ReadAnswer,
  ReplicaStatus,
  ShardReplica,
} from './replica.js';
import { groupStatusOf } from './status.js';

export interface LocalReplicaOptions {
  readonly shardId: number;
  readonly nodeId: number;
  readonly genesis: GroupGenesis;
  readonly engine: Engine;
  readonly host: ReplicaHost;
  readonly logStore: LogStore;
  readonly environment: Environment;
  /** Whether leased reads use leases (R6). @default false */
  readonly leases?: boolean;
  /** Told how many records this replica has removed, as the leader, because they had expired. */
  readonly onExpired?: ((records: number) => void) | undefined;
}

/** What followers apply a moment later, only reads miss that do not ask for the newest. */
const FOLLOWER_APPLY_LINGER_MS = 20;

/** The last entry that the engine has been given; undefined while it takes a snapshot's state. */
interface Reached {
  index: number | undefined;
}

interface LocalReplicaParts {
  readonly group: RaftGroup<CommandResult>;
  readonly clock: HybridClock;
  readonly reached: Readonly<Reached>;
}

interface ObservedParts {
  readonly clock: HybridClock;
  readonly reached: Reached;
  readonly onClose: () => void;
}

/** What an engine rejects with when it will never answer anything else. */
const ENGINE_LOST: ReadonlySet<ErrorReason> = new Set<ErrorReason>([
  'STORE_POISONED',
  'LOG_DAMAGED',
  'UNSUPPORTED_VERSION',
  'INTERNAL',
]);

export class LocalReplica implements ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  readonly #group: RaftGroup<CommandResult>;
  readonly #engine: Engine;
  readonly #environment: Environment;
  readonly #clock: HybridClock;
  readonly #reads: ConsistentReads;

  static async open(options: LocalReplicaOptions): Promise<LocalReplica> {
    const { genesis, engine, host, logStore } = options;
    const clock = new HybridClock();
    clock.observe(lastVersion(logStore.reader(genesis.groupId)));
    const observe = (entries: readonly Entry[]): void => {
      for (const entry of entries) clock.observe(versionOf(entry));
    };
    let expiry: ExpiryDriver | undefined;
    const reached: Reached = { index: 0 };
    const machine = observed(engine, { clock, reached, onClose: () => expiry?.close() });
    const group = await host.addGroup(genesis, machine, {
      onAppend: observe,
      applyLingerMs: FOLLOWER_APPLY_LINGER_MS,
      leases: options.leases ?? false,
    });
    const replica = new LocalReplica(options, { group, clock, reached });
    const { environment, onExpired } = options;
    expiry = new ExpiryDriver({ environment, engine, replica, onExpired });
    return replica;
  }

  private constructor(options: LocalReplicaOptions, { group, clock, reached }: LocalReplicaParts) {
    this.shardId = options.shardId;
    this.nodeId = options.nodeId;
    this.#group = group;
    this.#engine = options.engine;
    this.#environment = options.environment;
    this.#clock = clock;
    this.#reads = new ConsistentReads({
      group,
      clock: options.environment.clock,
      scheduler: options.environment.scheduler,
      // While a snapshot is installed, its content may be seen before its index is told.
      reachedIndex: () => reached.index ?? group.commitIndex,
    });
  }

  get isLeader(): boolean {
    return this.#group.isLeader;
  }

  async propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]> {
    const sizeBytes = commands.reduce((sum, command) => sum + command.length, 0);
    const release = await this.#group.admit(sizeBytes, context);
    const answers: Promise<ProposalAnswer>[] = [];
    try {
      for (const command of commands) {
        try {
          answers.push(this.#answer(this.#proposeOne(command), context));
        } catch (error) {
          if (answers.length === 0) throw error;
          const { body } = toFlotillaError(error);
          answers.push(Promise.resolve({ kind: 'not-applied', error: body }));
        }
      }
    } finally {
      release();
    }
    return Promise.all(answers);
  }

  search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    context: CallContext,
  ): Promise<ReadAnswer<Hit[][]>> {
    const isShort = queries.every(
      ({ filter, shardKeys, tenant = '' }) =>
        filter === undefined && shardKeys === undefined && tenant === '',
    );
    if (isShort) {
      return this.#read(() => this.#engine.search(scope, queries), context);
    }
    return this.#longRead((givenUp) => this.#engine.search(scope, queries, givenUp), context);
  }

  async fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
    context: CallContext,
  ): Promise<ReadAnswer<(StoredRecord | undefined)[]>> {
    return this.#read(() => this.#engine.fetch(scope, keys, include), context);
  }

  async count(
    scope: ReadScope,
    selection: Selection,
    context: CallContext,
  ): Promise<ReadAnswer<number>> {
    return this.#longRead((givenUp) => this.#engine.count(scope, selection, givenUp), context);
  }

  async scroll(
    scope: ReadScope,
    query: ScrollQuery,
    context: CallContext,
  ): Promise<ReadAnswer<ScrollPage>> {
    return this.#longRead((givenUp) => this.#engine.scroll(scope, query, givenUp), context);
  }

  async tenants(
    scope: ReadScope,
    query: TenantsQuery,
    context: CallContext,
  ): Promise<ReadAnswer<TenantCount[]>> {
    return this.#read(() => this.#engine.tenants(scope, query), context);
  }

  async explain(
    scope: ReadScope,
    query: SearchQuery,
    context: CallContext,
  ): Promise<ReadAnswer<Explanation>> {
    return this.#longRead((givenUp) => this.#engine.explain(scope, query, givenUp), context);
  }

  async contents(query: ContentQuery, context: CallContext): Promise<ContentReport> {
    const answer = async (): Promise<ContentReport> => {
      if (query.mark !== undefined) await this.#group.waitApplied(query.mark);
      return this.#engine.contents(query);
    };
    return this.#failing(this.#bounded(answer(), context));
  }

  async barrier(context: CallContext): Promise<void> {
    await this.#bounded(this.#group.readBarrier(), context);
  }

  async status(context: CallContext): Promise<ReplicaStatus> {
    // A busy engine must not keep the rest from being told.
    const patience = { ...context, timeoutMs: context.timeoutMs / 2 };
    const engine = await this.#bounded(this.#engine.stats(), patience).catch(() => undefined);
    return { ...this.statusNow(), engine };
  }

  /** The consensus side of the status, without asking the engine. */
  statusNow(): ReplicaStatus {
    const where = { shardId: this.shardId, nodeId: this.nodeId };
    return { ...groupStatusOf(this.#group, where), confirmedReads: this.#reads.confirmed };
  }

  /** The engine is lost: a leader that cannot answer must not go on leading. */
  fail(error: FlotillaError): void {
    this.#group.fail(error);
  }

  /** Barrier and read share one deadline: timers and abort listeners cost more than either. */
  #read<T>(read: () => Promise<T>, context: CallContext): Promise<ReadAnswer<T>> {
    const answer = this.#reads.read(read, context.consistency ?? 'strong', context);
    return this.#failing(this.#bounded(answer, context));
  }

  /** As `#read`; the engine is told when nobody waits for the answer any more. */
  async #longRead<T>(
    read: (givenUp: GiveUpSignal) => Promise<T>,
    context: CallContext,
  ): Promise<ReadAnswer<T>> {
    const givenUp = new GiveUp();
    try {
      return await this.#read(() => read(givenUp), context);
    } catch (error) {
      givenUp.abort();
      throw error;
    }
  }

  /** Stops the replica where the engine says that it is lost. */
  #failing<T>(reading: Promise<T>): Promise<T> {
    return reading.catch((thrown: unknown) => {
      const error = toFlotillaError(thrown);
      if (ENGINE_LOST.has(error.reason)) this.fail(error);
      throw error;
    });
  }

  #proposeOne(command: Uint8Array): Promise<ProposalOutcome<CommandResult>> {
    // What comes from another shard brings the version that this one has to go on above (O6).
    const floor = commandVersion(command);
    this.#clock.observe(floor);
    stampCommand(command, this.#clock.next(this.#environment.clock.wallMs()));
    try {
      return this.#group.propose(command, () => freesSpace(command));
    } catch (error) {
      // Another replica may get these bytes, and goes on above the version in them.
      stampCommand(command, floor);
      throw error;
    }
  }

  async #answer(
    proposal: Promise<ProposalOutcome<CommandResult>>,
    context: CallContext,
  ): Promise<ProposalAnswer> {
    try {
      const outcome = await this.#bounded(proposal, context);
      switch (outcome.kind) {
        case 'applied':
          return outcome;
        case 'lost':
          return {
            kind: 'not-applied',
            error: { reason: 'NO_LEADER', message: 'Another leader took over before the write' },
          };
        case 'unknown':
          return { kind: 'unknown', error: outcome.error.body };
      }
    } catch (error) {
      return { kind: 'unknown', error: toFlotillaError(error).body };
    }
  }

  #bounded<T>(work: Promise<T>, context: CallContext): Promise<T> {
    return withDeadline(this.#environment.scheduler, work, context, `shard ${this.shardId}`);
  }
}

/** Whether what the command does makes room: it drops a collection, or only deletes records. */
function freesSpace(bytes: Uint8Array): boolean {
  const { command } = decodeCommand(bytes);
  switch (command.kind) {
    case 'write':
      return command.operations.every(({ kind }) => kind === 'delete');
    case 'dropCollection':
    case 'expire':
      return true;
    case 'createCollection':
    case 'mark':
    case 'fenceUnits':
    case 'changeOwnership':
    case 'liftFence':
      return false;
    default:
      return unreachable(command);
  }
}

/**
 * The engine as the group drives it. The clock goes on above the versions of each state that is
 * opened or installed: behind a snapshot the log says nothing about them any more.
 */
function observed(engine: Engine, parts: ObservedParts): StateMachine<CommandResult> {
  const { clock, reached, onClose } = parts;
  const note = (applied: AppliedState): AppliedState => {
    clock.observe(applied.lastVersion);
    reached.index = applied.appliedIndex;
    return applied;
  };
  return {
    open: async () => note(await engine.open()),
    apply: (entries, lastIndex) => {
      reached.index = lastIndex;
      return engine.apply(entries, lastIndex);
    },
    writeSnapshot: (path) => engine.writeSnapshot(path),
    installSnapshot: async (path) => {
      reached.index = undefined;
      return note(await engine.installSnapshot(path));
    },
    close: () => {
      onClose();
      return engine.close();
    },
  };
}

/** The highest version in the log: that of its last command, since versions grow along the log. */
function lastVersion(reader: LogReader): bigint {
  for (let index = reader.lastIndex(); index >= reader.firstIndex(); index--) {
    const [entry] = reader.entries(index, index + 1, 0);
    const version = entry === undefined ? 0n : versionOf(entry);
    if (version > 0n) return version;
  }
  return 0n;
}

/** 0 for an entry that carries no command: the bytes of a configuration change are no version. */
function versionOf(entry: Entry): bigint {
  return hasCommand(entry) ? commandVersion(entry.data) : 0n;
}
