/** A shard replica on another node: each call is one request over the link between the nodes. */
import type {
  ContentQuery,
  ContentReport,
  Explanation,
  Hit,
  ReadScope,
  RecordKey,
  ScrollPage,
  ScrollQuery,
  SearchQuery,
  Selection,
  StoredRecord,
} from '../engine/engine.js';
import type { Transport } from '../transport/transport.js';
import type { CallContext, ProposalAnswer, ReplicaStatus, ShardReplica } from './replica.js';
import { decodeProposalAnswers, decodeStatus, encodeCall, type ReplicaCall } from './rpc-codec.js';
import { decodeContentReport } from './rpc-contents.js';
import {
  decodeCount,
  decodeExplanation,
  decodeHits,
  decodeRecords,
  decodeScrollPage,
} from './rpc-reads.js';

export interface RemoteReplicaOptions {
  readonly shardId: number;
  readonly groupId: number;
  readonly nodeId: number;
  readonly transport: Pick<Transport, 'request'>;
}

export class RemoteReplica implements ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  readonly #groupId: number;
  readonly #transport: Pick<Transport, 'request'>;

  constructor(options: RemoteReplicaOptions) {
    this.shardId = options.shardId;
    this.nodeId = options.nodeId;
    this.#groupId = options.groupId;
    this.#transport = options.transport;
  }

  async propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]> {
    return decodeProposalAnswers(await this.#call({ method: 'propose', commands }, context));
  }

  async search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    context: CallContext,
  ): Promise<Hit[][]> {
    return decodeHits(await this.#call({ method: 'search', scope, queries }, context));
  }

  async fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
    context: CallContext,
  ): Promise<(StoredRecord | undefined)[]> {
    return decodeRecords(await this.#call({ method: 'fetch', scope, keys, include }, context));
  }

  async count(scope: ReadScope, selection: Selection, context: CallContext): Promise<number> {
    return decodeCount(await this.#call({ method: 'count', scope, selection }, context));
  }

  async scroll(scope: ReadScope, query: ScrollQuery, context: CallContext): Promise<ScrollPage> {
    return decodeScrollPage(await this.#call({ method: 'scroll', scope, query }, context));
  }

  async explain(scope: ReadScope, query: SearchQuery, context: CallContext): Promise<Explanation> {
    return decodeExplanation(await this.#call({ method: 'explain', scope, query }, context));
  }

  async contents(query: ContentQuery, context: CallContext): Promise<ContentReport> {
    return decodeContentReport(await this.#call({ method: 'contents', query }, context));
  }

  async barrier(context: CallContext): Promise<void> {
    await this.#call({ method: 'barrier' }, context);
  }

  async status(context: CallContext): Promise<ReplicaStatus> {
    return decodeStatus(await this.#call({ method: 'status' }, context));
  }

  #call(call: ReplicaCall, context: CallContext): Promise<Uint8Array> {
    const { epoch, timeoutMs, consistency = 'strong', passOn = false } = context;
    const groupId = this.#groupId;
    const payload = encodeCall({ groupId, epoch, timeoutMs, consistency, passOn, call });
    return this.#transport.request(this.nodeId, payload, {
      timeoutMs: context.timeoutMs,
      ...(context.signal !== undefined && { signal: context.signal }),
    });
  }
}
