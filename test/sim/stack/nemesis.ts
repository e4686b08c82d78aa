/** Goal: make things go wrong, and right again. Method: carries out the faults of the seed. */
import { unreachable } from '../../../src/shared/assert.js';
import { TOPOLOGY_GROUP_ID } from '../../../src/topology/document.js';
import { drawPartition } from '../kit/partitions.js';
import type { SimNetwork } from '../kit/sim-network.js';
import type { World } from '../kit/world.js';
import { type DamageKind, damageDisk } from './damage.js';
import { drawFault, type Fault, type FaultProfile, type Target } from './faults.js';
import { GRAPH_PATHS, GraphDamage } from './graph-damage.js';
import type { Machine } from './machine.js';
import type { StaleTopology } from './stale-topology.js';
import type { StackWatch } from './watch.js';

export interface NemesisOptions {
  readonly world: World;
  readonly network: SimNetwork;
  readonly machines: readonly Machine[];
  readonly profile: FaultProfile;
  /** Groups of the cluster, the topology's included. */
  readonly groups: number;
  readonly watch: StackWatch;
  readonly staleTopology: StaleTopology;
  /** Begins a change of the topology. */
  readonly changeTopology: () => void;
  /** Faults that are left out, by index; everything else stays as it is. */
  readonly without: ReadonlySet<number>;
}

/** A fault that was carried out, for the report. */
export interface FaultRecord {
  readonly index: number;
  readonly atMs: number;
  readonly fault: Fault;
}

const STOP_LIMIT_MS = 8_000;
const SLOW_DISK_FACTOR = 20;

export class Nemesis {
  readonly #options: NemesisOptions;
  readonly records: FaultRecord[] = [];
  /** How often a damage of which kind was really done. */
  readonly damages: Record<DamageKind, number> = { flip: 0, keys: 0, batches: 0 };
  readonly graphDamage = new GraphDamage();
  /** The only machine whose disk is damaged: more could be more than a group can bear. */
  #damaged: Machine | undefined;
  /** Counts the nodes that were kept from the topology. */
  #staleTurn = 0;
  #isOver = false;
  #next = 0;

  constructor(options: NemesisOptions) {
    this.#options = options;
  }

  /** Begins; each fault is followed by the next one until `end`. */
  start(): void {
    const { world, profile, machines, groups, without } = this.#options;
    const index = this.#next++;
    const random = world.fork(`fault ${index}`);
    const { afterMs, fault } = drawFault(random, profile, { nodes: machines.length, groups });
    world.schedule(afterMs, () => {
      if (this.#isOver) return;
      if (!without.has(index)) {
        this.records.push({ index, atMs: world.nowMs, fault });
        this.#carryOut(fault, index);
      }
      this.start();
    });
  }

  /** No more faults, and everything heals. Nodes that are down start. */
  end(): void {
    this.#isOver = true;
    const { machines, network, staleTopology } = this.#options;
    network.faultsOn = false;
    network.heal();
    staleTopology.end();
    // Nodes learn of each other's clocks when they greet: clocks that are set right come with
    // new links.
    for (const [at, one] of machines.entries()) {
      for (const other of machines.slice(at + 1)) network.breakLinks(one.host, other.host);
    }
    for (const machine of machines) {
      machine.disk.isFull = false;
      machine.disk.slowness = 1;
      machine.disk.failNone();
      machine.mendWall();
      machine.process?.environment.resume();
      machine.start();
    }
  }

  #carryOut(fault: Fault, index: number): void {
    const { machines, network } = this.#options;
    switch (fault.kind) {
      case 'crash':
        this.#crash(fault);
        break;
      case 'crash-all':
        for (const machine of machines) machine.crash('machine');
        this.#later(fault.durationMs, () => {
          for (const machine of machines) machine.start();
        });
        break;
      case 'stop':
        void this.#stop(fault);
        break;
      case 'pause':
        this.#pause(fault);
        break;
      case 'partition':
        this.#partition(fault, index);
        break;
      case 'reset':
        this.#toOthers(fault.target, (host, other) => network.breakLinks(host, other));
        break;
      case 'stall':
        this.#toOthers(fault.target, (host, other) => network.stall(host, other, fault.durationMs));
        break;
      case 'slow-disk':
      case 'full-disk':
        this.#troubleDisk(fault);
        break;
      case 'wall-jump':
        this.#machine(fault.target).jumpWall(fault.byMs);
        break;
      case 'io-error':
        this.#machine(fault.target).disk.failNext(fault.operation);
        break;
      case 'graph-error':
        this.#machine(fault.target).disk.failNext(fault.operation, GRAPH_PATHS);
        break;
      case 'graph-damage':
        void this.#damageGraph(fault, index);
        break;
      case 'damage':
        void this.#damage(fault, index);
        break;
      case 'stale-topology':
        this.#keepStale(fault);
        break;
      default:
        unreachable(fault);
    }
  }

  #crash({ target, how, durationMs }: Extract<Fault, { kind: 'crash' }>): void {
    const machine = this.#machine(target);
    machine.crash(how === 'silent' ? 'machine' : 'process');
    this.#later(durationMs, () => machine.start());
  }

  async #stop({ target, durationMs }: Extract<Fault, { kind: 'stop' }>): Promise<void> {
    const machine = this.#machine(target);
    await machine.stop(STOP_LIMIT_MS);
    this.#later(durationMs, () => machine.start());
  }

  #pause({ target, durationMs }: Extract<Fault, { kind: 'pause' }>): void {
    const process = this.#machine(target).process;
    process?.environment.pause();
    this.#later(durationMs, () => process?.environment.resume());
  }

  #troubleDisk(fault: Extract<Fault, { kind: 'slow-disk' | 'full-disk' }>): void {
    const { disk } = this.#machine(fault.target);
    if (fault.kind === 'full-disk') disk.isFull = true;
    else disk.slowness = SLOW_DISK_FACTOR;
    this.#later(fault.durationMs, () => {
      if (fault.kind === 'full-disk') disk.isFull = false;
      else disk.slowness = 1;
    });
  }

  /** Who leads the topology knows it. Something changes meanwhile, or the table would be right. */
  #keepStale({ target, durationMs }: Extract<Fault, { kind: 'stale-topology' }>): void {
    const { staleTopology, machines, watch, changeTopology } = this.#options;
    const { nodeId } = this.#machine(target);
    const leader = watch.leaderOf(TOPOLOGY_GROUP_ID);
    const others = machines.filter((machine) => machine.nodeId !== leader);
    const stale = others.find((machine) => machine.nodeId >= nodeId) ?? others[0];
    if (stale === undefined) return;
    const turn = ++this.#staleTurn;
    staleTopology.begin(stale.host);
    changeTopology();
    this.#later(durationMs, () => {
      if (this.#staleTurn === turn) staleTopology.end();
    });
  }

  async #damage(fault: Extract<Fault, { kind: 'damage' }>, index: number): Promise<void> {
    const { world, watch } = this.#options;
    this.#damaged ??= this.#machine(fault.target);
    const machine = this.#damaged;
    machine.crash('process');
    this.#later(fault.durationMs, () => machine.start());
    // Done in this turn: nothing here waits for anything but the promises of the memory twin.
    const done = await damageDisk(machine.disk, fault, world.fork(`damage ${index}`));
    if (done === undefined) return;
    this.damages[fault.how]++;
    watch.damaged(machine.nodeId, done.groups);
  }

  /** On any machine: graphs are made of what the machine has besides. */
  async #damageGraph(
    fault: Extract<Fault, { kind: 'graph-damage' }>,
    index: number,
  ): Promise<void> {
    const machine = this.#machine(fault.target);
    machine.crash('process');
    this.#later(fault.durationMs, () => machine.start());
    const random = this.#options.world.fork(`graph damage ${index}`);
    await this.graphDamage.damage(machine.disk, fault.how, random);
  }

  #partition(fault: Extract<Fault, { kind: 'partition' }>, index: number): void {
    const { network, machines, world } = this.#options;
    const hosts = machines.map((machine) => machine.host);
    const cuts = drawPartition(world.fork(`partition ${index}`), hosts, fault.shape);
    for (const [from, to] of cuts) network.cut(from, to, fault.mode);
    this.#later(fault.durationMs, () => network.heal());
  }

  #toOthers(target: Target, act: (host: string, other: string) => void): void {
    const { host } = this.#machine(target);
    for (const other of this.#options.machines) if (other.host !== host) act(host, other.host);
  }

  #machine({ leaderOf, nodeId }: Target): Machine {
    const { machines, watch } = this.#options;
    const wanted = leaderOf === undefined ? nodeId : (watch.leaderOf(leaderOf) ?? nodeId);
    return machines.find((machine) => machine.nodeId === wanted) ?? (machines[0] as Machine);
  }

  /** What ends a fault is not waited for when the run heals everything at once. */
  #later(delayMs: number, task: () => void): void {
    this.#options.world.schedule(delayMs, () => {
      if (!this.#isOver) task();
    });
  }
}
