import type { Raft } from './raft.js';
import { appendEntry, broadcastAppend, type Proposal } from './replication.js';
import { NONE, type ProposeResult } from './types.js';

/** See `RawNode.propose`. */
export function propose(raft: Raft, data: Uint8Array): ProposeResult {
  const proposal: Proposal = { type: 'EntryNormal', data };
  const refused = refusal(raft, proposal);
  if (refused !== undefined) return refused;
  if (!appendEntry(raft, proposal)) return { kind: 'dropped', why: 'uncommitted-limit' };
  broadcastAppend(raft);
  return { kind: 'accepted', index: raft.log.lastIndex(), term: raft.term };
}

/** Why this replica takes no proposals now. Hands it on to the leader where that is wanted. */
export function refusal(raft: Raft, proposal: Proposal): ProposeResult | undefined {
  if (raft.role !== 'StateLeader') {
    if (raft.config.forwardProposals && raft.lead !== NONE) forward(raft, proposal);
    return { kind: 'not-leader', lead: raft.lead };
  }
  if (!raft.tracker.has(raft.id)) return { kind: 'dropped', why: 'not-in-configuration' };
  if (raft.transfer.isUnderWay) return { kind: 'dropped', why: 'transferring' };
  return undefined;
}

/** As in etcd: without a term, because it means the same in every one. */
function forward(raft: Raft, proposal: Proposal): void {
  raft.send('MsgProp', raft.lead, { entries: [{ ...proposal, term: 0, index: 0 }] }, 0);
}
