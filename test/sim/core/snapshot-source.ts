import type { Message, Snapshot } from '../../../src/raft/types.js';
import type { Machine } from './machine.js';
import type { ReplicaContext } from './replica-context.js';
import type { SimReplica } from './sim-replica.js';
import type { StateImage } from './state-image.js';

const MAKE_MAX_MS = 500;
const TRANSFER_MEAN_MS = 300;
const FAILURE_PROBABILITY = 0.15;

/**
 * Snapshots of one process: made on demand while the core asks again and again (P1), sent beside
 * the stream of messages, each with a report at the end (P2).
 */
export class SnapshotSource {
  readonly #context: ReplicaContext;
  readonly #computer: Machine;
  readonly #image: () => StateImage | undefined;
  #ready: Snapshot | undefined;
  #isMaking = false;
  /** Indexes of snapshots that are being sent: the log behind them has to stay (S9). */
  readonly #inUse: number[] = [];

  constructor(context: ReplicaContext, computer: Machine, image: () => StateImage | undefined) {
    this.#context = context;
    this.#computer = computer;
    this.#image = image;
  }

  /** The log has to be kept from here on. */
  get oldestInUse(): number {
    return Math.min(Number.MAX_SAFE_INTEGER, ...this.#inUse);
  }

  /** The last snapshot, if the log goes on behind it; else undefined, and one is being made. */
  take(
    firstIndex: number,
    after: (delayMs: number, work: () => void) => void,
  ): Snapshot | undefined {
    const ready = this.#ready;
    if (ready !== undefined && ready.meta.index >= firstIndex - 1) return ready;
    if (this.#isMaking) return undefined;
    this.#isMaking = true;
    after(this.#computer.random.between(0, MAKE_MAX_MS), () => {
      this.#isMaking = false;
      const image = this.#image();
      if (image !== undefined) this.#ready = this.#context.snapshotOf(image);
    });
    return undefined;
  }

  /** Sends the state, then hands the message to the receiver's core, and reports on it. */
  transfer(sender: SimReplica, message: Message): void {
    const { world, network } = this.#context;
    const index = message.snapshot?.meta.index ?? 0;
    this.#inUse.push(index);
    const { random } = this.#computer;
    const durationMs = random.exponential(TRANSFER_MEAN_MS) + network.delayMs();
    const starts = sender.starts;
    world.schedule(durationMs, () => {
      this.#inUse.splice(this.#inUse.indexOf(index), 1);
      const fails = network.faultsOn && random.chance(FAILURE_PROBABILITY);
      const ok = !fails && this.#context.deliverSnapshot(sender, message);
      world.schedule(network.delayMs(), () => {
        if (!sender.isRunning || sender.starts !== starts) return;
        sender.act((node) => node.reportSnapshot(message.to, ok));
      });
    });
  }
}
