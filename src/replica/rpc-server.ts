/** Answers the calls of routers on other nodes with the replicas of this one. */
import { unreachable } from '../shared/assert.js';
import { FlotillaError } from '../shared/errors.js';
import type { CallContext, ShardReplica } from './replica.js';
import {
  decodeCall,
  encodeCount,
  encodeHits,
  encodeProposalAnswers,
  encodeRecords,
  encodeStatus,
  type ReplicaCall,
} from './rpc-codec.js';

const DONE = new Uint8Array(0);

/** Carries out one encoded call. `replicaOf` finds the local replica of a group. */
export function serveReplicaCall(
  payload: Uint8Array,
  replicaOf: (groupId: number) => ShardReplica | undefined,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { groupId, epoch, timeoutMs, consistency, call } = decodeCall(payload);
  const replica = replicaOf(groupId);
  if (replica === undefined) {
    throw new FlotillaError(
      'NODE_NOT_READY',
      `This node holds no open replica of group ${groupId}`,
    );
  }
  return carryOut(replica, call, { epoch, timeoutMs, consistency, signal });
}

async function carryOut(
  replica: ShardReplica,
  call: ReplicaCall,
  context: CallContext,
): Promise<Uint8Array> {
  switch (call.method) {
    case 'propose':
      return encodeProposalAnswers(await replica.propose(call.commands, context));
    case 'search':
      return encodeHits(await replica.search(call.scope, call.queries, context));
    case 'fetch':
      return encodeRecords(await replica.fetch(call.scope, call.keys, call.include, context));
    case 'count':
      return encodeCount(await replica.count(call.scope, context));
    case 'barrier':
      await replica.barrier(context);
      return DONE;
    case 'status':
      return encodeStatus(await replica.status(context));
    default:
      return unreachable(call);
  }
}
