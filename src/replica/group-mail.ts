/** What a group's core sends, on its way to the nodes that hold the replicas. */
import type { Message } from '../raft/types.js';
import type { Members } from './members.js';

export interface GroupMailOptions {
  readonly members: Members;
  readonly send: (nodeId: number, messages: readonly Message[]) => void;
  /** Takes what goes along with a file, to a node that is known. */
  readonly sendSnapshot: (nodeId: number, message: Message) => void;
  /** A snapshot cannot be sent. */
  readonly onUndeliverable: (replicaId: number) => void;
  /** Whether this replica must not seek the leadership now. */
  readonly mustNotLead: () => boolean;
  /** The index that this replica has applied. */
  readonly appliedIndex: () => number;
}

/**
 * What the sender of an answer to a heartbeat has applied; undefined where it does not tell, as
 * replicas of an earlier version do not.
 */
export function appliedIndexIn(message: Message): number | undefined {
  return message.commit === 0 ? undefined : message.commit - 1;
}

export class GroupMail {
  readonly #options: GroupMailOptions;

  constructor(options: GroupMailOptions) {
    this.#options = options;
  }

  /** Messages to one node stay in order. Those to replicas whose node is not known are dropped. */
  send(messages: readonly Message[]): void {
    if (messages.length === 0) return;
    const { members, send, mustNotLead } = this.#options;
    const isMuted = mustNotLead();
    const byNode = new Map<number, Message[]>();
    for (const message of messages) {
      // Without the pre-votes of others nobody gets further; any message may be lost.
      if (isMuted && message.type === 'MsgPreVote') continue;
      const nodeId = members.nodeIdOf(message.to);
      if (message.type === 'MsgSnap') {
        this.#sendSnapshot(nodeId, message);
        continue;
      }
      if (nodeId === 0) continue;
      const told = this.#withApplied(message);
      const list = byNode.get(nodeId);
      if (list === undefined) byNode.set(nodeId, [told]);
      else list.push(told);
    }
    for (const [nodeId, list] of byNode) send(nodeId, list);
  }

  /** The answer to a heartbeat goes out anyway: the leader learns from it how far we are (A6). */
  #withApplied(message: Message): Message {
    if (message.type !== 'MsgHeartbeatResp') return message;
    return { ...message, commit: 1 + this.#options.appliedIndex() };
  }

  #sendSnapshot(nodeId: number, message: Message): void {
    const { sendSnapshot, onUndeliverable } = this.#options;
    if (nodeId === 0) onUndeliverable(message.to);
    else sendSnapshot(nodeId, message);
  }
}
