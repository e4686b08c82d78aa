/** What the checkers of sets and lists share: they judge reads of everything at once. */
import type { Fault, Outcome, Value } from './operation.js';

export interface WholeRead {
  readonly key: string;
  readonly client: string;
  readonly start: number;
  readonly end: number;
  readonly values: readonly Value[];
}

interface Change {
  readonly value: Value;
  readonly end: number;
  readonly outcome: Outcome;
}

/** Refuses, with an error, a history in which nobody looked after the last change had ended. */
export function requireFinalRead(
  key: string,
  changes: readonly Change[],
  reads: readonly WholeRead[],
): void {
  const lastEnd = changes.reduce((last, { end }) => Math.max(last, end), -Infinity);
  if (reads.some(({ start }) => start >= lastEnd)) return;
  throw new Error(`the history of ${key} has no read after its last change`);
}

/**
 * From when on each value must be there: since it was acknowledged, or since a read that found it
 * ended (which also settles an unknown outcome).
 */
export function knownSince(
  additions: Iterable<Change>,
  reads: readonly WholeRead[],
): Map<Value, number> {
  const since = new Map<Value, number>();
  const note = (value: Value, end: number): void => {
    since.set(value, Math.min(end, since.get(value) ?? Infinity));
  };
  for (const { value, end, outcome } of additions) if (outcome === 'ok') note(value, end);
  for (const { values, end } of reads) for (const value of values) note(value, end);
  return since;
}

/** A fault that a read shows, and that came about since `from` at the earliest. */
export function readFault(
  read: WholeRead,
  kind: Fault['kind'],
  what: string,
  from = read.start,
): Fault {
  const { key, client, start, end } = read;
  const message = `${what}, says the read of ${client} that started at ${start}`;
  return { key, kind, message, from, until: end };
}

/** Values that a read lists more than once. */
export function repeatedValues(read: WholeRead): Fault[] {
  const seen = new Set<Value>();
  return read.values.flatMap((value) => {
    const isTwice = seen.has(value);
    seen.add(value);
    return isTwice ? [readFault(read, 'duplicate', `${value} is there twice`)] : [];
  });
}
