import type { Entry, Message, MessageType, ReplicaId } from './types.js';
import { LOCAL_APPEND_THREAD } from './types.js';

/** Everything of a message but its head. What is left out is 0, false or empty. */
export type MessageBody = Partial<Omit<Message, 'type' | 'to' | 'from' | 'term'>>;

const NO_BODY: MessageBody = {};
const NO_ENTRIES: readonly Entry[] = [];

/** All messages are made here, so that they have one shape. */
export function createMessage(
  type: MessageType,
  from: ReplicaId,
  to: ReplicaId,
  term: number,
  body: MessageBody = NO_BODY,
): Message {
  const message: Message = {
    type,
    to,
    from,
    term,
    logTerm: body.logTerm ?? 0,
    index: body.index ?? 0,
    entries: body.entries ?? NO_ENTRIES,
    commit: body.commit ?? 0,
    commitTerm: body.commitTerm ?? 0,
    vote: body.vote ?? 0,
    reject: body.reject ?? false,
    rejectHint: body.rejectHint ?? 0,
    context: body.context ?? 0,
    campaignTransfer: body.campaignTransfer ?? false,
    sentAtMs: body.sentAtMs ?? 0,
    promiseMs: body.promiseMs ?? 0,
  };
  if (body.snapshot === undefined && body.responses === undefined) return message;
  return {
    ...message,
    ...(body.snapshot !== undefined && { snapshot: body.snapshot }),
    ...(body.responses !== undefined && { responses: body.responses }),
  };
}

/**
 * Messages that depend on what is durable, so they leave after it is (E1). Requests for votes do:
 * after a crash the replica could be a candidate of the same term once more, with a shorter log,
 * and late grants would elect that.
 */
export function waitsForPersist(type: MessageType): boolean {
  switch (type) {
    case 'MsgVote':
    case 'MsgVoteResp':
    case 'MsgPreVoteResp':
    case 'MsgAppResp':
      return true;
    default:
      return false;
  }
}

/** Answers that only mean something from a replica that the leader or candidate knows. */
export function isResponse(type: MessageType): boolean {
  switch (type) {
    case 'MsgAppResp':
    case 'MsgVoteResp':
    case 'MsgHeartbeatResp':
    case 'MsgReadIndexResp':
    case 'MsgPreVoteResp':
      return true;
    default:
      return false;
  }
}

/** Messages between a replica and its own host or storage: worthless from anyone else. */
export function isLocal(type: MessageType): boolean {
  switch (type) {
    case 'MsgHup':
    case 'MsgBeat':
    case 'MsgUnreachable':
    case 'MsgSnapStatus':
    case 'MsgCheckQuorum':
    case 'MsgForgetLeader':
    case 'MsgStorageAppend':
    case 'MsgStorageAppendResp':
    case 'MsgStorageApply':
    case 'MsgStorageApplyResp':
      return true;
    default:
      return false;
  }
}

export function isStorageThread(id: ReplicaId): boolean {
  return id >= LOCAL_APPEND_THREAD;
}

/**
 * Whether the entries of a MsgApp follow on its (logTerm, index) without a gap and with terms that
 * never fall and never pass the sender's. Cost: one pass over the entries.
 */
export function entriesAreConsecutive(message: Message): boolean {
  let { index, logTerm: term } = message;
  for (const entry of message.entries) {
    index += 1;
    if (entry.index !== index || entry.term < term) return false;
    term = entry.term;
  }
  return term <= message.term;
}
