/**
 * Raft messages of many groups as bytes. Heartbeats and their responses, which every pair of nodes
 * exchanges for all groups at every interval (G1), take six small numbers; all other messages are
 * written with every field, entries included.
 *
 * The two fields of leases came in the second version: messages that carry them have forms of
 * their own, all others look as they did in the first one. So both versions understand each other
 * while leases are off, and leases may be switched on when no node is left that cannot read them.
 *
 * The term of a commit index (E13) came later still. It takes the place of `rejectHint` in requests
 * for votes and their answers, which have none: earlier versions write 0 there and do not look.
 */
import type { ConfState, Entry, EntryType, Message, MessageType, Snapshot } from '../raft/types.js';
import { assert } from '../shared/assert.js';
import { type ByteReader, type ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import type { GroupMessage } from './transport.js';

/**
 * Codes on the wire, never reused. The types that are missing stay within a replica (ticks,
 * storage, reports of the host) and are refused when a peer sends them.
 */
const TYPE_CODES: Partial<Record<MessageType, number>> = {
  MsgHeartbeat: 1,
  MsgHeartbeatResp: 2,
  MsgApp: 3,
  MsgAppResp: 4,
  MsgVote: 5,
  MsgVoteResp: 6,
  MsgPreVote: 7,
  MsgPreVoteResp: 8,
  MsgSnap: 9,
  MsgTimeoutNow: 10,
  MsgTransferLeader: 11,
  MsgReadIndex: 12,
  MsgReadIndexResp: 13,
  MsgProp: 14,
};
const TYPES = new Map(
  Object.entries(TYPE_CODES).map(([type, code]) => [code, type as MessageType] as const),
);
const ENTRY_TYPES: readonly EntryType[] = ['EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'];

/** The bits of a message's form. The first version knew 0 and 1. */
const FORM = { full: 1, leased: 2 } as const;
const FORMS_ALL = FORM.full | FORM.leased;
const FLAG = { reject: 1, campaignTransfer: 2, snapshot: 4 } as const;
const FLAGS_ALL = FLAG.reject | FLAG.campaignTransfer | FLAG.snapshot;
/** The types whose messages have a `commitTerm` and no `rejectHint`. */
const VOTE_TYPES: ReadonlySet<MessageType> = new Set([
  'MsgVote',
  'MsgVoteResp',
  'MsgPreVote',
  'MsgPreVoteResp',
]);

const MESSAGE_BYTES = 64;
const ENTRY_BYTES = 24;
const NO_ENTRIES: readonly Entry[] = [];

/** An upper estimate of what the message takes, for queues and frame limits. */
export function messageSizeBytes(message: Message): number {
  let size = MESSAGE_BYTES;
  for (const entry of message.entries) size += ENTRY_BYTES + entry.data.length;
  const { snapshot } = message;
  if (snapshot === undefined) return size;
  const { voters, votersOutgoing, learners, learnersNext } = snapshot.meta.confState;
  const members = voters.length + votersOutgoing.length + learners.length + learnersNext.length;
  return size + MESSAGE_BYTES + 8 * members + snapshot.data.length;
}

/** Writes messages in order. A message that must not leave its replica is an `InvariantError`. */
export function writeMessages(writer: ByteWriter, messages: readonly GroupMessage[]): void {
  writer.varint(messages.length);
  for (const { groupId, message } of messages) {
    const code = TYPE_CODES[message.type];
    assert(code !== undefined, () => `${message.type} never goes to another node`);
    assert(message.responses === undefined, () => `${message.type} carries local responses`);
    const compact = isCompact(message);
    const leased = message.sentAtMs > 0 || message.promiseMs > 0;
    writer.u8((compact ? 0 : FORM.full) | (leased ? FORM.leased : 0)).u8(code);
    writer.varint(groupId).varint(message.from).varint(message.to);
    writer.varint(message.term).varint(message.commit).varint(message.context);
    if (leased) writer.varint(message.sentAtMs).varint(message.promiseMs);
    if (!compact) writeRest(writer, message);
  }
}

/** Reads what `writeMessages` wrote. Entry and snapshot data are views. */
export function readMessages(reader: ByteReader): GroupMessage[] {
  const messages: GroupMessage[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const form = reader.u8();
    if (form > FORMS_ALL) throw new MalformedBytesError(`Raft message form ${form}`);
    const type = TYPES.get(reader.u8());
    if (type === undefined) throw new MalformedBytesError('unknown Raft message type');
    const groupId = reader.varint();
    const head = readHead(reader, type, (form & FORM.leased) !== 0);
    const message = (form & FORM.full) === 0 ? head : readRest(reader, head);
    messages.push({ groupId, message });
  }
  return messages;
}

/** Whether nothing but the heartbeat's own fields is set; those of leases are its own as well. */
function isCompact(message: Message): boolean {
  return (
    (message.type === 'MsgHeartbeat' || message.type === 'MsgHeartbeatResp') &&
    message.logTerm === 0 &&
    message.index === 0 &&
    message.entries.length === 0 &&
    message.commitTerm === 0 &&
    message.vote === 0 &&
    !message.reject &&
    message.rejectHint === 0 &&
    !message.campaignTransfer &&
    message.snapshot === undefined
  );
}

function readHead(reader: ByteReader, type: MessageType, leased: boolean): Message {
  const from = reader.varint();
  const to = reader.varint();
  const term = reader.varint();
  const commit = reader.varint();
  const context = reader.varint();
  return {
    type,
    to,
    from,
    term,
    logTerm: 0,
    index: 0,
    entries: NO_ENTRIES,
    commit,
    commitTerm: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    context,
    campaignTransfer: false,
    sentAtMs: leased ? reader.varint() : 0,
    promiseMs: leased ? reader.varint() : 0,
  };
}

function writeRest(writer: ByteWriter, message: Message): void {
  const { snapshot } = message;
  const isAboutVotes = VOTE_TYPES.has(message.type);
  const unwritten = isAboutVotes ? message.rejectHint : message.commitTerm;
  assert(unwritten === 0, () => `${message.type} carries a field that is not its own`);
  writer.u8(
    (message.reject ? FLAG.reject : 0) |
      (message.campaignTransfer ? FLAG.campaignTransfer : 0) |
      (snapshot === undefined ? 0 : FLAG.snapshot),
  );
  writer.varint(message.logTerm).varint(message.index);
  writer.varint(message.vote);
  writer.varint(isAboutVotes ? message.commitTerm : message.rejectHint);
  writer.varint(message.entries.length);
  for (const entry of message.entries) {
    writer.u8(ENTRY_TYPES.indexOf(entry.type)).varint(entry.term).varint(entry.index);
    writer.bytes(entry.data);
  }
  if (snapshot !== undefined) writeSnapshot(writer, snapshot);
}

function readRest(reader: ByteReader, head: Message): Message {
  const flags = reader.u8();
  if (flags > FLAGS_ALL) throw new MalformedBytesError(`Raft message flags ${flags}`);
  const logTerm = reader.varint();
  const index = reader.varint();
  const vote = reader.varint();
  const hintOrTerm = reader.varint();
  const isAboutVotes = VOTE_TYPES.has(head.type);
  const entries: Entry[] = [];
  for (let left = reader.varint(); left > 0; left--) entries.push(readEntry(reader));
  const message: Message = {
    ...head,
    logTerm,
    index,
    entries,
    commitTerm: isAboutVotes ? hintOrTerm : 0,
    vote,
    reject: (flags & FLAG.reject) !== 0,
    rejectHint: isAboutVotes ? 0 : hintOrTerm,
    campaignTransfer: (flags & FLAG.campaignTransfer) !== 0,
  };
  if ((flags & FLAG.snapshot) === 0) return message;
  return { ...message, snapshot: readSnapshot(reader) };
}

function readEntry(reader: ByteReader): Entry {
  const type = ENTRY_TYPES[reader.u8()];
  if (type === undefined) throw new MalformedBytesError('unknown entry type');
  return { type, term: reader.varint(), index: reader.varint(), data: reader.bytes() };
}

function writeSnapshot(writer: ByteWriter, snapshot: Snapshot): void {
  const { index, term, confState } = snapshot.meta;
  writer.varint(index).varint(term);
  writeIds(writer, confState.voters);
  writeIds(writer, confState.votersOutgoing);
  writeIds(writer, confState.learners);
  writeIds(writer, confState.learnersNext);
  writer.bool(confState.autoLeave).bytes(snapshot.data);
}

function readSnapshot(reader: ByteReader): Snapshot {
  const index = reader.varint();
  const term = reader.varint();
  const confState: ConfState = {
    voters: readIds(reader),
    votersOutgoing: readIds(reader),
    learners: readIds(reader),
    learnersNext: readIds(reader),
    autoLeave: reader.bool(),
  };
  return { meta: { index, term, confState }, data: reader.bytes() };
}

function writeIds(writer: ByteWriter, ids: readonly number[]): void {
  writer.varint(ids.length);
  for (const id of ids) writer.varint(id);
}

function readIds(reader: ByteReader): number[] {
  const ids: number[] = [];
  for (let left = reader.varint(); left > 0; left--) ids.push(reader.varint());
  return ids;
}
