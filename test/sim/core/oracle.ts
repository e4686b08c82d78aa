import type { Entry } from '../../../src/raft/types.js';
import { InvariantViolation, type Observer } from './observer.js';
import { decodeOperation, type WriteOperation } from './operation.js';
import type { ReadOutcome } from './pending-reads.js';
import { RegisterMachine, type RegisterValue, type WriteResult } from './register-machine.js';
import type { SimReplica } from './sim-replica.js';

const NAME = 'Linearizability';

/**
 * The one copy that the cluster pretends to be. It applies each entry when the first replica does,
 * and every answer to a client is compared with it: in O(1) for writes, O(log n) for reads, n being
 * the writes to that key.
 *
 * `floor` is what real time demands: whatever begins now must see everything up to that index,
 * because somebody was already answered from there. Since there is one log for all keys, this is
 * stronger than linearizability of each key.
 */
export class Oracle implements Observer {
  readonly #model: RegisterMachine;
  /** By key: where it was modified, ascending, and by whom. */
  readonly #modifications: { readonly index: number; readonly serial: number }[][];
  /** By serial: the index where it was applied, and whether it changed anything. */
  readonly #applied = new Map<number, { readonly index: number; readonly changed: boolean }>();
  readonly #failed = new Set<number>();
  readonly #acknowledged: number[] = [];
  #floor = 0;

  constructor(keys: number) {
    this.#model = new RegisterMachine(keys);
    this.#modifications = Array.from({ length: keys }, () => []);
  }

  /** What an operation that begins now must at least see. */
  get floor(): number {
    return this.#floor;
  }

  get model(): RegisterMachine {
    return this.#model;
  }

  /** Acknowledged writes, by serial. */
  get acknowledged(): readonly number[] {
    return this.#acknowledged;
  }

  onApply(replica: SimReplica, entry: Entry): void {
    const { index } = entry;
    if (index <= this.#model.applied) return;
    if (index !== this.#model.applied + 1) {
      throw violation(`replica ${replica.id} applies ${index} after ${this.#model.applied}`);
    }
    const result = this.#model.apply(entry);
    if (result === undefined) return;
    const { serial, changed } = result;
    const { kind, key } = decodeOperation(entry.data);
    const earlier = this.#applied.get(serial);
    if (earlier !== undefined) {
      throw violation(`write ${serial} is applied at ${earlier.index} and at ${index}`);
    }
    if (this.#failed.has(serial)) {
      throw violation(`write ${serial} was answered as failed and is applied at ${index} (A8)`);
    }
    this.#applied.set(serial, { index, changed });
    if (!changed) return;
    this.#modifications[key]?.push({ index, serial: kind === 'delete' ? 0 : serial });
  }

  /** A client was told that its write was applied. */
  writeAcknowledged(
    write: WriteOperation,
    floor: number,
    index: number,
    result: WriteResult,
  ): void {
    const { serial } = write;
    const applied = this.#applied.get(serial);
    if (applied?.index !== index || applied.changed !== result.changed) {
      const truth = applied === undefined ? 'nowhere' : `at ${applied.index} (${applied.changed})`;
      throw violation(
        `write ${serial} was answered with ${index} (${result.changed}) and is applied ${truth}`,
      );
    }
    if (index <= floor) {
      throw violation(`write ${serial} began after ${floor} was seen, and is at ${index}`);
    }
    this.#floor = Math.max(this.#floor, index);
    this.#acknowledged.push(serial);
  }

  /** A client was told that its write never takes effect. */
  writeFailed(serial: number): void {
    const applied = this.#applied.get(serial);
    if (applied !== undefined) {
      throw violation(`write ${serial}, applied at ${applied.index}, is answered as failed (A8)`);
    }
    this.#failed.add(serial);
  }

  readAnswered(key: number, floor: number, outcome: Extract<ReadOutcome, { kind: 'ok' }>): void {
    const { value, appliedIndex } = outcome;
    if (appliedIndex < floor) {
      throw violation(`a read of key ${key} at ${appliedIndex} began when ${floor} was seen (P-4)`);
    }
    const truth = this.#valueAt(key, appliedIndex);
    if (truth.serial !== value.serial || truth.modifiedIndex !== value.modifiedIndex) {
      throw violation(
        `key ${key} at ${appliedIndex} is read as ${value.serial} of ${value.modifiedIndex}, ` +
          `and was ${truth.serial} of ${truth.modifiedIndex}`,
      );
    }
    this.#floor = Math.max(this.#floor, appliedIndex);
  }

  /** Everything acknowledged is in the one log for ever; every replica shows the same. */
  checkFinal(replicas: readonly SimReplica[]): void {
    for (const serial of this.#acknowledged) {
      if (!this.#applied.has(serial)) throw violation(`acknowledged write ${serial} is lost (P-1)`);
    }
    for (const { id, registers } of replicas) {
      if (registers !== undefined && !registers.equals(this.#model)) {
        throw new InvariantViolation('StateMachineSafety', `replica ${id} differs from the model`);
      }
    }
  }

  #valueAt(key: number, index: number): RegisterValue {
    const modifications = this.#modifications[key] ?? [];
    let low = 0;
    let high = modifications.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((modifications[middle]?.index ?? 0) <= index) low = middle + 1;
      else high = middle;
    }
    const last = modifications[low - 1];
    return { serial: last?.serial ?? 0, modifiedIndex: last?.index ?? 0 };
  }
}

function violation(message: string): InvariantViolation {
  return new InvariantViolation(NAME, message);
}
