/** The options of `add-nodes`, as a configuration and the snapshot that the replicas begin with. */

import type { LeaseConfig, Snapshot } from '../../../src/raft/types.js';
import { DirectiveError } from './directive-error.js';
import type { Argument } from './parser.js';
import type { ReplayConfig } from './replay-node.js';

export interface NodeOptions {
  readonly config: ReplayConfig;
  /** Undefined for replicas that begin with nothing, not even a configuration. */
  readonly snapshot: Snapshot | undefined;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

/** A whole number of at least 0. Throws a `DirectiveError` that names `what`. */
export function parseWhole(text: string | undefined, what: string): number {
  const value = Number(text);
  if (text === undefined || text === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new DirectiveError(`${what} must be a whole number, not ${JSON.stringify(text)}`);
  }
  return value;
}

/** `true` or `false`. Throws a `DirectiveError` that names `what`. */
export function parseFlag(text: string | undefined, what: string): boolean {
  if (text !== 'true' && text !== 'false') {
    throw new DirectiveError(`${what} must be true or false, not ${JSON.stringify(text)}`);
  }
  return text === 'true';
}

/** For an option of which the core knows only one value. */
function requireValue(text: string | undefined, known: string, what: string): void {
  if (text !== known) {
    throw new DirectiveError(`${what} must be ${known}, not ${JSON.stringify(text)}`);
  }
}

/** `leases=(duration, promise, drift in percent)`, in milliseconds. */
function parseLeases(values: readonly string[]): LeaseConfig {
  const [durationMs, promiseMs, driftPercent] = values.map((value) => parseWhole(value, 'leases'));
  if (durationMs === undefined || promiseMs === undefined || driftPercent === undefined) {
    throw new DirectiveError('leases must be (duration, promise, drift percent)');
  }
  return { durationMs, promiseMs, driftFraction: driftPercent / 100 };
}

/** etcd's stub: short timeouts, no limits, every option off, and its ways with proposals. */
function stubConfig(): Writable<ReplayConfig> {
  return {
    electionTicks: 3,
    heartbeatTicks: 1,
    preVote: false,
    checkQuorum: false,
    maxSizePerMessageBytes: Number.MAX_SAFE_INTEGER,
    maxCommittedSizeBytes: Number.MAX_SAFE_INTEGER,
    maxInflightMessages: 2 ** 31 - 1,
    maxInflightBytes: Number.MAX_SAFE_INTEGER,
    maxUncommittedBytes: Number.MAX_SAFE_INTEGER,
    asyncStorageWrites: false,
    stepDownOnRemoval: false,
    confChangeValidation: 'empty-entry',
    forwardProposals: true,
  };
}

/** Reads the arguments after the count. Throws a `DirectiveError` for one that it does not know. */
export function parseNodeOptions(words: readonly Argument[]): NodeOptions {
  const config = stubConfig();
  let voters: readonly number[] = [];
  let learners: readonly number[] = [];
  let index = 0;
  let content = '';
  for (const { key, values } of words) {
    const value = values[0];
    switch (key) {
      case 'voters':
        voters = values.map((id) => parseWhole(id, key));
        break;
      case 'learners':
        learners = values.map((id) => parseWhole(id, key));
        break;
      case 'index':
        index = parseWhole(value, key);
        break;
      case 'content':
        content = value ?? '';
        break;
      case 'async-storage-writes':
        config.asyncStorageWrites = parseFlag(value, key);
        break;
      case 'prevote':
        config.preVote = parseFlag(value, key);
        break;
      case 'checkquorum':
        config.checkQuorum = parseFlag(value, key);
        break;
      case 'inflight':
        config.maxInflightMessages = parseWhole(value, key);
        break;
      case 'max-size-per-msg':
        config.maxSizePerMessageBytes = parseWhole(value, key);
        break;
      case 'max-committed-size-per-ready':
        config.maxCommittedSizeBytes = parseWhole(value, key);
        break;
      case 'step-down-on-removal':
        config.stepDownOnRemoval = parseFlag(value, key);
        break;
      case 'disable-conf-change-validation':
        config.confChangeValidation = parseFlag(value, key) ? 'none' : 'empty-entry';
        break;
      case 'strict-conf-changes':
        config.confChangeValidation = parseFlag(value, key) ? 'refuse' : 'empty-entry';
        break;
      case 'leases':
        config.leases = parseLeases(values);
        break;
      case 'read-only':
        requireValue(value, 'safe', key);
        break;
      default:
        throw new DirectiveError(`add-nodes does not know ${key}=${values.join(',')}`);
    }
  }
  if (words.length === 0) {
    return { config, snapshot: undefined };
  }
  if (index <= 1) {
    throw new DirectiveError('index must be specified as > 1 due to bootstrap');
  }
  const confState = { voters, votersOutgoing: [], learners, learnersNext: [], autoLeave: false };
  const snapshot = { meta: { index, term: 1, confState }, data: Buffer.from(content) };
  return { config, snapshot };
}
