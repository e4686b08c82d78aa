/** A read that the leader was asked about. */
interface ForwardedRead {
  readonly requestId: number;
  /** Tick of this replica at which waiting for the answer ends. */
  readonly expiresAtTick: number;
}

/** Room for the reads of one run between the places where two runs begin to count. */
const RUN_SPACING = 2 ** 20;
const RUNS = 2 ** 32;

/**
 * A follower's reads that wait for the answer of the leader (R10). Each is answered or aborted
 * once: when the leader changes or is lost, and at the latest after an election timeout, because
 * the question or its answer may have been lost on the way.
 *
 * The leader is asked by numbers that this replica counts up from a random beginning: the host's
 * ids may begin anew after a restart, and an answer to a read of before must not be taken for one
 * of now.
 */
export class ForwardedReads {
  readonly #maxPending: number;
  readonly #random: () => number;
  #ticks = 0;
  #lastNumber: number | undefined;
  /** By number, which is also by age. */
  readonly #pending = new Map<number, ForwardedRead>();

  constructor(maxPending: number, random: () => number) {
    this.#maxPending = maxPending;
    this.#random = random;
  }

  get isFull(): boolean {
    return this.#pending.size >= this.#maxPending;
  }

  /** Keeps the read for so many ticks. Returns the number to ask by. */
  add(requestId: number, expiryTicks: number): number {
    const number = (this.#lastNumber ?? Math.floor(this.#random() * RUNS) * RUN_SPACING) + 1;
    this.#lastNumber = number;
    this.#pending.set(number, { requestId, expiresAtTick: this.#ticks + expiryTicks });
    return number;
  }

  /** Takes out the read that was asked about by this number, if it still waits. */
  take(number: number): number | undefined {
    const read = this.#pending.get(number);
    this.#pending.delete(number);
    return read?.requestId;
  }

  /** A tick has passed. Takes out the reads that waited too long. Costs O(1) without any. */
  tick(): readonly number[] {
    this.#ticks += 1;
    const expired: number[] = [];
    for (const [number, read] of this.#pending) {
      if (read.expiresAtTick > this.#ticks) break;
      expired.push(read.requestId);
      this.#pending.delete(number);
    }
    return expired;
  }

  /** Takes out all: the leader that was asked does not lead any more, as far as is known. */
  abort(): readonly number[] {
    const aborted = [...this.#pending.values()].map((read) => read.requestId);
    this.#pending.clear();
    return aborted;
  }
}
