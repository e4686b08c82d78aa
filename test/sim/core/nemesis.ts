import { type Cut, drawPartition, PARTITION_SHAPES } from '../kit/partitions.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Clients } from './clients.js';
import type { CoreCluster } from './cluster.js';
import type { Membership } from './membership.js';
import { ELECTION_TIMEOUT_MS, type SimReplica } from './sim-replica.js';
import type { Swarm } from './swarm.js';

const REAP_EVERY_MS = 3_000;
/** How long a disk that is to be lost waits for a change of the members. */
const WATCH_MS = 10_000;
const WATCH_EVERY_MS = 25;
/** How long a follower's state machine is slow, and when it is away meanwhile. */
const SLOW_MS = 10_000;
const AWAY_FROM_MS = 1_500;
const AWAY_UNTIL_MS = 4_000;
const JOINT_EVERY_MS = 100;
const HEALTHY_DISK: Swarm['disk'] = { syncMaxMs: 5, applyMaxMs: 5 };

/** Everything that goes wrong, or that operators do, at the rates of the run's parameters. */
export class Nemesis {
  readonly #cluster: CoreCluster;
  readonly #membership: Membership;
  readonly #clients: Clients;
  readonly #random: SimRandom;
  #isOver = false;

  constructor(cluster: CoreCluster, membership: Membership, clients: Clients) {
    this.#cluster = cluster;
    this.#membership = membership;
    this.#clients = clients;
    this.#random = cluster.world.fork('nemesis');
  }

  start(): void {
    const { network, process, workload, admin } = this.#cluster.swarm;
    this.#every(network.partitionEveryMs, () => this.#partition());
    this.#every(network.clogEveryMs, () => this.#clog());
    this.#every(process.crashEveryMs, () => this.#crash());
    this.#every(process.pauseEveryMs, () => this.#pause());
    this.#every(process.wipeEveryMs, () => this.#wipe());
    this.#every(workload.quietEveryMs, () => this.#quiet());
    this.#every(admin.changeEveryMs, () => this.#membership.change());
    this.#every(admin.transferEveryMs, () => this.#transfer());
    this.#every(admin.campaignEveryMs, () => this.#running()?.act((node) => node.campaign()));
    this.#every(admin.deposeEveryMs, () => this.#depose());
    this.#every(admin.compactEveryMs, () => this.#running()?.compact(admin.trailingEntries));
    this.#every(admin.strandEveryMs, () => this.#strand());
    this.#every(REAP_EVERY_MS, () => this.#membership.reap());
  }

  /** All is well from now on: links are whole, everyone runs, nothing new goes wrong. */
  stop(): void {
    this.#isOver = true;
    this.#cluster.disk = HEALTHY_DISK;
    this.#cluster.network.faultsOn = false;
    this.#cluster.network.heal();
    for (const machine of this.#cluster.machines) machine.resume();
    for (const replica of this.#cluster.replicas) if (!replica.isRunning) replica.start();
  }

  #every(meanMs: number, act: () => void): void {
    if (meanMs === 0) return;
    this.#cluster.world.schedule(this.#random.exponential(meanMs), () => {
      if (this.#isOver) return;
      act();
      this.#every(meanMs, act);
    });
  }

  #later(delayMs: number, act: () => void): void {
    this.#cluster.world.schedule(delayMs, () => {
      if (!this.#isOver) act();
    });
  }

  #running(): SimReplica | undefined {
    const running = this.#cluster.replicas.filter(({ isRunning }) => isRunning);
    return running.length === 0 ? undefined : this.#random.pick(running);
  }

  /** The leader half of the time: that is where it hurts. */
  #victim(): SimReplica | undefined {
    const leader = this.#random.chance(0.5) ? this.#cluster.leader() : undefined;
    return leader ?? this.#running();
  }

  #crash(): void {
    const { process } = this.#cluster.swarm;
    if (this.#random.chance(process.crashAllProbability)) this.#crashAll();
    else this.#crashOne(this.#victim());
  }

  #crashAll(): void {
    for (const replica of this.#cluster.replicas) this.#crashOne(replica);
  }

  #crashOne(replica: SimReplica | undefined): void {
    if (replica?.isRunning !== true) return;
    this.#cluster.seen.crashes += 1;
    replica.crash();
    this.#later(this.#random.exponential(this.#cluster.swarm.process.outageMeanMs), () => {
      if (!replica.isRunning && !replica.isDestroyed) replica.start();
    });
  }

  /**
   * Half of the time right after a change of the members, and after a loss of power: what some have
   * not heard of yet is known to few then, and after that only to those who have synced it (M12).
   */
  #wipe(): void {
    const { seen } = this.#cluster;
    if (this.#random.chance(0.5)) {
      if (this.#membership.wipe()) seen.wipes += 1;
      return;
    }
    const untilMs = this.#cluster.world.nowMs + WATCH_MS;
    this.#watch(this.#membership.latestIndex, untilMs);
    this.#membership.shrink();
  }

  #watch(knownIndex: number, untilMs: number): void {
    this.#later(WATCH_EVERY_MS, () => {
      if (this.#cluster.world.nowMs > untilMs) return;
      if (this.#membership.latestIndex === knownIndex || !this.#membership.wipe('early')) {
        this.#watch(knownIndex, untilMs);
        return;
      }
      this.#cluster.seen.wipes += 1;
      this.#membership.reap();
      this.#crashAll();
    });
  }

  #pause(): void {
    const machine = this.#victim()?.computer;
    if (machine === undefined || machine.isPaused) return;
    this.#cluster.seen.pauses += 1;
    machine.pause();
    this.#later(this.#random.exponential(this.#cluster.swarm.process.pauseMeanMs), () =>
      machine.resume(),
    );
  }

  #partition(): void {
    const { network, machines, swarm, seen } = this.#cluster;
    seen.partitions += 1;
    network.heal();
    const hosts = machines.map((machine) => machine.index);
    network.cut(drawPartition(this.#random, hosts, this.#random.pick(PARTITION_SHAPES)));
    this.#later(this.#random.between(500, swarm.network.partitionMaxMs), () => network.heal());
  }

  /**
   * The others take the leader for dead while it lives and serves (S-28): what it sends, hears, or
   * both, is late or lost, and they elect another one soon. Sometimes they restart just before, so
   * that they have forgotten what they promised (S-29).
   */
  #depose(): void {
    const leader = this.#cluster.leader();
    if (leader === undefined) return;
    this.#cutOff(leader);
    const others = this.#cluster.replicas.filter((replica) => replica !== leader);
    const restarts = this.#random.chance(0.4);
    for (const replica of others) {
      if (!restarts || !replica.isRunning || this.#random.chance(0.3)) continue;
      replica.crash();
      replica.start();
    }
    this.#later(this.#random.exponential(250), () => {
      for (const replica of others) replica.act((node) => node.suspectLeader());
      if (others.length > 0) this.#random.pick(others).act((node) => node.campaign());
    });
  }

  /**
   * A follower with a slow state machine is away for longer than the log is kept, amid changes of
   * the configuration: the snapshot that it gets holds some that it is still applying (P4).
   */
  #strand(): void {
    const { network } = this.#cluster;
    const leader = this.#cluster.leader();
    const voters = leader?.node?.confState.voters ?? [];
    const others = voters.filter((id) => id !== leader?.id);
    if (others.length < 2) return;
    const follower = this.#cluster.replica(this.#random.pick(others));
    if (follower === undefined) return;
    follower.slowDown(SLOW_MS);
    for (let atMs = 0; atMs < AWAY_UNTIL_MS; atMs += JOINT_EVERY_MS) {
      this.#later(atMs, () => this.#membership.enterOrLeaveJoint());
    }
    this.#later(AWAY_FROM_MS, () => network.cut(this.#allLinksOf(follower)));
    this.#later(AWAY_UNTIL_MS - JOINT_EVERY_MS, () => this.#cluster.leader()?.compact(0));
    this.#later(AWAY_UNTIL_MS, () => network.heal());
  }

  #allLinksOf({ computer: { index } }: SimReplica): readonly Cut<number>[] {
    const others = this.#cluster.machines.filter((machine) => machine.index !== index);
    return others.flatMap((other): Cut<number>[] => [
      [index, other.index],
      [other.index, index],
    ]);
  }

  #cutOff({ computer: { index } }: SimReplica): void {
    const { network, machines } = this.#cluster;
    const others = machines.filter((machine) => machine.index !== index);
    const out = others.map((other): Cut<number> => [index, other.index]);
    const back = others.map((other): Cut<number> => [other.index, index]);
    const directions = this.#random.pick([[...out, ...back], out, back, back]);
    const durationMs = this.#random.between(500, 2_000);
    if (this.#random.chance(0.4)) {
      network.cut(directions);
      this.#later(durationMs, () => network.heal());
    } else {
      for (const [from, to] of directions) network.clog(from, to, durationMs);
    }
  }

  #clog(): void {
    const { network, machines, swarm } = this.#cluster;
    const [from, to] = this.#random.shuffled(machines);
    if (from === undefined || to === undefined) return;
    network.clog(from.index, to.index, this.#random.between(0, swarm.network.clogMaxMs));
  }

  #quiet(): void {
    this.#clients.isQuiet = true;
    this.#later(this.#random.exponential(this.#cluster.swarm.workload.quietMeanMs), () => {
      this.#clients.isQuiet = false;
    });
  }

  #transfer(): void {
    const target = this.#running();
    const asked = this.#random.chance(0.7) ? this.#cluster.leader() : this.#running();
    if (target === undefined) return;
    if (asked === undefined) return;
    const isOrderLate = this.#random.chance(0.4);
    if (isOrderLate) this.#delayOrder(asked, target);
    asked.act((node) => {
      if (node.transferLeader(target.id) === 'started') this.#cluster.seen.transfers += 1;
    });
  }

  /** The order to campaign arrives when the transfer is long over, and nobody tells the leader. */
  #delayOrder({ computer: from }: SimReplica, { computer: to }: SimReplica): void {
    const { network, machines } = this.#cluster;
    const delayMs = this.#random.between(1, 2) * ELECTION_TIMEOUT_MS;
    network.delayOrders(from.index, to.index, delayMs);
    this.#later(delayMs - this.#random.exponential(50), () => {
      network.delayOrders(from.index, to.index, 0);
      for (const { index } of machines) {
        if (index !== from.index) network.clog(index, from.index, this.#random.between(0, 1_000));
      }
    });
  }
}
