import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import type { Ready } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

const MESSAGES_MAX = 2_000;
const WAITERS_MAX = 20_000;
const TO_APPLY_MAX = 20_000;
/** Events that a whole cluster may have before it: messages, timers, work. */
const EVENTS_MAX = 50_000;

/** Queues have ends: messages of one Ready, waiters, reads, entries to apply (P-10). */
export class BoundedMemory implements Observer {
  readonly #readsMax: number;
  readonly #pendingEvents: () => number;

  constructor(readsMax: number, pendingEvents: () => number) {
    this.#readsMax = readsMax;
    this.#pendingEvents = pendingEvents;
  }

  onReady({ id }: SimReplica, { messages, messagesAfterPersist }: Ready): void {
    check(id, 'messages of a Ready', messages.length + messagesAfterPersist.length, MESSAGES_MAX);
    check(id, 'events of the world', this.#pendingEvents(), EVENTS_MAX);
  }

  afterStep(replica: SimReplica, _status: BasicStatus): void {
    const { waiters, reads, toApply } = replica.backlog;
    check(replica.id, 'proposals that wait', waiters, WAITERS_MAX);
    check(replica.id, 'entries to apply', toApply, TO_APPLY_MAX);
    check(replica.id, 'reads that wait', reads, this.#readsMax);
  }
}

function check(id: number, what: string, count: number, limit: number): void {
  if (count <= limit) return;
  throw new InvariantViolation('BoundedMemory', `replica ${id} has ${count} ${what}`);
}
