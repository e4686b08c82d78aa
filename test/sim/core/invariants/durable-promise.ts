import type { BasicStatus } from '../../../../src/raft/raw-node.js';
import type { Message } from '../../../../src/raft/types.js';
import { InvariantViolation, type Observer } from '../observer.js';
import type { SimReplica } from '../sim-replica.js';

const TERMS_MAX = 2 ** 21;

/**
 * What a vote, a request for one or an acknowledgement says is on the disk, synced, when it leaves
 * (E1), and is still there after any crash. Nobody votes for two in one term, whatever happens
 * between (E3, P-5).
 */
export class DurablePromise implements Observer {
  /** By replica and term: whom it told that it has its vote. */
  readonly #votes = new Map<number, number>();
  /** By replica: the highest term that it has spoken of. */
  readonly #terms = new Map<number, number>();

  onStart({ id, store }: SimReplica): void {
    const { term, vote } = store.disk.hardState;
    const promised = this.#terms.get(id) ?? 0;
    if (term < promised) throw violation(`replica ${id} forgot term ${promised}: it is at ${term}`);
    const voted = this.#votes.get(id * TERMS_MAX + term);
    if (voted !== undefined && voted !== vote) {
      throw violation(`replica ${id} forgot that it voted for ${voted} in term ${term}`);
    }
  }

  onSend(replica: SimReplica, message: Message): void {
    switch (message.type) {
      case 'MsgVote':
        this.#checkTerm(replica, message.term);
        this.#checkVote(replica, message.term, replica.id);
        return;
      case 'MsgVoteResp':
        this.#checkTerm(replica, message.term);
        if (!message.reject) this.#checkVote(replica, message.term, message.to);
        return;
      case 'MsgPreVoteResp':
        // A grant is about a term that nobody has begun.
        if (message.reject) this.#checkTerm(replica, message.term);
        return;
      case 'MsgAppResp':
        this.#checkTerm(replica, message.term);
        if (!message.reject) this.#checkEntries(replica, message);
        return;
      default:
        return;
    }
  }

  /** Nobody leads a term before its own vote in it is durable (E1). */
  afterStep({ id, store }: SimReplica, { softState, hardState }: BasicStatus): void {
    if (softState.role !== 'StateLeader') return;
    const { term, vote } = store.disk.hardState;
    if (term === hardState.term && vote === id) return;
    throw violation(`${id} leads term ${hardState.term}; its disk has term ${term}, vote ${vote}`);
  }

  #checkTerm({ id, store }: SimReplica, term: number): void {
    const durable = store.disk.hardState.term;
    if (durable < term) throw violation(`replica ${id} speaks of term ${term}, disk: ${durable}`);
    this.#terms.set(id, Math.max(this.#terms.get(id) ?? 0, term));
  }

  #checkVote({ id, store }: SimReplica, term: number, choice: number): void {
    const { hardState } = store.disk;
    if (hardState.term === term && hardState.vote !== choice) {
      throw violation(`replica ${id} votes for ${choice} in ${term}, disk: ${hardState.vote}`);
    }
    const key = id * TERMS_MAX + term;
    const earlier = this.#votes.get(key) ?? choice;
    if (earlier !== choice) {
      throw violation(`replica ${id} votes for ${earlier} and ${choice} in ${term}`);
    }
    this.#votes.set(key, choice);
  }

  /** A leader of a later term may have replaced them since, which comes to the same. */
  #checkEntries({ id, store }: SimReplica, { index, term }: Message): void {
    const { lastIndex, hardState } = store.disk;
    if (lastIndex >= index || hardState.term > term) return;
    throw violation(`replica ${id} acknowledges ${index}, its disk ends at ${lastIndex}`);
  }
}

function violation(message: string): InvariantViolation {
  return new InvariantViolation('DurablePromise', message);
}
