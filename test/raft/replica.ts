import { decodeConfChange } from '../../src/raft/conf-change-codec.js';
import { MemoryStorage } from '../../src/raft/memory-storage.js';
import { createMessage, type MessageBody } from '../../src/raft/message.js';
import { RawNode, type StepResult } from '../../src/raft/raw-node.js';
import type {
  ConfChange,
  ConfChangeStep,
  ConfState,
  Entry,
  HardState,
  LogReader,
  Message,
  MessageType,
  RaftConfig,
  ReadState,
  Ready,
  ReplicaId,
  Role,
} from '../../src/raft/types.js';

export const ELECTION_TICKS = 10;
export const HEARTBEAT_TICKS = 1;

export type ReplicaOptions = Partial<Omit<RaftConfig, 'id' | 'storage'>> & {
  readonly voters?: readonly ReplicaId[];
  readonly learners?: readonly ReplicaId[];
  /** Terms of the entries that the log starts with, from index 1 on. */
  readonly terms?: readonly number[];
  readonly hardState?: Partial<HardState>;
};

export function confStateOf(
  voters: readonly ReplicaId[],
  learners: readonly ReplicaId[] = [],
): ConfState {
  return { voters, learners, votersOutgoing: [], learnersNext: [], autoLeave: false };
}

export function entry(term: number, index: number, text = ''): Entry {
  return { type: 'EntryNormal', term, index, data: Buffer.from(text) };
}

/** A change of these steps, written as in the interaction files: `v1 l2 r3`. */
export function change(steps: string, transition: ConfChange['transition'] = 'auto'): ConfChange {
  return { transition, changes: parseSteps(steps), context: new Uint8Array() };
}

function parseSteps(steps: string): ConfChangeStep[] {
  const kinds = { v: 'add-voter', l: 'add-learner', r: 'remove' } as const;
  const words = steps.split(' ').filter(Boolean);
  return words.map((word): ConfChangeStep => {
    return { kind: kinds[word[0] as keyof typeof kinds], replicaId: Number(word.slice(1)) };
  });
}

/** Entries of these terms, from index `first` on. */
export function entriesOf(terms: readonly number[], first = 1): Entry[] {
  return terms.map((term, position) => entry(term, first + position));
}

/** `term/index` of each entry: a log at a glance. */
export function idsOf(entries: readonly Entry[]): string[] {
  return entries.map(({ term, index }) => `${term}/${index}`);
}

export function message(
  type: MessageType,
  from: ReplicaId,
  to: ReplicaId,
  term: number,
  body?: MessageBody,
): Message {
  return createMessage(type, from, to, term, body);
}

/** A seeded source of numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A core with memory for a disk, driven by hand. */
export class TestReplica {
  readonly id: ReplicaId;
  readonly storage: MemoryStorage;
  readonly committed: Entry[] = [];
  readonly reads: ReadState[] = [];
  readonly aborted: number[] = [];
  node: RawNode;
  readonly #options: ReplicaOptions;
  /** The configuration that the host had stored when the replica was opened. */
  #confState: ConfState;

  constructor(id: ReplicaId, options: ReplicaOptions = {}) {
    this.id = id;
    this.#options = options;
    this.#confState = confStateOf(options.voters ?? [1, 2, 3], options.learners);
    this.storage = new MemoryStorage(this.#confState);
    const entries = entriesOf(options.terms ?? []);
    const term = options.terms?.at(-1) ?? 0;
    this.storage.append(entries);
    this.storage.setHardState({ term, vote: 0, commit: 0, ...options.hardState });
    this.node = this.#open(options.applied, options.restarted ?? false);
  }

  get term(): number {
    return this.node.basicStatus().hardState.term;
  }

  get vote(): ReplicaId {
    return this.node.basicStatus().hardState.vote;
  }

  get commit(): number {
    return this.node.basicStatus().hardState.commit;
  }

  get role(): Role {
    return this.node.basicStatus().softState.role;
  }

  get lead(): ReplicaId {
    return this.node.basicStatus().softState.lead;
  }

  get voters(): readonly ReplicaId[] {
    return this.node.confState.voters;
  }

  get isLeader(): boolean {
    return this.role === 'StateLeader';
  }

  /** The durable log. */
  get log(): readonly Entry[] {
    const { storage } = this;
    return storage.entries(storage.firstIndex(), storage.lastIndex() + 1, Number.MAX_SAFE_INTEGER);
  }

  get logIds(): string[] {
    return idsOf(this.log);
  }

  /** The data of the entries that were handed out to be applied, without the no-ops. */
  get appliedTexts(): string[] {
    return this.committed.map((each) => Buffer.from(each.data).toString()).filter(Boolean);
  }

  step(type: MessageType, from: ReplicaId, term: number, body?: MessageBody): StepResult {
    return this.node.step(message(type, from, this.id, term, body));
  }

  tick(count = 1): void {
    for (let done = 0; done < count; done += 1) this.node.tick();
  }

  propose(text: string): ReturnType<RawNode['propose']> {
    return this.node.propose(Buffer.from(text));
  }

  proposeChange(...words: Parameters<typeof change>): ReturnType<RawNode['proposeConfChange']> {
    return this.node.proposeConfChange(change(...words));
  }

  /** Keeps a snapshot of what is applied, and drops the log up to there but for `trailing`. */
  compact(trailing = 0): void {
    const { applied, confState } = this.node.basicStatus();
    this.storage.createSnapshot(applied, confState, new Uint8Array());
    this.storage.compact(applied - trailing);
  }

  /** Ticks until an election begins; returns how many it took. */
  tickUntilCampaign(): number {
    const term = this.term;
    for (let ticks = 1; ticks <= 4 * ELECTION_TICKS; ticks += 1) {
      this.tick();
      if (this.term > term || this.role === 'StatePreCandidate') return ticks;
    }
    throw new Error(`replica ${this.id} did not campaign`);
  }

  /** Takes a Ready and notes what it hands out, without making it durable or applying anything. */
  handOut(): Ready {
    const ready = this.node.ready();
    this.committed.push(...ready.committed);
    this.reads.push(...ready.readStates);
    this.aborted.push(...ready.readsAborted);
    return ready;
  }

  /** The state machine applies an entry. Returns the configuration behind one that changes it. */
  enforce({ type, data }: Entry): ConfState | undefined {
    if (type === 'EntryNormal') return undefined;
    return this.node.applyConfChange(decodeConfChange(data));
  }

  /** Makes a Ready durable. Returns what may be sent now. */
  persist(ready: Ready): readonly Message[] {
    if (ready.hardState !== undefined) this.storage.setHardState(ready.hardState);
    if (ready.snapshot !== undefined) this.storage.applySnapshot(ready.snapshot);
    this.storage.append(ready.entries);
    this.node.persisted(ready);
    return ready.messagesAfterPersist;
  }

  /** Takes a Ready, notes and applies what it hands out, without making it durable. */
  take(): Ready {
    const ready = this.handOut();
    for (const each of ready.committed) this.enforce(each);
    return ready;
  }

  /** Makes durable what `take` returned, and tells that it is applied. */
  finish(ready: Ready): readonly Message[] {
    const sent = this.persist(ready);
    const last = ready.committed.at(-1);
    if (last !== undefined) this.node.applied(last.index);
    return sent;
  }

  /** Does all that there is to do. Returns what was sent, in order. */
  flush(): Message[] {
    const sent: Message[] = [];
    while (this.node.hasReady()) {
      const ready = this.take();
      sent.push(...ready.messages, ...this.finish(ready));
    }
    return sent;
  }

  /**
   * Stops at once: what was not durable is gone. The state machine begins anew at `applied`, where
   * the configuration was `confState`: by default at the beginning, with the first one.
   */
  restart(applied = 0, confState = this.storage.initialState().confState): void {
    this.committed.length = 0;
    this.#confState = confState;
    this.node = this.#open(applied, true);
  }

  #open(applied: number | undefined, restarted: boolean): RawNode {
    const { storage } = this;
    const confState = this.#confState;
    const reader: LogReader = {
      initialState: () => ({ hardState: storage.initialState().hardState, confState }),
      entries: (low, high, maxSizeBytes) => storage.entries(low, high, maxSizeBytes),
      term: (index) => storage.term(index),
      firstIndex: () => storage.firstIndex(),
      lastIndex: () => storage.lastIndex(),
      snapshot: () => storage.snapshot(),
    };
    const { voters: _, learners: __, terms: ___, hardState: ____, ...config } = this.#options;
    return new RawNode({
      electionTicks: ELECTION_TICKS,
      heartbeatTicks: HEARTBEAT_TICKS,
      random: seededRandom(this.id),
      ...config,
      ...(applied !== undefined && { applied }),
      restarted,
      id: this.id,
      storage: reader,
    });
  }
}

/** As in the paper: without pre-vote and check-quorum. */
export function paperReplica(id: ReplicaId, options: ReplicaOptions = {}): TestReplica {
  return new TestReplica(id, { preVote: false, checkQuorum: false, ...options });
}

/** Lets replica 1 win an election with all votes; its no-op is durable, and nothing answered. */
export function leaderOf(voters: readonly ReplicaId[], options: ReplicaOptions = {}): TestReplica {
  const replica = paperReplica(1, { voters, ...options });
  replica.node.campaign();
  replica.flush();
  for (const id of voters) if (id !== 1) replica.step('MsgVoteResp', id, replica.term);
  return replica;
}
