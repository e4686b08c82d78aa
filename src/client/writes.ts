/** What writes of records take, and what they answer. */
import { WRITE_MODES, type WriteMode } from '../shared/codec/api-messages.js';
import type { ErrorReason } from '../shared/error-codes.js';
import type { WriteOutcome } from '../shared/types.js';
import type { CallOptions } from './options.js';
import { type Metadata, oneOf } from './values.js';

export interface NewRecord<M extends object> {
  /** 1 to 512 bytes of UTF-8, unique in the collection. */
  readonly id: string;
  /** Exactly as many finite numbers as the collection's dimension; stored as float32. */
  readonly values: Float32Array | readonly number[];
  readonly metadata?: M;
  /** Write it only if it exists with exactly this version; else its outcome is a conflict. */
  readonly ifVersion?: string;
  /**
   * How long it lives from now on, up to 100 years; 0 for ever. It is deleted, and seen until then,
   * some seconds after its time. @default what the collection says
   */
  readonly ttlMs?: number;
  /** As in `RecordName`. */
  readonly shardKey?: string;
}

export interface UpsertOptions extends CallOptions {
  /**
   * `insert-only`: records that exist are left as they are (RECORD_EXISTS). `update-only`: no
   * record is made (RECORD_NOT_FOUND). @default both are done
   */
  readonly mode?: WriteMode;
}

/** What is merged into a field of type `T`: of an object any fields, a list only as a whole. */
type FieldChange<T> = unknown extends T
  ? T
  : T extends readonly unknown[]
    ? T
    : T extends object
      ? MetadataChange<T>
      : T;

/**
 * What is merged into metadata of type `M`: any of its fields, and of the objects in it; null
 * removes one, be it required by the type or not. Where the fields are not known, whatever JSON is.
 */
export type MetadataChange<M extends object> = string extends keyof M
  ? Metadata
  : { readonly [Name in keyof M]?: FieldChange<NonNullable<M[Name]>> | null };

/** A change of a record's metadata, merged in as RFC 7396 has it: null removes a field. */
export interface MetadataPatch<M extends object = Metadata> {
  readonly id: string;
  readonly metadata: MetadataChange<M>;
  /** As in `NewRecord`. */
  readonly ifVersion?: string;
  /** As in `RecordName`. */
  readonly shardKey?: string;
}

/** What names a record of a tenant within its collection. */
export interface RecordName {
  readonly id: string;
  /**
   * In collections that are routed by shard key, and in no others: 1 to 512 bytes of UTF-8. Records
   * of one key are on one shard.
   */
  readonly shardKey?: string;
}

/** A record to delete, if it has this version. */
export interface VersionedId extends RecordName {
  readonly ifVersion?: string;
}

/** What became of one record of a write. */
export type RecordOutcome =
  | {
      readonly id: string;
      readonly kind: 'applied';
      /** A decimal number that grows with each write of the record. */
      readonly version: string;
      /** Whether a record of this id existed before. */
      readonly existed: boolean;
    }
  | {
      readonly id: string;
      /** 'unknown': it may have been written, or be written yet. */
      readonly kind: 'not-applied' | 'unknown';
      readonly reason: ErrorReason;
      readonly message: string;
      /** The version that the record has, where that is not what the write demanded. */
      readonly currentVersion?: string;
    };

export interface WriteResult {
  /** One per record, in order. */
  readonly outcomes: readonly RecordOutcome[];
  readonly appliedCount: number;
}

export function checkedMode({ mode }: UpsertOptions): WriteMode | undefined {
  return mode === undefined ? undefined : oneOf(mode, WRITE_MODES, 'mode');
}

export function writeResult(
  records: readonly { readonly id: string }[],
  outcomes: readonly WriteOutcome[],
): WriteResult {
  let appliedCount = 0;
  const named = records.map(({ id }, index): RecordOutcome => {
    const outcome = outcomes[index];
    if (outcome === undefined) {
      return { id, kind: 'unknown', reason: 'INTERNAL', message: 'The answer has no outcome' };
    }
    if (outcome.kind !== 'applied') {
      const { reason, message, details } = outcome.error;
      const currentVersion = details?.currentVersion;
      const failed = { id, kind: outcome.kind, reason, message };
      return currentVersion === undefined ? failed : { ...failed, currentVersion };
    }
    appliedCount++;
    return { id, kind: 'applied', version: String(outcome.version), existed: outcome.existed };
  });
  return { outcomes: named, appliedCount };
}
