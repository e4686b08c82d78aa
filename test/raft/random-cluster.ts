import {
  type Entry,
  type Message,
  NONE,
  type ReadState,
  type Ready,
  type ReplicaId,
} from '../../src/raft/types.js';
import { confStateOf, seededRandom, TestReplica } from './replica.js';

/** How often each thing happens, relative to the others; every cluster varies it fourfold. */
const EVENTS = {
  deliver: 60,
  drop: 4,
  duplicate: 4,
  take: 40,
  finish: 30,
  outbox: 5,
  tick: 40,
  propose: 12,
  read: 6,
  crash: 0.6,
  compact: 4,
  report: 2,
  isolate: 0.3,
  heal: 0.3,
  unreachable: 0.5,
};
type EventKind = keyof typeof EVENTS;

const POOL_LIMIT = 300;

interface Member {
  readonly replica: TestReplica;
  /** Handed out, and not made durable yet. */
  outstanding: Ready | undefined;
  /** Last entry that the state machine was given; survives crashes, perhaps not all of it. */
  applied: number;
  commit: number;
  term: number;
  /** Receivers of snapshots that were sent and not reported yet (P2). */
  snapshotsSent: ReplicaId[];
}

/**
 * A cluster to which anything may happen in any order: messages are lost, doubled and reordered;
 * replicas crash between taking a Ready and making it durable, and come back with what was durable
 * and with a state machine that is behind or ahead of it. After every step the touched replica is
 * compared with what the whole cluster ever did; what must not happen throws.
 */
export class RandomCluster {
  readonly members: readonly Member[];
  readonly seen = { leaders: 0, crashes: 0, snapshots: 0, reads: 0, committed: 0 };
  readonly #random: () => number;
  readonly #weights: readonly (readonly [EventKind, number])[];
  readonly #pool: Message[] = [];
  readonly #leaderOfTerm = new Map<number, ReplicaId>();
  /** The history that led to each entry, by term and index (Log Matching). */
  readonly #histories = new Map<string, string>();
  readonly #committed: Entry[] = [];
  readonly #readFloors = new Map<number, number>();
  #isolated: ReplicaId = NONE;
  #serial = 0;

  constructor(seed: number, size: number) {
    this.#random = seededRandom(seed);
    this.#weights = (Object.entries(EVENTS) as [EventKind, number][]).map(([kind, weight]) => {
      return [kind, weight * 4 ** (2 * this.#random() - 1)];
    });
    const voters = Array.from({ length: size }, (_, position) => position + 1);
    this.members = voters.map((id) => {
      const replica = new TestReplica(id, {
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
      });
      return { replica, outstanding: undefined, applied: 0, commit: 0, term: 0, snapshotsSent: [] };
    });
  }

  /** Does something at random, then checks the replica that it happened to. */
  step(): void {
    const member = this.#pick(this.members);
    this.#happen(this.#pickEvent(), member);
    this.#check(member);
  }

  /** Ends all trouble and waits until all replicas have applied the same log. */
  converge(): void {
    this.#isolated = NONE;
    for (let round = 0; round < 3000; round += 1) {
      for (const member of this.members) {
        this.#finish(member);
        if (round % 10 === 0) member.replica.tick();
        this.#reportSnapshots(member);
        if (member.replica.node.hasReady()) this.#take(member);
        this.#finish(member);
        this.#check(member);
      }
      for (const message of this.#pool.splice(0)) this.#deliver(message);
      if (round > 600 && this.#isQuiet()) return;
    }
    throw new Error('the cluster does not converge');
  }

  #isQuiet(): boolean {
    const ends = this.members.map(({ replica, applied }) => {
      const { lastIndex, hardState } = replica.node.basicStatus();
      return `${lastIndex} ${hardState.commit} ${applied} ${hardState.term}`;
    });
    const leaders = this.members.filter(({ replica }) => replica.isLeader);
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
      case 'outbox': {
        const { messages, readStates } = replica.node.takeOutbox();
        this.#sendOf(member, messages);
        this.#checkReads(readStates);
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
        replica.node.readIndex(this.#serial);
        return;
      case 'crash':
        this.#crash(member);
        return;
      case 'compact':
        this.#compact(member);
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
    }
  }

  #take(member: Member): void {
    const ready = member.replica.node.ready();
    member.outstanding = ready;
    this.#sendOf(member, ready.messages);
    this.#checkReads(ready.readStates);
    this.#checkHistories(member, ready);
    if (ready.snapshot !== undefined) {
      this.seen.snapshots += 1;
      member.applied = ready.snapshot.meta.index;
    }
    for (const entry of ready.committed) this.#apply(member, entry);
  }

  #finish(member: Member): void {
    const { replica, outstanding } = member;
    if (outstanding === undefined) return;
    member.outstanding = undefined;
    this.#send(replica.finish(outstanding));
    if (outstanding.snapshot !== undefined) member.applied = outstanding.snapshot.meta.index;
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
    replica.restart(member.applied);
  }

  #compact(member: Member): void {
    const { storage } = member.replica;
    const durableCommit = storage.initialState().hardState.commit;
    const index = Math.min(member.applied, durableCommit, storage.lastIndex()) - 2;
    if (index < storage.firstIndex() || member.outstanding?.snapshot !== undefined) return;
    storage.createSnapshot(
      index,
      confStateOf(this.members.map(({ replica }) => replica.id)),
      new Uint8Array(),
    );
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

  /** What is committed for the first time is on the disks of a majority (A2). */
  #checkDurable(entry: Entry): void {
    const holders = this.members.filter(({ replica: { storage } }) => {
      if (entry.index < storage.firstIndex()) return true;
      return entry.index <= storage.lastIndex() && storage.term(entry.index) === entry.term;
    });
    must(
      holders.length > this.members.length / 2,
      `${describe(entry)} committed with ${holders.length} copies`,
    );
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
  #checkReads(reads: readonly ReadState[]): void {
    for (const { requestId, index } of reads) {
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
