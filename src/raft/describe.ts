/**
 * Printers of the core's values, one line each where possible, for logs and for the replay of
 * scenario files. The format is etcd's, character by character, so that its files can be compared;
 * what etcd has no words for (read positions, aborted reads) is printed only when it is present.
 *
 * Costs grow with the bytes printed; nothing here is called unless somebody reads the result.
 */

import { decodeConfChange } from './conf-change-codec.js';
import type {
  ConfChange,
  ConfChangeKind,
  ConfState,
  Entry,
  HardState,
  Message,
  ProgressStatus,
  RaftStatus,
  Ready,
  ReplicaId,
  Snapshot,
  SoftState,
} from './types.js';
import { LOCAL_APPEND_THREAD, LOCAL_APPLY_THREAD, NONE } from './types.js';

/** How the payload of an entry is shown; the empty string shows nothing. */
export type EntryFormatter = (entry: Entry) => string;

const NAMED_ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x07, '\\a'],
  [0x08, '\\b'],
  [0x09, '\\t'],
  [0x0a, '\\n'],
  [0x0b, '\\v'],
  [0x0c, '\\f'],
  [0x0d, '\\r'],
  [0x22, '\\"'],
  [0x5c, '\\\\'],
]);

/** Bytes in double quotes; everything but printable ASCII as an escape of Go's `%q` (`\x00`). */
export function quoteBytes(bytes: Uint8Array): string {
  let quoted = '"';
  for (const byte of bytes) {
    const named = NAMED_ESCAPES.get(byte);
    if (named !== undefined) {
      quoted += named;
    } else if (byte >= 0x20 && byte < 0x7f) {
      quoted += String.fromCharCode(byte);
    } else {
      quoted += `\\x${byte.toString(16).padStart(2, '0')}`;
    }
  }
  return `${quoted}"`;
}

/** Quoted bytes, or the steps of a configuration change. */
function formatEntryData(entry: Entry): string {
  if (entry.type === 'EntryNormal') {
    return quoteBytes(entry.data);
  }
  try {
    return describeConfChange(decodeConfChange(entry.data));
  } catch {
    return quoteBytes(entry.data);
  }
}

const STEP_LETTERS: Readonly<Record<ConfChangeKind, string>> = {
  'add-voter': 'v',
  'add-learner': 'l',
  remove: 'r',
  update: 'u',
};

/** `v1 l2 r3 u4`: add a voter, add a learner, remove, update; nothing for leaving a joint one. */
export function describeConfChange(change: ConfChange): string {
  return change.changes.map((step) => `${STEP_LETTERS[step.kind]}${step.replicaId}`).join(' ');
}

/** `Term:1 Vote:1 Commit:12`; the vote is left out while there is none. */
export function describeHardState(hardState: HardState): string {
  const vote = hardState.vote === NONE ? '' : ` Vote:${hardState.vote}`;
  return `Term:${hardState.term}${vote} Commit:${hardState.commit}`;
}

/** `Lead:1 State:StateFollower` */
export function describeSoftState(softState: SoftState): string {
  return `Lead:${softState.lead} State:${softState.role}`;
}

/** `Voters:[1 2] VotersOutgoing:[] Learners:[3] LearnersNext:[] AutoLeave:false` */
export function describeConfState(state: ConfState): string {
  const list = (ids: readonly ReplicaId[]) => `[${ids.join(' ')}]`;
  return (
    `Voters:${list(state.voters)} VotersOutgoing:${list(state.votersOutgoing)}` +
    ` Learners:${list(state.learners)} LearnersNext:${list(state.learnersNext)}` +
    ` AutoLeave:${state.autoLeave}`
  );
}

/** `Index:11 Term:1 ConfState:...`; the data is not shown. */
export function describeSnapshot(snapshot: Snapshot): string {
  const { index, term, confState } = snapshot.meta;
  return `Index:${index} Term:${term} ConfState:${describeConfState(confState)}`;
}

/** `1/12 EntryNormal "data"`: term, index, type, payload. */
export function describeEntry(entry: Entry, format: EntryFormatter = formatEntryData): string {
  const payload = format(entry);
  const suffix = payload === '' ? '' : ` ${payload}`;
  return `${entry.term}/${entry.index} ${entry.type}${suffix}`;
}

/** One line per entry, each ended by a line feed. */
export function describeEntries(entries: readonly Entry[], format?: EntryFormatter): string {
  return entries.map((entry) => `${describeEntry(entry, format)}\n`).join('');
}

function describeTarget(id: ReplicaId): string {
  switch (id) {
    case NONE:
      return 'None';
    case LOCAL_APPEND_THREAD:
      return 'AppendThread';
    case LOCAL_APPLY_THREAD:
      return 'ApplyThread';
    default:
      return id.toString(16);
  }
}

function describeMessageEntries(
  entries: readonly Entry[],
  indent: string,
  format: EntryFormatter | undefined,
): string {
  const [first] = entries;
  if (first === undefined) {
    return '';
  }
  if (entries.length === 1) {
    return ` Entries:[${describeEntry(first, format)}]`;
  }
  const lines = entries.map((entry) => `\n${indent}  ${describeEntry(entry, format)}`);
  return ` Entries:[${lines.join('')}\n${indent}]`;
}

function describeIndentedMessage(
  message: Message,
  indent: string,
  format: EntryFormatter | undefined,
): string {
  let text =
    `${indent}${describeTarget(message.from)}->${describeTarget(message.to)} ${message.type}` +
    ` Term:${message.term} Log:${message.logTerm}/${message.index}`;
  if (message.reject) {
    text += ` Rejected (Hint: ${message.rejectHint})`;
  }
  if (message.commit !== 0) {
    const commitTerm = message.commitTerm === 0 ? '' : `${message.commitTerm}/`;
    text += ` Commit:${commitTerm}${message.commit}`;
  }
  if (message.vote !== NONE) {
    text += ` Vote:${message.vote}`;
  }
  if (message.context !== 0) {
    text += ` Context:${message.context}`;
  }
  text += describeMessageEntries(message.entries, indent, format);
  if (message.snapshot !== undefined) {
    text += `\n${indent}  Snapshot: ${describeSnapshot(message.snapshot)}`;
  }
  if (message.responses !== undefined && message.responses.length > 0) {
    const responses = message.responses.map(
      (response) => `\n${describeIndentedMessage(response, `${indent}  `, format)}`,
    );
    text += ` Responses:[${responses.join('')}\n${indent}]`;
  }
  return text;
}

/**
 * `1->2 MsgApp Term:1 Log:1/11 Commit:11 Entries:[...]`, where Log is logTerm/index and ids are
 * hexadecimal. Several entries, snapshots and responses go on indented lines of their own; there
 * is no final line feed.
 */
export function describeMessage(message: Message, format?: EntryFormatter): string {
  return describeIndentedMessage(message, '', format);
}

function describeReads(ready: Ready): string {
  let text = '';
  if (ready.readStates.length > 0) {
    const states = ready.readStates.map((state) => `{${state.index} ${state.requestId}}`);
    text += `ReadStates [${states.join(' ')}]\n`;
  }
  if (ready.readsAborted.length > 0) {
    text += `ReadsAborted [${ready.readsAborted.join(' ')}]\n`;
  }
  return text;
}

/**
 * All that a Ready asks for, in the order in which it is to be done: lines, each ended by a line
 * feed, or `<empty Ready>` without one. The messages to send at once come before those that wait
 * for the disk. Read states print as `{index requestId}`.
 */
export function describeReady(ready: Ready, format?: EntryFormatter): string {
  let text = '';
  if (ready.softState !== undefined) {
    text += `${describeSoftState(ready.softState)}\n`;
  }
  if (ready.hardState !== undefined) {
    text += `HardState ${describeHardState(ready.hardState)}\n`;
  }
  text += describeReads(ready);
  if (ready.entries.length > 0) {
    text += `Entries:\n${describeEntries(ready.entries, format)}`;
  }
  if (ready.snapshot !== undefined) {
    text += `Snapshot ${describeSnapshot(ready.snapshot)}\n`;
  }
  if (ready.committed.length > 0) {
    text += `CommittedEntries:\n${describeEntries(ready.committed, format)}`;
  }
  const messages = [...ready.messages, ...ready.messagesAfterPersist];
  if (messages.length > 0) {
    const lines = messages.map((message) => `${describeMessage(message, format)}\n`);
    text += `Messages:\n${lines.join('')}`;
  }
  return text === '' ? '<empty Ready>' : `Ready MustSync=${ready.mustSync}:\n${text}`;
}

/** `StateReplicate match=11 next=15 paused inflight=3[full]`; what is usual is left out. */
export function describeProgress(progress: ProgressStatus): string {
  let text = `${progress.state} match=${progress.match} next=${progress.next}`;
  if (progress.isLearner) {
    text += ' learner';
  }
  if (progress.paused) {
    text += ' paused';
  }
  if (progress.pendingSnapshot > 0) {
    text += ` pendingSnap=${progress.pendingSnapshot}`;
  }
  if (!progress.recentActive) {
    text += ' inactive';
  }
  if (progress.inflightCount > 0) {
    text += ` inflight=${progress.inflightCount}${progress.inflightFull ? '[full]' : ''}`;
  }
  return text;
}

/** One line per replica that a leader knows of, `2: StateProbe ...`; nothing for a follower. */
export function describeProgressTable(status: RaftStatus): string {
  return status.progress.map((each) => `${each.id}: ${describeProgress(each)}\n`).join('');
}

/** `1: StateLeader (Voter) Term:1 Lead:1`, without a line feed. */
export function describeStatus(status: RaftStatus): string {
  const { voters, votersOutgoing } = status.confState;
  const isVoter = voters.includes(status.id) || votersOutgoing.includes(status.id);
  return (
    `${status.id}: ${status.softState.role} ${isVoter ? '(Voter)' : '(Non-Voter)'}` +
    ` Term:${status.hardState.term} Lead:${status.softState.lead}`
  );
}
