import { describeConfState } from '../../src/raft/describe.js';
import { jointVoteResult } from '../../src/raft/quorum.js';
import {
  type ConfChange,
  type ConfState,
  type Entry,
  type LeaseConfig,
  type Message,
  NONE,
  type ReadState,
  type Ready,
  type ReplicaId,
} from '../../src/raft/types.js';
import { change, confStateOf, seededRandom, TestReplica } from './replica.js';

/** How often each thing happens, relative to the others; every cluster varies it fourfold. */
const EVENTS = {
  deliver: 60,
  drop: 4,
  duplicate: 4,
  take: 40,
  finish: 30,
  apply: 60,
  outbox: 5,
  tick: 40,
  propose: 12,
  read: 6,
  crash: 0.5,
  compact: 4,
  report: 2,
  isolate: 0.3,
  heal: 0.3,
  unreachable: 0.5,
  change: 2,
  transfer: 0.7,
  lease: 10,
  suspect: 0.25,
  stepDown: 0.05,
};
type EventKind = keyof typeof EVENTS;

const POOL_LIMIT = 300;

export interface ClusterOptions {
  /** Voters at the beginning: replicas 1 to `size`. */
  readonly size: number;
  /** Replicas that begin with nothing, and may be made voters or learners. @default 0 */
  readonly strangers?: number;
  readonly leases?: LeaseConfig | undefined;
  /** How much faster or slower clocks run, at most. @default 0 */
  readonly clockDrift?: number;
  /** Events that are to happen more or less often than in `EVENTS`. */
  readonly weights?: Partial<Record<EventKind, number>>;
}

interface Member {
  readonly replica: TestReplica;
  /** Handed out, and not made durable yet. */
  outstanding: Ready | undefined;
  /** Handed out and not applied yet, where that lags behind. */
  toApply: Entry[];
  /** Last entry that the state machine was given; survives crashes, perhaps not all of it. */
  applied: number;
  commit: number;
  term: number;
  /** Receivers of snapshots that were sent and not reported yet (P2). */
  snapshotsSent: ReplicaId[];
  /** Reads that were queued and neither answered nor aborted yet. */
  readonly reads: Set<number>;
}

/**
 * A cluster to which anything may happen in any order: messages are lost, doubled and reordered;
 * replicas crash between taking a Ready and making it durable, and come back with what was durable
 * and with a state machine that is behind or ahead of it. After every step the touched replica is
 * compared with what the whole cluster ever did; what must not happen throws.
 */
export class RandomCluster {
  readonly members: readonly Member[];
  readonly seen = {
    leaders: 0,
    crashes: 0,
    snapshots: 0,
    reads: 0,
    committed: 0,
    configurations: 0,
    leasedReads: 0,
    transfers: 0,
  };
  readonly #random: () => number;
  readonly #weights: readonly (readonly [EventKind, number])[];
  readonly #pool: Message[] = [];
  readonly #leaderOfTerm = new Map<number, ReplicaId>();
  /** The history that led to each entry, by term and index (Log Matching). */
  readonly #histories = new Map<string, string>();
  readonly #committed: Entry[] = [];
  /** The configuration from each index on at which it changed, ascending. */
  readonly #configurations: { readonly index: number; readonly confState: ConfState }[];
  readonly #readFloors = new Map<number, number>();
  readonly #size: number;
  /** Whether entries are applied some time after they were handed out, or in that moment. */
  readonly #applyLags: boolean;
  #isolated: ReplicaId = NONE;
  #serial = 0;
  #nowMs = 0;

  constructor(seed: number, options: ClusterOptions) {
    this.#random = seededRandom(seed);
    this.#applyLags = seed % 2 === 0;
    const weights = { ...EVENTS, ...options.weights };
    this.#weights = (Object.entries(weights) as [EventKind, number][]).map(([kind, weight]) => {
      return [kind, weight * 4 ** (2 * this.#random() - 1)];
    });
    const { size, strangers = 0 } = options;
    this.#size = size;
    const ids = Array.from({ length: size + strangers }, (_, position) => position + 1);
    const voters = ids.slice(0, size);
    this.#configurations = [{ index: 0, confState: confStateOf(voters) }];
    this.members = ids.map((id) => {
      const replica = this.#newReplica(id, id <= size ? voters : [], seed, options);
      const progress = { outstanding: undefined, applied: 0, commit: 0, term: 0 };
      return { replica, ...progress, toApply: [], snapshotsSent: [], reads: new Set() };
    });
  }

  #newReplica(
    id: ReplicaId,
    voters: readonly ReplicaId[],
    seed: number,
    { leases, clockDrift = 0 }: ClusterOptions,
  ): TestReplica {
    const rate = 1 + clockDrift * (2 * this.#random() - 1);
    const startMs = 1_000 * this.#random();
    return new TestReplica(id, {
      voters,
      random: this.#random,
      electionTicks: 5,
      // Safety must not hang on these two.
      preVote: seed % 4 !== 0,
      checkQuorum: seed % 3 !== 0,
      maxSizePerMessageBytes: 20,
      maxCommittedSizeBytes: 40,
      maxInflightMessages: 4,
      maxUncommittedBytes: 200,
      leases,
      nowMs: () => startMs + rate * this.#nowMs,
    });
  }

  /** Does something at random, then checks the replica that it happened to. */
  step(): void {
    this.#nowMs += this.#random();
    const member = this.#pick(this.members);
    this.#happen(this.#pickEvent(), member);
    this.#check(member);
  }

  /** Ends all trouble and waits until all replicas have applied the same log. */
  converge(): void {
    this.#isolated = NONE;
    for (let round = 0; round < 3000; round += 1) {
      this.#nowMs += 1;
      for (const member of this.members) {
        this.#finish(member);
        if (round % 10 === 0) member.replica.tick();
        this.#reportSnapshots(member);
        if (member.replica.node.hasReady()) this.#take(member);
        this.#finish(member);
        this.#applyUpTo(member, member.toApply.length);
        this.#check(member);
        // The host leaves what is not left by itself; until it was, others may be waited for.
        if (round % 50 === 0) member.replica.proposeChange('');
        if (round % 100 === 0) this.#compact(member, 0);
      }
      for (const message of this.#pool.splice(0)) {
        if (this.#isCounted(message.from)) this.#deliver(message);
      }
      if (round > 600 && this.#isQuiet()) {
        const forgotten = this.members.flatMap(({ reads }) => [...reads]);
        must(forgotten.length === 0, `reads ${forgotten} were forgotten (R5, R10)`);
        return;
      }
    }
    throw new Error('the cluster does not converge');
  }

  get #insiders(): readonly Member[] {
    const latest = this.#configurationAt(this.#committed.length);
    return this.members.filter(({ replica }) => isIn(latest, replica.id));
  }

  /** Whether anyone in the group takes the replica for one of it: else its host would stop it. */
  #isCounted(id: ReplicaId): boolean {
    return this.#insiders.some(({ replica }) => isIn(replica.node.confState, id));
  }

  #isQuiet(): boolean {
    const ends = this.#insiders.map(({ replica, applied }) => {
      const { lastIndex, hardState } = replica.node.basicStatus();
      return `${lastIndex} ${hardState.commit} ${applied} ${hardState.term}`;
    });
    const leaders = this.#insiders.filter(({ replica }) => replica.isLeader);
    return leaders.length === 1 && new Set(ends).size === 1;
  }

  #happen(event: EventKind, member: Member): void {
    const { replica } = member;
    switch (event) {
      case 'deliver': {
        const message = this.#takeMessage();
        if (message !== undefined) this.#deliver(message);
        return;
      }
      case 'drop':
        this.#takeMessage();
        return;
      case 'duplicate':
        if (this.#pool.length > 0) this.#send([this.#pick(this.#pool)]);
        return;
      case 'take':
        if (replica.node.hasReady()) this.#take(member);
        return;
      case 'finish':
        this.#finish(member);
        return;
      case 'apply':
        this.#applyUpTo(member, 1 + Math.floor(4 * this.#random()));
        return;
      case 'outbox': {
        const { messages, readStates, readsAborted } = replica.node.takeOutbox();
        this.#sendOf(member, messages);
        this.#settleReads(member, readStates, readsAborted);
        return;
      }
      case 'tick':
        replica.tick();
        return;
      case 'propose':
        this.#serial += 1;
        replica.propose(`p${this.#serial}`);
        return;
      case 'read':
        this.#serial += 1;
        this.#readFloors.set(this.#serial, this.#committed.length);
        if (replica.node.readIndex(this.#serial) === 'queued') member.reads.add(this.#serial);
        return;
      case 'crash':
        this.#crash(member);
        return;
      case 'compact':
        this.#compact(member, 2);
        return;
      case 'report':
        this.#reportSnapshots(member);
        return;
      case 'isolate':
        this.#isolated = replica.id;
        return;
      case 'heal':
        this.#isolated = NONE;
        return;
      case 'unreachable':
        replica.node.reportUnreachable(this.#pick(this.members).replica.id);
        return;
      case 'change':
        replica.node.proposeConfChange(this.#randomChange());
        return;
      case 'transfer': {
        const result = replica.node.transferLeader(this.#pick(this.members).replica.id);
        if (result === 'started') this.seen.transfers += 1;
        return;
      }
      case 'lease':
        this.#readByLease(member);
        return;
      case 'suspect':
        for (const other of this.members)
          if (this.#random() < 0.7) other.replica.node.suspectLeader();
        replica.node.campaign();
        return;
      case 'stepDown':
        replica.node.stepDown();
        return;
    }
  }

  /** One to three steps about anyone, which often do not fit and are refused. */
  #randomChange(): ConfChange {
    const steps = Array.from({ length: Math.floor(4 * this.#random()) }, () => {
      return `${this.#pick(['v', 'v', 'l', 'r'])}${this.#pick(this.members).replica.id}`;
    });
    const transition = this.#pick(['auto', 'auto', 'joint-implicit', 'joint-explicit'] as const);
    return change(steps.join(' '), transition);
  }

  /** Who reads by a lease sees all that anyone has committed by then (R6). */
  #readByLease(member: Member): void {
    const index = member.replica.node.leaseIndex();
    if (index === undefined) return;
    this.seen.leasedReads += 1;
    const floor = this.#committed.length;
    must(index >= floor, `replica ${member.replica.id} read by lease at ${index}, not ${floor}`);
  }

  /** What the host stored: strangers know no configuration before they get a snapshot. */
  #configurationOf({ replica, applied }: Member): ConfState {
    const isBlank = applied === 0 && replica.id > this.#size;
    return isBlank ? confStateOf([]) : this.#configurationAt(applied);
  }

  #configurationAt(index: number): ConfState {
    const found = this.#configurations.findLast((each) => each.index <= index);
    if (found === undefined) throw new Error(`no configuration at ${index}`);
    return found.confState;
  }

  #take(member: Member): void {
    const { replica } = member;
    const ready = replica.handOut();
    member.outstanding = ready;
    this.#sendOf(member, ready.messages);
    this.#settleReads(member, ready.readStates, ready.readsAborted);
    this.#checkHistories(member, ready);
    if (ready.snapshot !== undefined) {
      this.seen.snapshots += 1;
      member.applied = ready.snapshot.meta.index;
      member.toApply = [];
      this.#checkConfiguration(member.applied, replica.node.confState);
    }
    member.toApply.push(...ready.committed);
    if (!this.#applyLags) this.#applyUpTo(member, member.toApply.length);
  }

  /** The state machine takes the next entries, which changes the configuration where they do. */
  #applyUpTo(member: Member, count: number): void {
    const { node } = member.replica;
    for (const entry of member.toApply.splice(0, count)) {
      this.#apply(member, entry);
      const confState = member.replica.enforce(entry);
      node.applied(entry.index);
      if (confState === undefined) continue;
      this.#noteConfiguration(entry.index, confState);
      this.#checkConfiguration(entry.index, confState);
    }
  }

  #noteConfiguration(index: number, confState: ConfState): void {
    if (index <= (this.#configurations.at(-1)?.index ?? 0)) return;
    this.#configurations.push({ index, confState });
    this.seen.configurations += 1;
  }

  /** Everyone has the same configuration at the same index. */
  #checkConfiguration(index: number, confState: ConfState): void {
    const known = describeConfState(this.#configurationAt(index));
    const own = describeConfState(confState);
    must(own === known, `${own} at ${index} instead of ${known}`);
  }

  #finish(member: Member): void {
    const { replica, outstanding } = member;
    if (outstanding === undefined) return;
    member.outstanding = undefined;
    this.#send(replica.persist(outstanding));
    if (outstanding.snapshot === undefined) return;
    const { index } = outstanding.snapshot.meta;
    member.applied = index;
    // Unless a newer snapshot is on the way: then that one's is in force.
    if (member.replica.commit === index) this.#checkConfiguration(index, replica.node.confState);
  }

  /** Sends, and notes which snapshots the host has to report on. */
  #sendOf(member: Member, messages: readonly Message[]): void {
    this.#send(messages);
    for (const message of messages) {
      if (message.type === 'MsgSnap') member.snapshotsSent.push(message.to);
    }
  }

  #reportSnapshots(member: Member): void {
    for (const id of member.snapshotsSent.splice(0)) {
      member.replica.node.reportSnapshot(id, this.#random() < 0.5);
    }
  }

  #crash(member: Member): void {
    this.seen.crashes += 1;
    const { replica, outstanding } = member;
    member.outstanding = undefined;
    member.toApply = [];
    member.snapshotsSent = [];
    if (outstanding !== undefined && (outstanding.snapshot !== undefined || this.#random() < 0.5)) {
      // The write reached the disk; the replica never learned of it.
      const { hardState, snapshot, entries } = outstanding;
      if (hardState !== undefined) replica.storage.setHardState(hardState);
      if (snapshot !== undefined) replica.storage.applySnapshot(snapshot);
      replica.storage.append(entries);
    }
    const base = replica.storage.firstIndex() - 1;
    member.applied = base + Math.floor(this.#random() * (member.applied - base + 1));
    member.commit = 0;
    member.term = replica.storage.initialState().hardState.term;
    member.reads.clear();
    replica.restart(member.applied, this.#configurationOf(member));
  }

  #compact(member: Member, trailing: number): void {
    const { storage } = member.replica;
    const durableCommit = storage.initialState().hardState.commit;
    const index = Math.min(member.applied, durableCommit, storage.lastIndex()) - trailing;
    if (index < storage.firstIndex() || member.outstanding?.snapshot !== undefined) return;
    storage.createSnapshot(index, this.#configurationAt(index), new Uint8Array());
    storage.compact(index);
  }

  /** State Machine Safety: everyone applies the same entries, in order, without a gap. */
  #apply(member: Member, entry: Entry): void {
    must(entry.index === member.applied + 1, `applied ${entry.index} after ${member.applied}`);
    member.applied = entry.index;
    const known = this.#committed[entry.index - 1];
    if (known !== undefined) {
      must(describe(known) === describe(entry), `${describe(entry)} instead of ${describe(known)}`);
      return;
    }
    must(entry.index === this.#committed.length + 1, `commit ${entry.index} leaves a gap`);
    this.#checkDurable(entry);
    this.#committed.push(entry);
    this.seen.committed += 1;
  }

  /**
   * What is committed for the first time is on the disks of a quorum (A2, M1): of the newest
   * configuration, or of the one before, which was in force at the leader when it committed.
   */
  #checkDurable(entry: Entry): void {
    const holders = new Map<ReplicaId, boolean>();
    for (const { replica } of this.members) {
      const { storage } = replica;
      const holds =
        entry.index < storage.firstIndex() ||
        (entry.index <= storage.lastIndex() && storage.term(entry.index) === entry.term);
      holders.set(replica.id, holds);
    }
    const hasQuorum = this.#configurations.slice(-2).some(({ confState }) => {
      const { voters: incoming, votersOutgoing: outgoing } = confState;
      return jointVoteResult({ incoming, outgoing }, holders) === 'won';
    });
    must(hasQuorum, `${describe(entry)} committed without a quorum of copies`);
  }

  /** Log Matching: equal index and term mean equal entries up to there. */
  #checkHistories(member: Member, ready: Ready): void {
    const first = ready.entries[0];
    if (first === undefined) return;
    const { storage } = member.replica;
    const before = first.index - 1;
    const snapshot = ready.snapshot?.meta;
    const term = snapshot?.index === before ? snapshot.term : storage.term(before);
    let previous = before === 0 ? '' : this.#histories.get(`${term}/${before}`);
    for (const entry of ready.entries) {
      const id = `${entry.term}/${entry.index}`;
      const history = hash(`${previous} ${describe(entry)}`);
      const known = this.#histories.get(id) ?? history;
      must(known === history, `${id} has two histories`);
      this.#histories.set(id, history);
      previous = history;
    }
  }

  /** A read sees everything that was committed anywhere when it was asked for (R1). */
  #settleReads(member: Member, answered: readonly ReadState[], aborted: readonly number[]): void {
    for (const requestId of [...aborted, ...answered.map((read) => read.requestId)]) {
      must(member.reads.delete(requestId), `read ${requestId} was settled twice`);
    }
    for (const { requestId, index } of answered) {
      const floor = this.#readFloors.get(requestId) ?? 0;
      must(index >= floor, `read ${requestId} at ${index} misses ${floor}`);
      this.seen.reads += 1;
    }
  }

  #check(member: Member): void {
    const { replica } = member;
    const { hardState, softState, lastIndex } = replica.node.basicStatus();
    must(hardState.term >= member.term, `term fell from ${member.term} to ${hardState.term}`);
    must(hardState.commit >= member.commit, `commit fell from ${member.commit}`);
    must(hardState.commit <= lastIndex, `commit ${hardState.commit} is beyond ${lastIndex}`);
    member.term = hardState.term;
    member.commit = hardState.commit;
    if (softState.role !== 'StateLeader') return;
    const durable = replica.storage.initialState().hardState;
    must(
      durable.term === hardState.term && durable.vote === replica.id,
      `replica ${replica.id} leads term ${hardState.term} before its own vote is durable (E1)`,
    );
    const known = this.#leaderOfTerm.get(hardState.term);
    must(known === undefined || known === replica.id, `two leaders in term ${hardState.term}`);
    if (known !== undefined) return;
    this.#leaderOfTerm.set(hardState.term, replica.id);
    this.seen.leaders += 1;
    must(lastIndex >= this.#committed.length, `leader ${replica.id} lacks committed entries`);
  }

  #send(messages: readonly Message[]): void {
    this.#pool.push(...messages);
    while (this.#pool.length > POOL_LIMIT) this.#takeMessage();
  }

  #deliver(message: Message): void {
    if (this.#isolated === message.from || this.#isolated === message.to) return;
    const member = this.members.find(({ replica }) => replica.id === message.to);
    if (member === undefined) throw new Error(`no replica ${message.to}`);
    member.replica.node.step(message);
    this.#check(member);
  }

  /** Mostly the oldest, so that something gets done; else any. */
  #takeMessage(): Message | undefined {
    const position = this.#random() < 0.7 ? 0 : Math.floor(this.#random() * this.#pool.length);
    return this.#pool.splice(position, 1)[0];
  }

  #pick<T>(from: readonly T[]): T {
    const picked = from[Math.floor(this.#random() * from.length)];
    if (picked === undefined) throw new Error('nothing to pick from');
    return picked;
  }

  #pickEvent(): EventKind {
    const total = this.#weights.reduce((sum, [, weight]) => sum + weight, 0);
    let left = this.#random() * total;
    for (const [kind, weight] of this.#weights) {
      left -= weight;
      if (left < 0) return kind;
    }
    return 'tick';
  }
}

function isIn({ voters, votersOutgoing, learners }: ConfState, id: ReplicaId): boolean {
  return voters.includes(id) || votersOutgoing.includes(id) || learners.includes(id);
}

function describe(entry: Entry): string {
  return `${entry.term}/${entry.index} ${Buffer.from(entry.data).toString()}`;
}

/** FNV-1a in 32 bits: short, and good enough to tell histories apart. */
function hash(text: string): string {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at += 1) {
    value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  }
  return (value >>> 0).toString(16);
}

function must(condition: boolean, message: string): void {
  if (!condition) throw new Error(message);
}
