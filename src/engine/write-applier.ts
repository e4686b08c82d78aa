/**
 * Applying a write entry: a function of the entry and the replicated state alone. What a write
 * cannot do becomes an outcome or a refusal, the same on all replicas, never a throw.
 */
import { defined } from '../shared/assert.js';
import type { WriteCommand } from '../shared/codec/command.js';
import type { ErrorBody, Version, WriteOutcome } from '../shared/types.js';
import type { CommandResult } from './engine.js';
import type { RecordedOutcome } from './session-codec.js';
import type { Sessions } from './sessions.js';
import type { WriteBatch } from './write-batch.js';
import type { RecordWriter } from './writes/record-writer.js';

/** The log entry that a write came in. */
export interface WriteEntry {
  readonly index: number;
  readonly version: Version;
  readonly command: WriteCommand;
}

/** What an entry is applied to. */
export interface WriteTarget {
  /** Absent where the shard has no collection of the command's id. */
  readonly writer: RecordWriter | undefined;
  /** Whether other shards may have had the keys before. */
  readonly mayHaveMoved: boolean;
}

/**
 * Applies the operations whose outcomes are not recorded yet, and answers for all of them. The
 * caller has checked ownership. Without a writer, what was applied before the collection was
 * dropped is still answered as it was.
 */
export function applyWrite(
  { index, version, command }: WriteEntry,
  { writer, mayHaveMoved }: WriteTarget,
  sessions: Sessions,
  batch: WriteBatch,
): CommandResult {
  const { collectionId, requestKey, operations } = command;
  if (sessions.isExpired(requestKey)) return { kind: 'refused', error: expired(command) };
  const ordinals = operations.map(({ ordinal }) => ordinal);
  const outcomes = sessions.recorded(requestKey, collectionId, operations);
  const isNew = ordinals.some((ordinal) => !outcomes.has(ordinal));
  if (isNew && mayHaveMoved && sessions.mayBeElsewhere(requestKey)) {
    return { kind: 'refused', error: expired(command) };
  }
  if (writer === undefined && outcomes.size === 0) {
    return { kind: 'refused', error: collectionMissing(command.collectionId) };
  }
  const fresh: RecordedOutcome[] = [];
  for (const operation of operations) {
    if (outcomes.has(operation.ordinal)) continue;
    const outcome: WriteOutcome =
      writer === undefined
        ? { kind: 'not-applied', error: collectionMissing(command.collectionId) }
        : writer.apply(operation, version);
    outcomes.set(operation.ordinal, outcome);
    const { ordinal, slot, tenant } = operation;
    const owner = tenant === '' ? {} : { owner: { collectionId, tenant } };
    fresh.push({ ordinal, slot, outcome, ...owner });
  }
  sessions.record(requestKey, index, version, fresh, batch);
  return {
    kind: 'write',
    outcomes: ordinals.map((ordinal) => ({
      ordinal,
      outcome: defined(outcomes.get(ordinal), 'outcome'),
    })),
  };
}

export function collectionMissing(collectionId: number): ErrorBody {
  return {
    reason: 'COLLECTION_NOT_FOUND',
    message: `the shard has no collection ${collectionId}`,
    details: { collectionId: String(collectionId) },
  };
}

function expired({ requestKey }: WriteCommand): ErrorBody {
  return {
    reason: 'SESSION_EXPIRED',
    message:
      `request ${requestKey.sequence} of client ${requestKey.clientId} is older than what the ` +
      'shard remembers',
  };
}
