/** What clients saw: the operations of a recorded history, and what a checker says of them. */

export type Value = string | number;

/**
 * ok: it happened between start and end. fail: it has not happened and never will. unknown: it may
 * happen at any time after its start, or never; its end says nothing.
 */
export type Outcome = 'ok' | 'fail' | 'unknown';

interface Call {
  readonly client: string;
  /** The register, set or list. Checkers decide each one by itself. */
  readonly key: string;
  /** Both on one clock. What ends before another starts has happened before it. */
  readonly start: number;
  readonly end: number;
  readonly outcome: Outcome;
  /** What it ended in, for reports; absent where the outcome is ok. */
  readonly error?: unknown;
}

/** `existed`: whether the operation found a value there; absent where nobody was told. */
export type RegisterOperation = Call &
  (
    | { readonly op: 'read'; readonly value: Value | undefined }
    | { readonly op: 'write'; readonly value: Value; readonly existed?: boolean | undefined }
    | { readonly op: 'delete'; readonly existed?: boolean | undefined }
    | {
        readonly op: 'cas';
        readonly expected: Value | undefined;
        /** What it leaves; undefined: nothing. */
        readonly value: Value | undefined;
        /** Of an `ok` one: whether the expected value was there. */
        readonly swapped: boolean;
      }
  );

/** Each value is added at most once and removed at most once. */
export type SetOperation = Call &
  (
    | { readonly op: 'add' | 'remove'; readonly value: Value }
    | { readonly op: 'read-all'; readonly values: readonly Value[] }
  );

/** Each value is appended at most once. */
export type AppendOperation = Call &
  (
    | { readonly op: 'append'; readonly value: Value }
    | { readonly op: 'read-all'; readonly values: readonly Value[] }
  );

/** Why a history cannot be that of one correct copy. */
export interface Fault {
  readonly key: string;
  readonly kind: 'lost' | 'phantom' | 'duplicate' | 'order' | 'resurrected' | 'not-linearizable';
  readonly message: string;
  /** When it came about, as far as the history tells, on the clock of the operations. */
  readonly from: number;
  readonly until: number;
}

/** The operations of each key, in the order of the history. */
export function byKey<O extends Call>(history: readonly O[]): Map<string, O[]> {
  const groups = new Map<string, O[]>();
  for (const operation of history) {
    const group = groups.get(operation.key) ?? [];
    groups.set(operation.key, group);
    group.push(operation);
  }
  return groups;
}
