/**
 * Goal: what a shard must hold after each entry of its log, whoever applies it, and when.
 *
 * Method: the naive model of a shard takes each entry as soon as the first replica does. All states
 * are kept: replicas are behind one another.
 */
import type { CommandResult, ShardGenesis } from '../../../src/engine/engine.js';
import { defined } from '../../../src/shared/assert.js';
import { type Command, decodeCommand, type RequestKey } from '../../../src/shared/codec/command.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { Version } from '../../../src/shared/types.js';
import type { OwnershipModel } from '../../unit/engine/model/ownership-model.js';
import {
  keyOf,
  type ModelRecord,
  type ModelResult,
  resultOf,
  ShardModel,
} from '../../unit/engine/model/shard-model.js';

/** Records of a collection, by the names that `keyOf` gives them. */
export type Records = ReadonlyMap<string, ModelRecord>;

/** What a shard holds. Never changed. */
export interface ShardState {
  readonly ownershipVersion: number;
  /** By collection. */
  readonly collections: ReadonlyMap<number, Records>;
}

/** What an entry has done to a record. */
export interface RecordChange {
  readonly collection: string;
  readonly tenant: string;
  readonly id: string;
  /** Of the entry. */
  readonly version: Version;
  /** `undefined` where there was none, or is none any more. */
  readonly before: ModelRecord | undefined;
  readonly after: ModelRecord | undefined;
  /** Whose write it is; `undefined` where the time of the record was over. */
  readonly clientId: string | undefined;
}

export class ShardReplay {
  readonly #model: ShardModel;
  readonly #onChange: (change: RecordChange) => void;
  /** By log index. */
  readonly #states: ShardState[];
  readonly #results: (string | undefined)[] = [];
  /** By client: sequences below are forgotten. */
  readonly #lowestKnown = new Map<string, number>();
  /** What the first replica in a state has said of its contents. */
  readonly #contents = new Map<ShardState, string>();

  constructor(
    { ownershipVersion, slots }: Pick<ShardGenesis, 'ownershipVersion' | 'slots'>,
    onChange: (change: RecordChange) => void,
  ) {
    this.#model = new ShardModel(ownershipVersion, slots);
    this.#states = [{ ownershipVersion, collections: new Map() }];
    this.#onChange = onChange;
  }

  /** What the log leads to, as far as it is known. */
  get latest(): ShardState {
    return defined(this.#states.at(-1), 'a state');
  }

  /** Which keys the shard owns, as far as its log is known. */
  get ownership(): OwnershipModel {
    return this.#model.ownership;
  }

  /** A record that the shard holds and does not own; undefined where there is none. */
  get stray(): ModelRecord | undefined {
    return this.#model.stray();
  }

  /** To be told of each entry before anybody can see what it does; of each as often as it comes. */
  take(entries: readonly CommittedEntry[]): void {
    for (const { index, data } of entries) {
      if (index < this.#states.length) continue;
      while (this.#states.length < index) this.#states.push(this.latest);
      const { command, version } = decodeCommand(data);
      const before = this.latest;
      this.#results[index] = textOfModel(this.#apply(command, version));
      const after = this.#stateAfter(before, command);
      this.#states.push(after);
      this.#tell(before, after, command, version);
    }
  }

  /** What the entry must answer; `undefined` where nobody has applied it yet. */
  resultOf(index: number): string | undefined {
    return this.#results[index];
  }

  /** The state after all entries up to an index. */
  stateAt(index: number): ShardState {
    return this.#states[index] ?? this.latest;
  }

  /** What a replica in that state says of its contents; returns what the first one has said. */
  contentsIn(state: ShardState, contents: string): string {
    const first = this.#contents.get(state) ?? contents;
    this.#contents.set(state, first);
    return first;
  }

  #apply(command: Command, version: Version): ModelResult {
    if (command.kind !== 'write') return this.#model.apply(command, version);
    const { requestKey } = command;
    if (this.#isForgotten(requestKey) && !this.#model.isStale(command))
      return { kind: 'refused', reason: 'SESSION_EXPIRED' };
    const result = this.#model.apply(command, version);
    if (result.kind === 'write') this.#forget(requestKey);
    return result;
  }

  #isForgotten({ clientId, sequence }: RequestKey): boolean {
    return sequence < (this.#lowestKnown.get(clientId) ?? 0);
  }

  #forget({ clientId, lowestUnanswered }: RequestKey): void {
    const known = this.#lowestKnown.get(clientId) ?? 0;
    this.#lowestKnown.set(clientId, Math.max(known, lowestUnanswered));
  }

  /** The collections that the command is not about are the same objects as before. */
  #stateAfter(before: ShardState, command: Command): ShardState {
    const { version: ownershipVersion } = this.#model.ownership;
    if (!('collectionId' in command)) {
      return before.ownershipVersion === ownershipVersion
        ? before
        : { ...before, ownershipVersion };
    }
    const { collectionId } = command;
    const collections = new Map(before.collections);
    const collection = this.#model.collections.get(collectionId);
    if (collection === undefined) collections.delete(collectionId);
    else collections.set(collectionId, new Map(collection.records));
    return { ownershipVersion, collections };
  }

  #tell(before: ShardState, after: ShardState, command: Command, version: Version): void {
    if (command.kind !== 'write' && command.kind !== 'expire') return;
    const { collectionId } = command;
    const name = this.#model.collections.get(collectionId)?.config.name;
    if (name === undefined) return;
    const targets = command.kind === 'write' ? command.operations : command.records;
    const clientId = command.kind === 'write' ? command.requestKey.clientId : undefined;
    for (const target of targets) {
      const key = keyOf(target);
      const was = before.collections.get(collectionId)?.get(key);
      const is = after.collections.get(collectionId)?.get(key);
      if (was === is) continue;
      const { tenant, id } = target;
      const place = { collection: name, tenant, id };
      this.#onChange({ ...place, version, before: was, after: is, clientId });
    }
  }
}

/** A result without the words of its errors. */
export function textOfResult(result: CommandResult | undefined): string {
  return result === undefined ? 'nothing' : textOfModel(resultOf(result));
}

function textOfModel(result: ModelResult): string {
  switch (result.kind) {
    case 'write':
      return result.outcomes
        .map(({ kind, reason, version, existed }) =>
          kind === 'applied' ? `${kind} ${version} ${existed}` : `${kind} ${reason}`,
        )
        .join();
    case 'refused':
      return `refused ${result.reason}`;
    case 'expired':
      return `expired ${result.removed}`;
    default:
      return result.kind;
  }
}
