import type { Entry } from '../../../src/raft/types.js';
import { decodeOperation } from './operation.js';

export interface WriteResult {
  readonly serial: number;
  /** False for a cas that met another value. */
  readonly changed: boolean;
}

/** What a read finds: the serial of the last writer (0: no value), and where it wrote. */
export interface RegisterValue {
  readonly serial: number;
  readonly modifiedIndex: number;
}

/** The replicated state: one register per key. Deterministic. Copying costs O(keys). */
export class RegisterMachine {
  #serials: Int32Array;
  #modified: Int32Array;
  applied = 0;
  appliedTerm = 0;

  constructor(keys: number) {
    this.#serials = new Int32Array(keys);
    this.#modified = new Int32Array(keys);
  }

  copy(): RegisterMachine {
    const copy = new RegisterMachine(0);
    copy.#serials = this.#serials.slice();
    copy.#modified = this.#modified.slice();
    copy.applied = this.applied;
    copy.appliedTerm = this.appliedTerm;
    return copy;
  }

  /** Undefined for entries that are not of clients. */
  apply(entry: Entry): WriteResult | undefined {
    this.applied = entry.index;
    this.appliedTerm = entry.term;
    if (entry.type !== 'EntryNormal' || entry.data.length === 0) return undefined;
    const { kind, key, serial, expected } = decodeOperation(entry.data);
    const changed = kind !== 'cas' || this.#serials[key] === expected;
    if (changed) {
      this.#serials[key] = kind === 'delete' ? 0 : serial;
      this.#modified[key] = entry.index;
    }
    return { serial, changed };
  }

  read(key: number): RegisterValue {
    return { serial: this.#serials[key] ?? 0, modifiedIndex: this.#modified[key] ?? 0 };
  }

  equals(other: RegisterMachine): boolean {
    return (
      this.applied === other.applied &&
      this.#serials.every((serial, key) => serial === other.#serials[key]) &&
      this.#modified.every((index, key) => index === other.#modified[key])
    );
  }
}
