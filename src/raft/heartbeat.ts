import type { Raft } from './raft.js';

/** Leader: tells everyone what is committed, and asks for proof that it leads (reads, leases). */
export function broadcastHeartbeat(raft: Raft): void {
  const context = raft.reads.announce();
  const { sentAtMs, promiseMs } = raft.leases.stamp();
  for (const id of raft.tracker.ids) {
    const progress = raft.tracker.get(id);
    if (progress === undefined || id === raft.id) continue;
    // The replica may not have what was committed: never past what it is known to hold (L3).
    const commit = Math.min(progress.match, raft.log.committed);
    raft.send('MsgHeartbeat', id, { commit, context, sentAtMs, promiseMs });
    progress.sentCommit(commit);
  }
}
