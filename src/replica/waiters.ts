/**
 * Everyone who waits for something of a group. Each is settled exactly once (A8, S-45): by what is
 * applied, by a snapshot that hides it, by the end of a leadership, or by the end of the replica.
 */
import type { ConfState, Entry } from '../raft/types.js';
import { FlotillaError } from '../shared/errors.js';
import { hasCommand } from './apply-queue.js';
import { Conditions } from './conditions.js';
import { Proposals } from './proposals.js';
import { Reads } from './reads.js';

export class Waiters<Result> {
  /** For entries that were proposed here. */
  readonly proposals = new Proposals<Result>();
  /** For changes of the configuration that were proposed here. */
  readonly changes = new Proposals<ConfState>();
  readonly reads: Reads;
  readonly conditions = new Conditions();

  constructor(appliedIndex: number) {
    this.reads = new Reads(appliedIndex);
  }

  /**
   * A batch was applied. `results` has one element per entry with a command, `confState` is the
   * configuration that the last entry brought, if it is a change.
   */
  applied(
    entries: readonly Entry[],
    results: readonly Result[],
    confState: ConfState | undefined,
  ): void {
    let next = 0;
    for (const entry of entries) {
      const { index, term } = entry;
      if (hasCommand(entry)) this.proposals.applied(index, term, results[next++] as Result);
      else this.proposals.passed(index);
      if (confState !== undefined && entry === entries.at(-1)) {
        this.changes.applied(index, term, confState);
      } else {
        this.changes.passed(index);
      }
    }
  }

  /** A snapshot has replaced all entries up to `index`: what became of them is not to be seen. */
  covered(index: number): void {
    this.proposals.covered(index);
    this.changes.covered(index);
  }

  /** The index up to which the state may be read now. */
  appliedTo(index: number): void {
    this.reads.appliedTo(index);
    this.conditions.check();
  }

  /** What was proposed may still be applied, under another leader. */
  leadershipLost(): void {
    const why = 'The leader stepped down before the write was applied';
    this.proposals.abandon(why);
    this.changes.abandon(why);
  }

  /** The replica ends. */
  close(why: string): void {
    this.proposals.abandon(why);
    this.changes.abandon(why);
    const error = new FlotillaError('NODE_NOT_READY', why);
    this.reads.close(error);
    this.conditions.close(error);
  }
}
