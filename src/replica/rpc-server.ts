/** Answers the calls of routers on other nodes with the replicas of this one. */
import { unreachable } from '../shared/assert.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import type { CallContext, ReadAnswer, ShardReplica } from './replica.js';
import {
  type AddressedCall,
  decodeCall,
  encodeProposalAnswers,
  encodeStatus,
} from './rpc-codec.js';
import { encodeContentReport } from './rpc-contents.js';
import { RPC_FORMAT } from './rpc-parts.js';
import {
  encodeCount,
  encodeExplanation,
  encodeHits,
  encodeRecords,
  encodeScrollPage,
} from './rpc-reads.js';
import { encodeTenants } from './rpc-tenants.js';

const DONE = new Uint8Array(0);

type FormattedCall = Pick<AddressedCall, 'format' | 'call'>;

export interface KnownReplicas {
  /** Replicas of this node by group. */
  readonly local: ReadonlyMap<number, ShardReplica>;
  replicaOf(
    group: { readonly shardId: number; readonly groupId: number },
    nodeId: number,
  ): ShardReplica;
}

export interface ServedCallOptions {
  readonly replicas: KnownReplicas;
  readonly clock: Clock;
  /** Aborted when the asker gives up. */
  readonly signal: GiveUpSignal;
}

/**
 * Carries out one encoded call: here, or where the call asks for it and another node leads, there.
 * Rejects with what the replica rejects with, and never with SHARD_UNAVAILABLE, which askers take
 * for their own link to this node.
 */
export async function serveReplicaCall(
  payload: Uint8Array,
  { replicas, clock, signal }: ServedCallOptions,
): Promise<Uint8Array> {
  const startMs = clock.monotonicMs();
  const { format, groupId, epoch, timeoutMs, consistency, passOn, call } = decodeCall(payload);
  const replica = replicas.local.get(groupId);
  if (replica === undefined) {
    throw new FlotillaError(
      'NODE_NOT_READY',
      `This node holds no open replica of group ${groupId}`,
    );
  }
  const context = { epoch, timeoutMs, consistency, signal };
  try {
    return await carryOut(replica, { format, call }, context);
  } catch (thrown) {
    const leaderNodeId = leaderNamedBy(thrown);
    if (!passOn || leaderNodeId === undefined || leaderNodeId === replica.nodeId) throw thrown;
    const leader = replicas.replicaOf({ shardId: replica.shardId, groupId }, leaderNodeId);
    const leftMs = Math.max(0, timeoutMs - (clock.monotonicMs() - startMs));
    return await passOnTo(leader, { format, call }, { ...context, timeoutMs: leftMs });
  }
}

/** The context is without the mark: who gets the call now carries it out or refuses it. */
async function passOnTo(
  leader: ShardReplica,
  call: FormattedCall,
  context: CallContext,
): Promise<Uint8Array> {
  try {
    return await carryOut(leader, call, context);
  } catch (thrown) {
    if (!isFlotillaError(thrown) || thrown.reason !== 'SHARD_UNAVAILABLE') throw thrown;
    const message = `Node ${leader.nodeId} leads, and is not reached from here either`;
    throw new FlotillaError('NO_LEADER', message, { cause: thrown });
  }
}

/** A refusal that names another leader says that nothing of the call was done. */
function leaderNamedBy(thrown: unknown): number | undefined {
  if (!isFlotillaError(thrown) || thrown.reason !== 'NOT_LEADER') return undefined;
  const nodeId = Number(thrown.body.details?.leaderNodeId ?? 0);
  return nodeId > 0 ? nodeId : undefined;
}

/**
 * Who asks in the first format gets the answer of a read in it, without the state. Others are told
 * which node has answered as well: it may be the one that the call was passed on to.
 */
function carryOut(
  replica: ShardReplica,
  { format, call }: FormattedCall,
  context: CallContext,
): Promise<Uint8Array> {
  const { nodeId } = replica;
  const inItsFormat =
    <T>(encode: (answer: ReadAnswer<T>) => Uint8Array) =>
    ({ value, state }: ReadAnswer<T>): Uint8Array =>
      format === RPC_FORMAT || state === undefined
        ? encode({ value })
        : encode({ value, state: { nodeId, ...state } });
  switch (call.method) {
    case 'propose':
      return replica.propose(call.commands, context).then(encodeProposalAnswers);
    case 'search':
      return replica.search(call.scope, call.queries, context).then(inItsFormat(encodeHits));
    case 'fetch':
      return replica
        .fetch(call.scope, call.keys, call.include, context)
        .then(inItsFormat(encodeRecords));
    case 'count':
      return replica.count(call.scope, call.selection, context).then(inItsFormat(encodeCount));
    case 'scroll':
      return replica.scroll(call.scope, call.query, context).then(inItsFormat(encodeScrollPage));
    case 'tenants':
      return replica.tenants(call.scope, call.query, context).then(inItsFormat(encodeTenants));
    case 'explain':
      return replica.explain(call.scope, call.query, context).then(inItsFormat(encodeExplanation));
    case 'contents':
      return replica.contents(call.query, context).then(encodeContentReport);
    case 'barrier':
      return replica.barrier(context).then(() => DONE);
    case 'status':
      return replica.status(context).then((status) => encodeStatus(status, format));
    default:
      return unreachable(call);
  }
}
