/** What is known of each record of one write, over all attempts. */
import { assert, defined } from '../shared/assert.js';
import { withSeen } from '../shared/codec/session-token.js';
import type { SeenShard } from '../shared/consistency.js';
import type { FlotillaError } from '../shared/errors.js';
import type { WriteOutcome } from '../shared/types.js';
import { asUnknown, errorOfOutcomes, type RecordPlace } from '../shared/write-outcomes.js';

interface Numbered {
  readonly ordinal: number;
}

/**
 * A record is undecided until a shard's log has told its outcome, or the router stops trying. It
 * then counts as `unknown` when any attempt may still be, or become, part of a log, and as
 * `not-applied` only when every attempt is known to have led to nothing.
 *
 * Attempts may answer late, even after a later one: whatever they tell first is kept.
 */
export class WriteLedger {
  readonly #outcomes: (WriteOutcome | undefined)[];
  /** Attempts per record that were sent and have not been reported as without effect. */
  readonly #openAttempts: Uint32Array;

  constructor(records: number) {
    this.#outcomes = new Array<WriteOutcome | undefined>(records).fill(undefined);
    this.#openAttempts = new Uint32Array(records);
  }

  undecided<T extends Numbered>(operations: readonly T[]): T[] {
    return operations.filter(({ ordinal }) => this.#outcomes[ordinal] === undefined);
  }

  /** Whether an attempt on the record may have had, or may yet have, an effect. */
  mayBeProposed({ ordinal }: Numbered): boolean {
    return this.#openAttemptsOf(ordinal) > 0;
  }

  /** An attempt goes out with these records. */
  sent(operations: readonly Numbered[]): void {
    for (const { ordinal } of operations) {
      this.#openAttempts[ordinal] = this.#openAttemptsOf(ordinal) + 1;
    }
  }

  /** An attempt came back without effect on these records, now and later. */
  withoutEffect(operations: readonly Numbered[]): void {
    for (const { ordinal } of operations) {
      const open = this.#openAttemptsOf(ordinal);
      assert(open > 0, () => `record ${ordinal} has no open attempt`);
      this.#openAttempts[ordinal] = open - 1;
    }
  }

  /** A shard's log has decided about a record. */
  decide(ordinal: number, outcome: WriteOutcome): void {
    this.#outcomes[ordinal] ??= outcome;
  }

  /** No more attempts are made on those of these records that are undecided. */
  giveUp(operations: readonly Numbered[], error: FlotillaError): void {
    for (const operation of this.undecided(operations)) {
      this.decide(
        operation.ordinal,
        this.mayBeProposed(operation) || cannotTell(error)
          ? { kind: 'unknown', error: asUnknown(error).body }
          : { kind: 'not-applied', error: error.body },
      );
    }
  }

  /**
   * The outcomes of all records, which must be decided. Throws `errorOfOutcomes` when there are
   * some and none was applied, with how far the logs of the shards are `decided`: that a condition
   * does not hold is something that a session has seen.
   */
  outcomes(
    decided: readonly SeenShard[] = [],
    placeOf?: (ordinal: number) => RecordPlace,
  ): WriteOutcome[] {
    const outcomes = this.#outcomes.map((one, at) => defined(one, `outcome of record ${at}`));
    if (outcomes.length === 0 || outcomes.some((one) => one.kind === 'applied')) return outcomes;
    throw withSeen(errorOfOutcomes(outcomes, placeOf), decided);
  }

  #openAttemptsOf(ordinal: number): number {
    return defined(this.#openAttempts[ordinal], `record ${ordinal}`);
  }
}

/** The shard has forgotten what it knew of the key: earlier requests under it may have counted. */
function cannotTell(error: FlotillaError): boolean {
  return error.reason === 'SESSION_EXPIRED';
}
