import type { Disk, Environment } from '../../../src/shared/environment.js';
import { SimClock, type SimClockOptions } from './sim-clock.js';
import type { CrashKind, SimDisk } from './sim-disk.js';
import type { SimHost, SimNetwork } from './sim-network.js';
import type { SimRandom } from './sim-random.js';
import type { World } from './world.js';

export interface SimProcessParts {
  readonly world: World;
  readonly network: SimNetwork;
  /** The machine's disk, which outlives the process. */
  readonly disk: SimDisk;
  /** The machine's name in the network. */
  readonly host: string;
  /** Counts the processes of the machine: each has its own randomness. */
  readonly incarnation: number;
  readonly clock?: SimClockOptions;
}

/**
 * The `Environment` of one simulated process. The next process of the same machine gets a new one,
 * over the same disk.
 */
export class SimEnvironment implements Environment {
  readonly clock: SimClock;
  readonly scheduler: SimClock;
  readonly random: SimRandom;
  readonly disk: Disk;
  readonly network: SimHost;
  readonly #machineDisk: SimDisk;

  constructor(parts: SimProcessParts) {
    const { world, network, disk, host, incarnation } = parts;
    this.clock = new SimClock(world, parts.clock);
    this.scheduler = this.clock;
    this.random = world.fork(`process ${host}/${incarnation}`);
    this.disk = disk.view(this.clock);
    this.network = network.host(host, this.clock);
    this.#machineDisk = disk;
  }

  /** SIGSTOP: nothing of the process happens, its clocks go on. */
  pause(): void {
    this.clock.pause();
  }

  /** SIGCONT. */
  resume(): void {
    this.clock.resume();
  }

  /**
   * kill -9, or the loss of the whole machine. Nothing of this process ever happens again, its
   * promises never settle. With 'machine', the others are not told that it is gone.
   */
  crash(kind: CrashKind): void {
    this.clock.stop();
    this.#machineDisk.crash(kind);
    this.network.end(kind === 'process' ? 'reset' : 'silent');
  }
}
