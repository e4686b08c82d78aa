/** Bringing a write to an outcome for each of its records. */
import type { CallContext, ProposalAnswer, ShardReplica } from '../replica/replica.js';
import { assert, defined, unreachable } from '../shared/assert.js';
import { encodeCommand, type RequestKey, type WriteOperation } from '../shared/codec/command.js';
import { noteSeen, type SeenShard } from '../shared/consistency.js';
import type { Environment } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { RecordPlace } from '../shared/write-outcomes.js';
import type { CollectionEntry, ShardEntry, TopologyDocument } from '../topology/document.js';
import { routeOf } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';
import { publicRecord } from './addresses.js';
import type { KeyLease, RequestKeys } from './request-keys.js';
import type { WriteAnswer } from './requests.js';
import { adviceFor, Backoff } from './retry.js';
import type { ShardClient } from './shard-client.js';
import type { TimeBudget } from './time-budget.js';
import type { TopologyRefresh } from './topology-refresh.js';
import { WriteLedger } from './write-ledger.js';
import { cutIntoCommands, splitByShard } from './write-split.js';

/** Bounds what one proposal holds in memory, and in one frame, to 16 MiB. */
const COMMANDS_PER_PROPOSAL = 16;

/** What applying an entry answers, as the replica's interface has it. */
type CommandResult = Extract<ProposalAnswer, { kind: 'applied' }>['result'];

export interface WriterOptions {
  readonly view: TopologyView;
  readonly shards: ShardClient;
  readonly keys: RequestKeys;
  readonly environment: Environment;
  readonly refresh: TopologyRefresh;
  /** Told how far each shard was written to, when its leader has answered. */
  readonly onWritten: (written: SeenShard) => void;
}

export interface WriteRequest {
  readonly collection: CollectionEntry;
  /** Numbered from 0 in the order of the request; each id once. */
  readonly operations: readonly WriteOperation[];
  /** What errors call the list of the records. */
  readonly field: string;
  readonly budget: TimeBudget;
  /** The caller's key, where it has one. */
  readonly requestKey?: RequestKey | undefined;
  /** Whether a write of unknown outcome is sent again from here. */
  readonly retriesUnknown: boolean;
}

/**
 * One write under way. Every shard's part goes its own way: proposed to the leader, and again
 * until the shard's log has told the outcome of each record; laid out anew when the table changes.
 */
export class WriteRun {
  readonly #options: WriterOptions;
  readonly #request: WriteRequest;
  readonly #ledger: WriteLedger;
  readonly #backoff: Backoff;
  readonly #leases: KeyLease[] = [];
  readonly #written = new Map<number, SeenShard>();

  constructor(options: WriterOptions, request: WriteRequest) {
    this.#options = options;
    this.#request = request;
    this.#ledger = new WriteLedger(request.operations.length);
    this.#backoff = new Backoff(options.environment);
  }

  /** Throws only when no record was applied; see `WriteLedger.outcomes`. Called once. */
  async run(): Promise<WriteAnswer> {
    try {
      await this.#drive(this.#request.operations, this.#firstKey());
      const written = [...this.#written.values()];
      const outcomes = this.#ledger.outcomes(written, (ordinal) => this.#placeOf(ordinal));
      return { outcomes, written, epoch: this.#topology().epoch };
    } finally {
      for (const lease of this.#leases) lease.release();
    }
  }

  #placeOf(ordinal: number): RecordPlace {
    const { collection, field, operations } = this.#request;
    const { id } = publicRecord(collection, defined(operations[ordinal], 'a record'));
    return { field: `${field}[${ordinal}]`, id };
  }

  #firstKey(): KeyLease {
    const { requestKey } = this.#request;
    if (requestKey !== undefined) return { key: () => requestKey, release: () => undefined };
    return this.#hold(this.#options.keys.take());
  }

  #hold(lease: KeyLease): KeyLease {
    this.#leases.push(lease);
    return lease;
  }

  /** Never rejects for a shard's errors; they become outcomes. */
  async #drive(operations: readonly WriteOperation[], key: KeyLease): Promise<void> {
    const document = this.#topology();
    const { collectionId, placementId } = this.#request.collection;
    const route = routeOf(document, placementId);
    if (route === undefined) {
      const message = `There is no collection ${collectionId} any more`;
      this.#ledger.giveUp(operations, new FlotillaError('COLLECTION_NOT_FOUND', message));
      return;
    }
    const parts = splitByShard(route, operations);
    await Promise.all(
      [...parts].map(([shardId, part]) => this.#writePart(document, shardId, part, key)),
    );
  }

  async #writePart(
    document: TopologyDocument,
    shardId: number,
    part: readonly WriteOperation[],
    key: KeyLease,
  ): Promise<void> {
    const shard = defined(
      document.shards.find((one) => one.shardId === shardId),
      `shard ${shardId}`,
    );
    const commands = cutIntoCommands(part);
    try {
      for (let at = 0; at < commands.length; at += COMMANDS_PER_PROPOSAL) {
        const round = commands.slice(at, at + COMMANDS_PER_PROPOSAL).flat();
        await this.#options.shards.call({
          operation: 'write',
          shardId,
          budget: this.#request.budget,
          ask: (replica, context) => this.#propose(shard, round, key, replica, context),
          mayRetry: () => this.#mayRetry(round),
          callerRetries: !this.#request.retriesUnknown,
        });
      }
    } catch (thrown) {
      const left = this.#ledger.undecided(part);
      await this.#afterFailure(toFlotillaError(thrown), document.epoch, left, key);
    }
  }

  async #afterFailure(
    error: FlotillaError,
    epoch: number,
    left: readonly WriteOperation[],
    key: KeyLease,
  ): Promise<void> {
    const { budget, requestKey, retriesUnknown } = this.#request;
    if (error.reason === 'STALE_TOPOLOGY' && !budget.isSpent) {
      this.#options.refresh.noteRefused(error);
      // Beside the entry that was refused there may be others whose answers were lost.
      if (!retriesUnknown) this.#giveUpProposed(left, error);
      await this.#backoff.newerTopology(this.#options.view, epoch, budget);
      return this.#drive(this.#ledger.undecided(left), key);
    }
    if (error.reason !== 'SESSION_EXPIRED' || requestKey !== undefined || budget.isSpent) {
      return this.#ledger.giveUp(left, error);
    }
    // The shard forgot this router, which may have been idle there for long. What it has surely
    // never seen can go under a new name; for the rest, nobody can tell any more.
    this.#giveUpProposed(left, error);
    await this.#backoff.pause(budget);
    const newKey = this.#hold(this.#options.keys.takeInsteadOf(key));
    return this.#drive(this.#ledger.undecided(left), newKey);
  }

  /** Makes no more attempts on those of which one may have, or may yet have, an effect. */
  #giveUpProposed(operations: readonly WriteOperation[], error: FlotillaError): void {
    const proposed = operations.filter((operation) => this.#ledger.mayBeProposed(operation));
    this.#ledger.giveUp(proposed, error);
  }

  #mayRetry(operations: readonly WriteOperation[]): boolean {
    if (this.#request.retriesUnknown) return true;
    return !this.#ledger.undecided(operations).some((one) => this.#ledger.mayBeProposed(one));
  }

  /**
   * One attempt on what is undecided of `operations`. Each attempt encodes its commands anew: a
   * proposed buffer belongs to the leader, which stamps its version into it and keeps it in its
   * log. Rejects while something is undecided that another attempt may decide.
   */
  async #propose(
    shard: ShardEntry,
    operations: readonly WriteOperation[],
    key: KeyLease,
    replica: ShardReplica,
    context: CallContext,
  ): Promise<void> {
    const commands = cutIntoCommands(this.#ledger.undecided(operations));
    if (commands.length === 0) return;
    const encoded = commands.map((part) =>
      encodeCommand({
        kind: 'write',
        collectionId: this.#request.collection.collectionId,
        ownershipVersion: shard.ownershipVersion,
        requestKey: key.key(),
        operations: part,
      }),
    );
    const sent = commands.flat();
    this.#ledger.sent(sent);
    let answers: ProposalAnswer[];
    try {
      answers = await replica.propose(encoded, context);
    } catch (thrown) {
      const error = toFlotillaError(thrown);
      if (error.outcome === 'not-applied') this.#ledger.withoutEffect(sent);
      throw error;
    }
    assert(answers.length === commands.length, () => `${answers.length} answers to ${sent.length}`);
    this.#noteWritten(shard, answers);
    const errors = commands.map((part, at) => this.#settle(part, answers[at] as ProposalAnswer));
    const error = errors.find((one) => one !== undefined);
    if (error !== undefined) throw error;
  }

  /** What a log has decided: an entry that the shard refused says nothing of any record. */
  #noteWritten(
    { shardId, ownershipVersion }: ShardEntry,
    answers: readonly ProposalAnswer[],
  ): void {
    const seen = answers.flatMap((answer): SeenShard[] => {
      if (answer.kind !== 'applied' || answer.result.kind !== 'write') return [];
      return [{ shardId, ownershipVersion, appliedIndex: answer.index }];
    });
    noteSeen(this.#written, seen);
    for (const written of seen) this.#options.onWritten(written);
  }

  /** Notes one command's answer; returns the error of what it left for another attempt. */
  #settle(part: readonly WriteOperation[], answer: ProposalAnswer): FlotillaError | undefined {
    const error = this.#note(part, answer);
    if (error === undefined || adviceFor(error) !== 'give-up') return error;
    if (error.reason === 'STALE_TOPOLOGY' || error.reason === 'SESSION_EXPIRED') return error;
    this.#ledger.giveUp(part, error);
    return undefined;
  }

  #note(part: readonly WriteOperation[], answer: ProposalAnswer): FlotillaError | undefined {
    switch (answer.kind) {
      case 'applied':
        return this.#noteResult(part, answer.result);
      case 'not-applied':
        this.#ledger.withoutEffect(part);
        return FlotillaError.fromBody(answer.error);
      case 'unknown':
        return FlotillaError.fromBody(answer.error);
      default:
        return unreachable(answer, 'proposal answer');
    }
  }

  #noteResult(part: readonly WriteOperation[], result: CommandResult): FlotillaError | undefined {
    switch (result.kind) {
      case 'write':
        for (const { ordinal, outcome } of result.outcomes) this.#ledger.decide(ordinal, outcome);
        return this.#ledger.undecided(part).length === 0
          ? undefined
          : new FlotillaError('INTERNAL', 'A shard left out the outcome of a record');
      case 'refused':
        this.#ledger.withoutEffect(part);
        return FlotillaError.fromBody(result.error);
      case 'done':
      case 'expired':
        return new FlotillaError('INTERNAL', 'A shard answered a write without outcomes');
      default:
        return unreachable(result, 'command result');
    }
  }

  #topology(): TopologyDocument {
    return defined(this.#options.view.current(), 'the topology');
  }
}
