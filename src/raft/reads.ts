import { broadcastHeartbeat } from './heartbeat.js';
import type { Raft } from './raft.js';
import { type Message, NONE, type ReplicaId } from './types.js';

/** Linearizable reads at leaders (ReadIndex, leases) and at followers, which ask the leader. */

/** See `RawNode.readIndex`. */
export function readIndex(raft: Raft, requestId: number): 'queued' | 'rejected' {
  if (raft.role === 'StateLeader') {
    return queueRead(raft, raft.id, requestId) ? 'queued' : 'rejected';
  }
  if (raft.lead === NONE || raft.forwardedReads.isFull) return 'rejected';
  const context = raft.forwardedReads.add(requestId, raft.config.electionTicks);
  raft.send('MsgReadIndex', raft.lead, { context });
  return 'queued';
}

/** Leader: a follower asks (R10). It is told at once where there is no answer to be had. */
export function handleReadIndex(raft: Raft, message: Message): void {
  const { from, context } = message;
  if (!queueRead(raft, from, context)) {
    raft.send('MsgReadIndexResp', from, { context, reject: true });
  }
}

/** Follower: the leader has answered. Answers that nobody waits for any more do nothing. */
export function handleReadIndexResponse(raft: Raft, message: Message): void {
  const requestId = raft.forwardedReads.take(message.context);
  if (requestId === undefined) return;
  if (message.reject) {
    raft.readsAborted.push(requestId);
  } else {
    raft.readStates.push({ requestId, index: message.index });
  }
}

/** False where no more reads can wait, or the leadership is being handed over (T1). */
function queueRead(raft: Raft, from: ReplicaId, requestId: number): boolean {
  if (raft.reads.isFull || raft.transfer.isUnderWay) return false;
  if (raft.hasCommittedInTerm) {
    raft.reads.add({ from, requestId }, raft.log.committed);
    releaseReads(raft);
  } else {
    raft.reads.addEarly({ from, requestId });
  }
  return true;
}

/** The term has its first commit: reads that came before take part from now on (R2). */
export function admitEarlyReads(raft: Raft): void {
  if (!raft.reads.hasEarly || !raft.hasCommittedInTerm) return;
  raft.reads.admitEarly(raft.log.committed);
  releaseReads(raft);
}

/** Leader: a heartbeat came back that spoke of the reads up to `position`. */
export function confirmReads(raft: Raft, from: ReplicaId, position: number): void {
  if (position === 0) return;
  raft.reads.acknowledge(from, position);
  releaseReads(raft);
}

/** Starts a round of heartbeats if reads wait for one: a round for all that came since the last. */
export function startReadRound(raft: Raft): void {
  if (raft.reads.needsRound) broadcastHeartbeat(raft);
}

/** Answers the reads that a quorum of the voters in force has confirmed. */
export function releaseReads(raft: Raft): void {
  for (const { asker, index } of raft.reads.takeConfirmed(raft.tracker.voters, raft.id)) {
    if (asker.from === raft.id) {
      raft.readStates.push({ requestId: asker.requestId, index });
    } else {
      raft.send('MsgReadIndexResp', asker.from, { context: asker.requestId, index });
    }
  }
}

/** See `RawNode.leaseIndex`. */
export function leaseIndex(raft: Raft): number | undefined {
  if (raft.role !== 'StateLeader' || raft.transfer.isUnderWay) return undefined;
  if (!raft.hasCommittedInTerm) return undefined;
  return raft.leases.isHeld(raft.tracker.voters, raft.id) ? raft.log.committed : undefined;
}
