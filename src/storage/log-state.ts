/** A group's log without its entries, as an immutable value, and the one transition it has. */
import { assert } from '../shared/assert.js';
import type { GroupConfiguration, GroupGenesis, GroupWrite } from './log-store.js';
import { type GroupMeta, NEW_GROUP_META } from './meta-record.js';
import { TermRuns } from './term-runs.js';

export interface LogState {
  readonly meta: GroupMeta;
  readonly terms: TermRuns;
  readonly configuration: GroupConfiguration;
}

/** What a group is before its first write. */
export function newLogState({ confState, members }: GroupGenesis): LogState {
  const configuration = { index: 0, confState, members };
  return { meta: NEW_GROUP_META, terms: TermRuns.after(0, 0), configuration };
}

/**
 * The state after `write`. Throws an `InvariantError`, with nothing changed, when the write breaks
 * what every Raft log keeps: entries follow the log without a gap and never replace a committed
 * one (L1), terms neither decrease nor run ahead of the hard state (S1), term and commit never go
 * back, a vote is cast once per term (E3), the commit index points at an entry (S1), a snapshot
 * never takes back what is committed (P4), and only what is committed is compacted.
 */
export function advance(before: LogState, write: GroupWrite): LogState {
  const start = write.snapshot ? installed(before, write.snapshot) : before;
  const appended = append(start, write);
  assertHardState(before.meta, appended.meta);
  const configured = configure(appended, write.configuration);
  return write.compactedIndex === undefined
    ? configured
    : compact(configured, write.compactedIndex);
}

/** Terms, indexes and replica ids: what a record can hold. */
function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

function installed(state: LogState, snapshot: NonNullable<GroupWrite['snapshot']>): LogState {
  const { index, term, configuration } = snapshot;
  const { meta } = state;
  assert(isCount(index) && isCount(term), () => `a snapshot at ${index} of term ${term}`);
  assert(
    index > 0 && index >= meta.commit,
    () => `a snapshot at ${index} behind commit ${meta.commit}`,
  );
  const emptied: LogState = {
    ...state,
    meta: {
      ...meta,
      commit: index,
      firstIndex: index + 1,
      previousTerm: term,
      lastIndex: index,
      lastTerm: term,
    },
    terms: TermRuns.after(index, term),
  };
  return configure(emptied, configuration);
}

function append(state: LogState, { entries, hardState, snapshot }: GroupWrite): LogState {
  const { meta } = state;
  const first = entries[0];
  const last = entries[entries.length - 1];
  if (first) assertFollows(meta, first.index, entries);
  const { term, vote, commit } = hardState ?? meta;
  return {
    ...state,
    meta: {
      ...meta,
      term,
      vote,
      commit: snapshot ? Math.max(commit, snapshot.index) : commit,
      lastIndex: last ? last.index : meta.lastIndex,
      lastTerm: last ? last.term : meta.lastTerm,
    },
    terms: state.terms.replaceFrom(entries),
  };
}

function configure(state: LogState, configuration: GroupConfiguration | undefined): LogState {
  if (configuration === undefined) return state;
  const { index } = configuration;
  const known = state.configuration.index;
  assert(
    isCount(index) && index >= known && index <= state.meta.lastIndex,
    () => `a configuration of ${index} follows ${known}, the last is ${state.meta.lastIndex}`,
  );
  const meta = { ...state.meta, configurationIndex: index };
  return { ...state, meta, configuration };
}

function compact(state: LogState, compactedIndex: number): LogState {
  const { meta, terms } = state;
  assert(
    isCount(compactedIndex) && compactedIndex <= meta.commit,
    () => `entries up to ${compactedIndex} compacted, commit is ${meta.commit}`,
  );
  if (compactedIndex < meta.firstIndex) return state;
  const previousTerm = terms.at(compactedIndex);
  return {
    ...state,
    meta: { ...meta, firstIndex: compactedIndex + 1, previousTerm },
    terms: terms.dropBefore(compactedIndex),
  };
}

function assertFollows(meta: GroupMeta, from: number, entries: GroupWrite['entries']): void {
  assert(
    from > meta.commit && from <= meta.lastIndex + 1,
    () => `entries from ${from}: commit is ${meta.commit}, the last index ${meta.lastIndex}`,
  );
  let expected = from;
  for (const entry of entries) {
    assert(entry.index === expected, () => `entry ${entry.index} where ${expected} is due`);
    assert(isCount(expected) && isCount(entry.term), () => `entry ${expected}, ${entry.term}`);
    expected += 1;
  }
}

function assertHardState(before: GroupMeta, after: GroupMeta): void {
  assert(
    isCount(after.term) && isCount(after.vote) && isCount(after.commit),
    () => `hard state ${after.term}, ${after.vote}, ${after.commit}`,
  );
  assert(after.term >= before.term, () => `term goes back from ${before.term} to ${after.term}`);
  assert(
    after.term > before.term || before.vote === 0 || after.vote === before.vote,
    () => `vote in term ${after.term} changes from ${before.vote} to ${after.vote}`,
  );
  assert(
    after.commit >= before.commit && after.commit <= after.lastIndex,
    () => `commit goes from ${before.commit} to ${after.commit}, the last is ${after.lastIndex}`,
  );
  assert(
    after.lastTerm <= after.term,
    () => `an entry has term ${after.lastTerm}, the hard state ${after.term}`,
  );
}
