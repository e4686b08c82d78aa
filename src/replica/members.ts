/**
 * Who belongs to a group: its configuration in force, as the log has decided it up to the applied
 * index, and which messages are to be believed.
 */
import { isResponse } from '../raft/message.js';
import type { ConfState, Message } from '../raft/types.js';
import type { GroupConfiguration, GroupMember } from '../storage/log-store.js';
import type { PeerIdentity } from '../transport/transport.js';

/** Strangers whose address is remembered, to answer them; the one heard of longest ago goes. */
const STRANGERS_MAX = 16;

export class Members {
  #configuration: GroupConfiguration;
  #byId: ReadonlyMap<number, GroupMember>;
  /** Not in the configuration that this replica has applied, and may be in a later one. */
  readonly #strangers = new Map<number, GroupMember>();

  constructor(configuration: GroupConfiguration) {
    this.#configuration = configuration;
    this.#byId = byId(configuration.members);
  }

  get configuration(): GroupConfiguration {
    return this.#configuration;
  }

  /** Node of a replica; 0 where it is not known. */
  nodeIdOf(replicaId: number): number {
    const member = this.#byId.get(replicaId) ?? this.#strangers.get(replicaId);
    return member?.nodeId ?? 0;
  }

  /** The group's replicas on a node, as far as the configuration knows. */
  replicasOn(nodeId: number): number[] {
    const { members } = this.#configuration;
    return members.filter((member) => member.nodeId === nodeId).map((member) => member.replicaId);
  }

  /**
   * Whether a message is to be believed. One in the name of a member counts only from the very
   * store that the configuration names: a wiped node must neither vote nor acknowledge (M8).
   *
   * A sender that is no member may have become one in an entry that this replica lacks: then it may
   * lead, or has to be voted for, and only its requests can tell. Such are let through, as Raft
   * wants it (thesis 4.2.2); what answers a question of this replica is not.
   */
  admits(from: PeerIdentity, message: Message): boolean {
    const member = this.#byId.get(message.from);
    if (member !== undefined) {
      return member.nodeId === from.nodeId && member.storeId === from.storeId;
    }
    if (isResponse(message.type)) return false;
    this.#meet({ replicaId: message.from, nodeId: from.nodeId, storeId: from.storeId });
    return true;
  }

  /**
   * The configuration after the entry at `index`, which brought the members in `added`. Those who
   * are in no part of it any more are forgotten.
   */
  changeTo(index: number, confState: ConfState, added: readonly GroupMember[]): void {
    const known = new Map([...this.#byId, ...byId(added)]);
    const members = replicaIds(confState).flatMap((id) => known.get(id) ?? []);
    this.replace({ index, confState, members });
  }

  /** Takes a configuration over as it is, such as that of a snapshot. */
  replace(configuration: GroupConfiguration): void {
    this.#configuration = configuration;
    this.#byId = byId(configuration.members);
    for (const id of this.#byId.keys()) this.#strangers.delete(id);
  }

  #meet(stranger: GroupMember): void {
    this.#strangers.delete(stranger.replicaId);
    this.#strangers.set(stranger.replicaId, stranger);
    if (this.#strangers.size <= STRANGERS_MAX) return;
    const [oldest] = this.#strangers.keys();
    if (oldest !== undefined) this.#strangers.delete(oldest);
  }
}

/** Every replica in any part of the configuration, ascending. */
export function replicaIds(confState: ConfState): readonly number[] {
  const { voters, votersOutgoing, learners, learnersNext } = confState;
  const ids = new Set([...voters, ...votersOutgoing, ...learners, ...learnersNext]);
  return [...ids].sort((a, b) => a - b);
}

export function isJoint(confState: ConfState): boolean {
  return confState.votersOutgoing.length > 0;
}

function byId(members: readonly GroupMember[]): ReadonlyMap<number, GroupMember> {
  return new Map(members.map((member) => [member.replicaId, member]));
}
