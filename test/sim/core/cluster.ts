import { describeMessage } from '../../../src/raft/describe.js';
import type { ConfState, LeaseConfig, Message, Snapshot } from '../../../src/raft/types.js';
import { defined } from '../../../src/shared/assert.js';
import type { World } from '../kit/world.js';
import { Machine } from './machine.js';
import { MessageNetwork } from './message-network.js';
import { type Observer, Observers } from './observer.js';
import type { ReplicaContext, Seen } from './replica-context.js';
import { ELECTION_TIMEOUT_MS, SimReplica } from './sim-replica.js';
import type { StateImage } from './state-image.js';
import type { Swarm } from './swarm.js';

const DRIFT_ASSUMED = 0.05;

/** What a replica begins with that joins later: the group tells it the rest. */
export const NO_CONFIGURATION: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export interface ClusterOptions {
  /** Keep what clients saw of a few keys. */
  readonly recordsHistory: boolean;
  /** Told of every message that arrives. */
  readonly log: ((line: string) => void) | undefined;
}

/** The replicas of one group on their machines, with the network between them. */
export class CoreCluster implements ReplicaContext {
  readonly world: World;
  readonly swarm: Swarm;
  readonly network: MessageNetwork;
  readonly observers: Observers;
  readonly machines: readonly Machine[];
  readonly leases: LeaseConfig | undefined;
  readonly recordsHistory: boolean;
  readonly seen: Seen = {
    crashes: 0,
    wipes: 0,
    pauses: 0,
    partitions: 0,
    compactions: 0,
    installs: 0,
    transfers: 0,
    acknowledged: 0,
    reads: 0,
    unknown: 0,
  };
  /** How slow all disks are. */
  disk: Swarm['disk'];
  readonly #log: ((line: string) => void) | undefined;
  readonly #replicas = new Map<number, SimReplica>();
  #living: readonly SimReplica[] = [];
  /** What a snapshot's few bytes stand for; the product keeps files beside the messages. */
  readonly #images = new WeakMap<Uint8Array, StateImage>();

  constructor(world: World, swarm: Swarm, observers: readonly Observer[], options: ClusterOptions) {
    this.world = world;
    this.swarm = swarm;
    this.disk = swarm.disk;
    this.observers = new Observers(observers);
    this.recordsHistory = options.recordsHistory;
    this.#log = options.log;
    this.leases = swarm.leases
      ? {
          durationMs: 0.75 * ELECTION_TIMEOUT_MS,
          promiseMs: ELECTION_TIMEOUT_MS,
          driftFraction: DRIFT_ASSUMED,
        }
      : undefined;
    this.network = new MessageNetwork(world, swarm.network, (machine, message) =>
      this.#receive(machine, message),
    );
    this.machines = Array.from(
      { length: swarm.machines },
      (_, index) => new Machine(world, index, swarm.driftFraction),
    );
    const voters = Array.from({ length: swarm.voters }, (_, at) => at + 1);
    const genesis = { ...NO_CONFIGURATION, voters };
    for (const id of voters)
      this.#add(defined(this.machines[id - 1], 'a machine'), genesis).start();
  }

  /** All that are not destroyed, by ascending id. */
  get replicas(): readonly SimReplica[] {
    return this.#living;
  }

  get freeMachines(): readonly Machine[] {
    const taken = new Set(this.#living.map((replica) => replica.computer));
    return this.machines.filter((machine) => !taken.has(machine));
  }

  /** The replica, destroyed or not. */
  replica(id: number): SimReplica | undefined {
    return this.#replicas.get(id);
  }

  /** A new replica under an id that was never used (M8). It knows nothing yet. Not started. */
  addReplica(machine: Machine): SimReplica {
    return this.#add(machine, NO_CONFIGURATION);
  }

  #add(machine: Machine, configuration: ConfState): SimReplica {
    const replica = new SimReplica(this, this.#replicas.size + 1, machine, configuration);
    this.#replicas.set(replica.id, replica);
    this.#living = [...this.#living, replica];
    return replica;
  }

  destroy(replica: SimReplica): void {
    replica.destroy();
    this.#living = this.#living.filter((each) => each !== replica);
  }

  /** The leader of the highest term that somebody leads, if any. */
  leader(): SimReplica | undefined {
    let found: { readonly replica: SimReplica; readonly term: number } | undefined;
    for (const replica of this.#living) {
      const status = replica.node?.basicStatus();
      if (status?.softState.role !== 'StateLeader') continue;
      const { term } = status.hardState;
      if (found === undefined || term > found.term) found = { replica, term };
    }
    return found?.replica;
  }

  send(from: SimReplica, message: Message): void {
    const to = this.#replicas.get(message.to);
    if (to === undefined || to.isDestroyed) return;
    this.network.send(from.computer.index, to.computer.index, message);
  }

  deliverSnapshot(from: SimReplica, message: Message): boolean {
    const to = this.#replicas.get(message.to);
    if (to === undefined || !to.isRunning) return false;
    const isCut = this.network.isCut(from.computer.index, to.computer.index);
    if (isCut && this.network.faultsOn) return false;
    this.#trace(message);
    to.receive(message);
    return true;
  }

  snapshotOf(image: StateImage): Snapshot {
    const { machine, configuration } = image;
    const data = new Uint8Array(1);
    this.#images.set(data, image);
    const meta = {
      index: machine.applied,
      term: machine.appliedTerm,
      confState: configuration.confState,
    };
    return { meta, data };
  }

  imageOf(snapshot: Snapshot): StateImage {
    return defined(this.#images.get(snapshot.data), 'the image of a snapshot');
  }

  #receive(machine: number, message: Message): void {
    const to = this.#replicas.get(message.to);
    if (to === undefined || to.computer.index !== machine || to.isDestroyed) return;
    this.#trace(message);
    to.receive(message);
  }

  #trace(message: Message): void {
    const { trace, nowMs } = this.world;
    trace.addNumber(nowMs);
    trace.addText(message.type);
    trace.addNumber(message.from * 1_000 + message.to);
    trace.addNumber(message.term);
    trace.addNumber(message.index);
    trace.addNumber(message.entries.length);
    trace.addNumber(message.commit);
    this.#log?.(`${nowMs.toFixed(1)} ${describeMessage(message)}`);
  }
}
