import type { Raft } from './raft.js';
import { sendAppend } from './replication.js';
import { type Message, NONE, type ReplicaId, type TransferResult } from './types.js';

/** Handing the leadership over to a chosen replica (thesis 3.10; T1, T2). */

/** A leader's transfer, if one is under way. Proposals and reads are refused meanwhile (T1). */
export class Transfer {
  #target: ReplicaId = NONE;
  #elapsedTicks = 0;
  /** Whether the target was told to campaign. */
  isOrdered = false;

  get target(): ReplicaId {
    return this.#target;
  }

  get isUnderWay(): boolean {
    return this.#target !== NONE;
  }

  start(target: ReplicaId): void {
    this.#target = target;
    this.#elapsedTicks = 0;
    this.isOrdered = false;
  }

  end(): void {
    this.#target = NONE;
  }

  /** A tick has passed. Returns whether the transfer took too long and is over. */
  tick(timeoutTicks: number): boolean {
    if (!this.isUnderWay) return false;
    this.#elapsedTicks += 1;
    if (this.#elapsedTicks < timeoutTicks) return false;
    this.end();
    return true;
  }
}

/** See `RawNode.transferLeader`. */
export function transferLeader(raft: Raft, to: ReplicaId): TransferResult {
  if (raft.role === 'StateLeader') return startTransfer(raft, to) ? 'started' : 'refused';
  if (raft.lead === NONE) return 'refused';
  raft.send('MsgTransferLeader', raft.lead, { vote: to });
  return 'forwarded';
}

/** Leader: a replica asks on behalf of its host. */
export function handleTransferRequest(raft: Raft, message: Message): void {
  startTransfer(raft, message.vote);
}

/**
 * One at a time, so that what was refused meanwhile is so for no longer than an election timeout.
 * Only voters: a learner could not campaign.
 */
function startTransfer(raft: Raft, to: ReplicaId): boolean {
  if (raft.transfer.target === to && to !== NONE) return true;
  if (raft.transfer.isUnderWay || to === raft.id || !raft.tracker.isVoter(to)) return false;
  raft.config.trace?.(`${raft.id} transfers the lead of term ${raft.term} to ${to}`);
  raft.transfer.start(to);
  if (!maybeSendTimeoutNow(raft)) sendAppend(raft, to);
  return true;
}

/**
 * Tells the target to campaign at once, as soon as it holds the whole log. Not before this leader
 * has committed in its term: then no earlier leader has a lease, and with its own given up here
 * nobody has to wait for any promise (R8). Returns whether the order was sent now.
 */
export function maybeSendTimeoutNow(raft: Raft): boolean {
  const { target, isOrdered } = raft.transfer;
  if (target === NONE || isOrdered || !raft.hasCommittedInTerm) return false;
  const last = raft.log.lastId();
  if (raft.tracker.get(target)?.match !== last.index) return false;
  raft.transfer.isOrdered = true;
  raft.leases.revoke();
  raft.send('MsgTimeoutNow', target, { index: last.index, logTerm: last.term });
  return true;
}
