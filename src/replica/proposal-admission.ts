/**
 * Slows writers down to what is applied, here and by a quorum: beyond a bound on what was proposed
 * and is not applied yet, those who come wait for their turn, in the order of their coming.
 */
import { LIMITS } from '../shared/limits.js';
import type { Conditions } from './conditions.js';

/** Writers wait while more than this is proposed and not applied. */
export const UNAPPLIED_BYTES_MAX = LIMITS.uncommittedBytesMax.value / 2;

export interface ProposalAdmissionOptions {
  readonly conditions: Pick<Conditions, 'wait'>;
  /** Bytes that were proposed and are not applied, here or by a quorum, whichever is more. */
  readonly pendingBytes: () => number;
  /** Whether waiting has become pointless: whoever proposes now is told why. */
  readonly isOver: () => boolean;
  readonly boundBytes: number;
}

export class ProposalAdmission {
  readonly #options: ProposalAdmissionOptions;
  /** Of those who were let in and have not proposed yet. */
  #admittedBytes = 0;
  #waiting = 0;

  constructor(options: ProposalAdmissionOptions) {
    this.#options = options;
  }

  /**
   * Lets `sizeBytes` in at once: whatever the size, when nothing is pending. The caller proposes
   * and then calls what it has got. Undefined where it has to `wait`.
   */
  enter(sizeBytes: number): (() => void) | undefined {
    const isFree = this.#waiting === 0 && this.#hasRoom(sizeBytes);
    return isFree || this.#options.isOver() ? this.#reserve(sizeBytes) : undefined;
  }

  /** As `enter`, later. `isWanted` answers false when the caller has given up. */
  async wait(sizeBytes: number, isWanted: () => boolean): Promise<() => void> {
    let release = (): void => undefined;
    this.#waiting += 1;
    try {
      await this.#options.conditions.wait(() => {
        if (!isWanted()) return true;
        if (!this.#hasRoom(sizeBytes) && !this.#options.isOver()) return false;
        release = this.#reserve(sizeBytes);
        return true;
      });
      return release;
    } finally {
      this.#waiting -= 1;
    }
  }

  #reserve(sizeBytes: number): () => void {
    let reservedBytes = sizeBytes;
    this.#admittedBytes += reservedBytes;
    return () => {
      this.#admittedBytes -= reservedBytes;
      reservedBytes = 0;
    };
  }

  #hasRoom(sizeBytes: number): boolean {
    const { pendingBytes, boundBytes } = this.#options;
    const busyBytes = pendingBytes() + this.#admittedBytes;
    return busyBytes === 0 || busyBytes + sizeBytes <= boundBytes;
  }
}
