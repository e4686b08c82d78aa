import type { BasicStatus } from '../../../src/raft/raw-node.js';
import type { ConfState, Entry, Message, Ready } from '../../../src/raft/types.js';
import type { SimReplica } from './sim-replica.js';

/** Something that must never happen has happened. */
export class InvariantViolation extends Error {
  override readonly name = 'InvariantViolation';
  readonly invariant: string;

  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/**
 * Watches replicas and throws an `InvariantViolation`. Each hook is called for one replica, right
 * after it did something, so that a check costs little and the failing step is the last one.
 */
export interface Observer {
  /** After each event that touched the replica. */
  afterStep?(replica: SimReplica, status: BasicStatus): void;
  /** The replica was started, over what its disk held. */
  onStart?(replica: SimReplica): void;
  /** A Ready was taken; `hashes` are those of the histories up to each of its entries. */
  onReady?(replica: SimReplica, ready: Ready, hashes: readonly number[]): void;
  /** A message leaves. */
  onSend?(replica: SimReplica, message: Message): void;
  /** An entry is about to be applied; `hash` is that of the history up to it. */
  onApply?(replica: SimReplica, entry: Entry, hash: number): void;
  /** A snapshot took the place of the state. */
  onInstall?(replica: SimReplica, index: number, hash: number): void;
  /** The entry at `index` has brought about a configuration. */
  onConfiguration?(replica: SimReplica, index: number, confState: ConfState): void;
  /** A read is answered without a quorum round. */
  onLeaseRead?(replica: SimReplica, term: number): void;
}

/** The hooks of many observers as flat lists, so that a step calls only those that exist. */
export class Observers {
  readonly #all: readonly Observer[];
  readonly #stepping: readonly Observer[];
  readonly #sending: readonly Observer[];

  constructor(observers: readonly Observer[]) {
    this.#all = observers;
    this.#stepping = observers.filter((each) => each.afterStep !== undefined);
    this.#sending = observers.filter((each) => each.onSend !== undefined);
  }

  afterStep(replica: SimReplica, status: BasicStatus): void {
    for (const each of this.#stepping) each.afterStep?.(replica, status);
  }

  started(replica: SimReplica): void {
    for (const each of this.#all) each.onStart?.(replica);
  }

  ready(replica: SimReplica, ready: Ready, hashes: readonly number[]): void {
    for (const each of this.#all) each.onReady?.(replica, ready, hashes);
  }

  sending(replica: SimReplica, message: Message): void {
    for (const each of this.#sending) each.onSend?.(replica, message);
  }

  apply(replica: SimReplica, entry: Entry, hash: number): void {
    for (const each of this.#all) each.onApply?.(replica, entry, hash);
  }

  installed(replica: SimReplica, index: number, hash: number): void {
    for (const each of this.#all) each.onInstall?.(replica, index, hash);
  }

  configured(replica: SimReplica, index: number, confState: ConfState): void {
    for (const each of this.#all) each.onConfiguration?.(replica, index, confState);
  }

  leaseRead(replica: SimReplica, term: number): void {
    for (const each of this.#all) each.onLeaseRead?.(replica, term);
  }
}
