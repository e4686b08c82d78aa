import type { Message, ReplicaId } from '../../src/raft/types.js';
import { type ReplicaOptions, TestReplica } from './replica.js';

type Filter = (message: Message) => boolean;

/** Replicas with links that can be cut, filtered and held back. Nothing happens by itself. */
export class Network {
  readonly replicas: readonly TestReplica[];
  /** On their way, oldest first. */
  readonly queue: Message[] = [];
  /** Taken out of the queue by `hold`, in order. */
  readonly held: Message[] = [];
  readonly #cut = new Set<string>();
  #drop: Filter = () => false;
  #hold: Filter = () => false;

  constructor(replicas: readonly TestReplica[]) {
    this.replicas = replicas;
  }

  /** Voters 1 to `size` with equal options. */
  static of(size: number, options: ReplicaOptions = {}): Network {
    const voters = Array.from({ length: size }, (_, position) => position + 1);
    return new Network(voters.map((id) => new TestReplica(id, { voters, ...options })));
  }

  /** Replica 1 of the voters leads; the ids after them are replicas that know nothing. */
  static withStrangers(voters: number, strangers: number, options: ReplicaOptions = {}): Network {
    const inside = Network.of(voters, options).replicas;
    const outside = Array.from({ length: strangers }, (_, position) => {
      return new TestReplica(voters + position + 1, { ...options, voters: [] });
    });
    const network = new Network([...inside, ...outside]);
    network.replica(1).node.campaign();
    network.settle();
    return network;
  }

  /** Replica 1 leads, and everyone has applied its no-op. */
  static withLeader(size: number, options: ReplicaOptions = {}): Network {
    const network = Network.of(size, options);
    network.replica(1).node.campaign();
    network.settle();
    return network;
  }

  replica(id: ReplicaId): TestReplica {
    const found = this.replicas.find((replica) => replica.id === id);
    if (found === undefined) throw new Error(`no replica ${id}`);
    return found;
  }

  get leaders(): readonly TestReplica[] {
    return this.replicas.filter((replica) => replica.isLeader);
  }

  /** The leader of the highest term. */
  get leader(): TestReplica {
    const [leader] = [...this.leaders].sort((a, b) => b.term - a.term);
    if (leader === undefined) throw new Error('there is no leader');
    return leader;
  }

  /** Cuts the link in both directions. */
  cut(a: ReplicaId, b: ReplicaId): void {
    this.#cut.add(`${a}-${b}`).add(`${b}-${a}`);
  }

  /** Cuts the link in one direction. */
  cutOneWay(from: ReplicaId, to: ReplicaId): void {
    this.#cut.add(`${from}-${to}`);
  }

  isolate(id: ReplicaId): void {
    for (const other of this.replicas) if (other.id !== id) this.cut(id, other.id);
  }

  heal(): void {
    this.#cut.clear();
    this.#drop = () => false;
    this.#hold = () => false;
  }

  drop(filter: Filter): void {
    this.#drop = filter;
  }

  /** Keeps the messages that match apart, until they are delivered by hand. */
  hold(filter: Filter): void {
    this.#hold = filter;
  }

  /** Puts the work of all replicas into the queue. Returns whether there was any. */
  flush(): boolean {
    let worked = false;
    for (const replica of this.replicas) {
      if (!replica.node.hasReady()) continue;
      worked = true;
      this.queue.push(...replica.flush());
    }
    return worked;
  }

  /** Delivers, works and delivers again until nothing happens any more. */
  settle(): void {
    for (let rounds = 0; this.flush() || this.queue.length > 0; rounds += 1) {
      if (rounds > 10_000) throw new Error('the network does not settle');
      for (const message of this.queue.splice(0)) this.#deliver(message);
    }
  }

  /** Delivers what was held back, to whom it may reach now. */
  release(): void {
    this.#hold = () => false;
    for (const message of this.held.splice(0)) this.#deliver(message);
    this.settle();
  }

  /** One tick of all replicas, or of these, with everything that follows from it. */
  tick(count = 1, ids: readonly ReplicaId[] = this.replicas.map((each) => each.id)): void {
    for (let done = 0; done < count; done += 1) {
      for (const id of ids) this.replica(id).tick();
      this.settle();
    }
  }

  /** Ticks until `condition` holds, at most `limit` times; returns how many it took. */
  tickUntil(condition: () => boolean, limit: number): number {
    for (let ticks = 0; ticks <= limit; ticks += 1) {
      if (condition()) return ticks;
      this.tick();
    }
    throw new Error(`the condition does not hold after ${limit} ticks`);
  }

  #deliver(message: Message): void {
    if (this.#cut.has(`${message.from}-${message.to}`) || this.#drop(message)) return;
    if (this.#hold(message)) {
      this.held.push(message);
      return;
    }
    // A group may know replicas that do not run.
    this.replicas.find((replica) => replica.id === message.to)?.node.step(message);
  }
}
