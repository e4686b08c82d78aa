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
  TenantCount,
  TenantsQuery,
} from '../engine/engine.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Transport } from '../transport/transport.js';
import { tooSlow } from './consistent-reads.js';
import { FreshnessMark, type Moment } from './freshness-mark.js';
import type {
  CallContext,
  ProposalAnswer,
  ReadAnswer,
  ReplicaStatus,
  ShardReplica,
} from './replica.js';
import {
  type CallFormat,
  decodeProposalAnswers,
  decodeStatus,
  encodeCall,
  type ReplicaCall,
} from './rpc-codec.js';
import { decodeContentReport } from './rpc-contents.js';
import { READ_FORMAT, RPC_FORMAT } from './rpc-parts.js';
import {
  decodeCount,
  decodeExplanation,
  decodeHits,
  decodeRecords,
  decodeScrollPage,
} from './rpc-reads.js';
import { decodeTenants } from './rpc-tenants.js';

export interface RemoteReplicaOptions {
  readonly shardId: number;
  readonly groupId: number;
  readonly nodeId: number;
  readonly transport: Pick<Transport, 'request'>;
  readonly clock: Clock;
}

/** A node that was found old is taken for it so long: it may be upgraded at any time. */
const OLD_MS = 5_000;

export class RemoteReplica implements ShardReplica {
  readonly shardId: number;
  readonly nodeId: number;
  readonly #groupId: number;
  readonly #transport: Pick<Transport, 'request'>;
  readonly #mark: FreshnessMark;
  /** When the node said that it does not know this version's format; undefined where it does. */
  #foundOld: Moment | undefined;

  constructor(options: RemoteReplicaOptions) {
    this.shardId = options.shardId;
    this.nodeId = options.nodeId;
    this.#groupId = options.groupId;
    this.#transport = options.transport;
    this.#mark = new FreshnessMark(options.clock);
  }

  async propose(commands: readonly Uint8Array[], context: CallContext): Promise<ProposalAnswer[]> {
    return decodeProposalAnswers(await this.#call({ method: 'propose', commands }, context));
  }

  async search(
    scope: ReadScope,
    queries: readonly SearchQuery[],
    context: CallContext,
  ): Promise<ReadAnswer<Hit[][]>> {
    return decodeHits(await this.#read({ method: 'search', scope, queries }, context));
  }

  async fetch(
    scope: ReadScope,
    keys: readonly RecordKey[],
    include: { values: boolean; metadata: boolean },
    context: CallContext,
  ): Promise<ReadAnswer<(StoredRecord | undefined)[]>> {
    return decodeRecords(await this.#read({ method: 'fetch', scope, keys, include }, context));
  }

  async count(
    scope: ReadScope,
    selection: Selection,
    context: CallContext,
  ): Promise<ReadAnswer<number>> {
    return decodeCount(await this.#read({ method: 'count', scope, selection }, context));
  }

  async scroll(
    scope: ReadScope,
    query: ScrollQuery,
    context: CallContext,
  ): Promise<ReadAnswer<ScrollPage>> {
    return decodeScrollPage(await this.#read({ method: 'scroll', scope, query }, context));
  }

  async tenants(
    scope: ReadScope,
    query: TenantsQuery,
    context: CallContext,
  ): Promise<ReadAnswer<TenantCount[]>> {
    return decodeTenants(await this.#read({ method: 'tenants', scope, query }, context));
  }

  async explain(
    scope: ReadScope,
    query: SearchQuery,
    context: CallContext,
  ): Promise<ReadAnswer<Explanation>> {
    return decodeExplanation(await this.#read({ method: 'explain', scope, query }, context));
  }

  async contents(query: ContentQuery, context: CallContext): Promise<ContentReport> {
    return decodeContentReport(await this.#call({ method: 'contents', query }, context));
  }

  async barrier(context: CallContext): Promise<void> {
    await this.#call({ method: 'barrier' }, context);
  }

  async status(context: CallContext): Promise<ReplicaStatus> {
    return decodeStatus(await this.#read({ method: 'status' }, context));
  }

  /** Rejects with UNIMPLEMENTED where the node is of a version that selects by no shard keys. */
  #read(call: ReplicaCall, context: CallContext): Promise<Uint8Array> {
    const answer = this.#readInItsFormat(call, context);
    if (!namesShardKeys(call)) return answer;
    return answer.catch((thrown: unknown) => {
      throw saysNoBoolean(thrown) ? noShardKeys(this.nodeId) : thrown;
    });
  }

  /**
   * A node of a version that knows only strong and leased reads is asked in its own format, and
   * reads strongly whatever was asked for: no answer is less fresh than it has to be.
   */
  async #readInItsFormat(call: ReplicaCall, context: CallContext): Promise<Uint8Array> {
    if (this.#foundOld === undefined || this.#mark.ageMs(this.#foundOld) > OLD_MS) {
      try {
        const answer = await this.#call(call, context, READ_FORMAT);
        this.#foundOld = undefined;
        return answer;
      } catch (thrown) {
        if (!saysFormatUnknown(thrown)) throw thrown;
        this.#foundOld = this.#mark.now();
      }
    }
    return this.#readStrongly(call, context);
  }

  /** The answer does not tell its age: it is no older than the question (R12). */
  async #readStrongly(call: ReplicaCall, context: CallContext): Promise<Uint8Array> {
    const asked = this.#mark.now();
    const { consistency = 'strong' } = context;
    const known = consistency === 'leased' ? 'leased' : 'strong';
    const answer = await this.#call(call, { ...context, consistency: known });
    if (typeof consistency === 'string' || !('boundedMs' in consistency)) return answer;
    if (this.#mark.ageMs(asked) > consistency.boundedMs) throw tooSlow(consistency.boundedMs);
    return answer;
  }

  #call(
    call: ReplicaCall,
    context: CallContext,
    format: CallFormat = RPC_FORMAT,
  ): Promise<Uint8Array> {
    const { epoch, timeoutMs, signal, consistency = 'strong', passOn = false } = context;
    const groupId = this.#groupId;
    const payload = encodeCall({ format, groupId, epoch, timeoutMs, consistency, passOn, call });
    return this.#transport.request(this.nodeId, payload, { timeoutMs, signal });
  }
}

function namesShardKeys(call: ReplicaCall): boolean {
  switch (call.method) {
    case 'search':
      return call.queries.some(({ shardKeys }) => shardKeys !== undefined);
    case 'count':
      return call.selection.shardKeys !== undefined;
    case 'scroll':
    case 'explain':
      return call.query.shardKeys !== undefined;
    default:
      return false;
  }
}

/** What a version without shard keys finds in their place, see `writeSelection`. */
function saysNoBoolean(thrown: unknown): boolean {
  const { reason, message } = toFlotillaError(thrown);
  return reason === 'INTERNAL' && message.includes('not a boolean');
}

function noShardKeys(nodeId: number): FlotillaError {
  const message = `Node ${nodeId} is of a version that reads by no shard keys, upgrade it`;
  return new FlotillaError('UNIMPLEMENTED', message, { field: 'shardKeys' });
}

/** In the words of `decodeCall`: all that a version without the format has for it. */
function saysFormatUnknown(thrown: unknown): boolean {
  const { reason, message } = toFlotillaError(thrown);
  return reason === 'INTERNAL' && message.includes(`replica call format ${READ_FORMAT}`);
}
