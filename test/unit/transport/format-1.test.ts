// Goal: what nodes of version 0.1 say to each other over a link stays what it is (F-15).
// Method: golden bytes of every kind of record and Raft message against values written here.
import { describe, expect, it } from 'vitest';
import { createMessage, type MessageBody } from '../../../src/raft/message.js';
import type { Message, MessageType } from '../../../src/raft/types.js';
import { defined } from '../../../src/shared/assert.js';
import { utf8 } from '../../../src/shared/bytes.js';
import type { ErrorBody } from '../../../src/shared/types.js';
import { decodeFrame, encodeFrame, type FrameRecord } from '../../../src/transport/frame.js';
import { makeHello } from '../../../src/transport/greeting.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'transport');
const CODEC = {
  encode: (record: FrameRecord) => encodeFrame([record]),
  decode: (bytes: Uint8Array) => defined(decodeFrame(bytes)[0], 'a record'),
};

const IDENTITY = { clusterId: 'cluster', nodeId: 2, storeId: 'store-2', incarnation: 300 };
const PEER = { nodeId: 1, address: 'a:1', storeId: 'store-1' };
const ERROR: ErrorBody = {
  reason: 'NO_LEADER',
  message: 'nobody leads',
  field: 'k',
  limit: { name: 'kMax', value: 1.5 },
  details: { shard: '3' },
};

const RECORDS: {
  readonly [Kind in FrameRecord['kind']]: Extract<FrameRecord, { kind: Kind }>;
} = {
  hello: { kind: 'hello', hello: makeHello(IDENTITY, PEER, 1_700_000_000_000.5) },
  refuse: { kind: 'refuse', error: { reason: 'WRONG_CLUSTER', message: 'another cluster' } },
  raft: { kind: 'raft', messages: [] },
  request: {
    kind: 'request',
    requestId: 1_000,
    timeoutMs: 5_000,
    sizeBytes: 9,
    piece: utf8('piece'),
  },
  requestPart: { kind: 'requestPart', requestId: 1_000, piece: utf8('rest') },
  response: { kind: 'response', requestId: 1_000, sizeBytes: 7, piece: utf8('answer') },
  responsePart: { kind: 'responsePart', requestId: 1_000, piece: utf8('.') },
  failure: { kind: 'failure', requestId: 1_000, error: ERROR },
  cancel: { kind: 'cancel', requestId: 1_000 },
  control: { kind: 'control', payload: utf8('question') },
  controlAnswer: { kind: 'controlAnswer', payload: utf8('answer') },
};

const FROM = 2;
const TO = 3;
const TERM = 300;

const message = (type: MessageType, body: MessageBody = {}): Message =>
  createMessage(type, FROM, TO, TERM, body);

const CONF_STATE = {
  voters: [1, 2],
  votersOutgoing: [1, 300],
  learners: [4],
  learnersNext: [5],
  autoLeave: true,
};

/** Each type that one node sends to another, with what it carries. */
const MESSAGES: Readonly<Record<string, Message>> = {
  heartbeat: message('MsgHeartbeat', { commit: 1_000, context: 7 }),
  'heartbeat with a lease': message('MsgHeartbeat', { commit: 9, sentAtMs: 5_000, promiseMs: 950 }),
  'heartbeat response': message('MsgHeartbeatResp', { commit: 1_001, context: 7 }),
  append: message('MsgApp', {
    logTerm: 299,
    index: 1_000,
    commit: 998,
    entries: [
      { type: 'EntryNormal', term: 300, index: 1_001, data: utf8('command') },
      { type: 'EntryConfChange', term: 300, index: 1_002, data: new Uint8Array() },
      { type: 'EntryConfChangeV2', term: 300, index: 1_003, data: Uint8Array.of(1) },
    ],
  }),
  'append response': message('MsgAppResp', { index: 1_003 }),
  'append refused': message('MsgAppResp', {
    index: 1_000,
    reject: true,
    rejectHint: 990,
    logTerm: 298,
  }),
  vote: message('MsgVote', {
    logTerm: 299,
    index: 1_000,
    commit: 990,
    commitTerm: 298,
    campaignTransfer: true,
  }),
  'vote given': message('MsgVoteResp', { promiseMs: 700 }),
  'vote refused': message('MsgVoteResp', { reject: true, commit: 990, commitTerm: 298 }),
  'pre-vote': message('MsgPreVote', { logTerm: 299, index: 1_000 }),
  'pre-vote given': message('MsgPreVoteResp'),
  snapshot: message('MsgSnap', {
    snapshot: { meta: { index: 900, term: 298, confState: CONF_STATE }, data: utf8('members') },
  }),
  'timeout now': message('MsgTimeoutNow', { logTerm: 300, index: 1_003 }),
  transfer: message('MsgTransferLeader', { vote: 3 }),
  'read index': message('MsgReadIndex', { context: 2 ** 40 }),
  'read index response': message('MsgReadIndexResp', { index: 1_003, context: 2 ** 40 }),
  proposal: message('MsgProp', {
    entries: [{ type: 'EntryNormal', term: 0, index: 0, data: utf8('command') }],
  }),
};

describe('frames between nodes in format 1 (F-15)', () => {
  it.each(Object.values(RECORDS))('have the record $kind', (record) => {
    golden.holds(`record ${record.kind}`, record, CODEC);
  });

  it.each(Object.entries(MESSAGES))('have the Raft message: %s', (name, sent) => {
    const record: FrameRecord = { kind: 'raft', messages: [{ groupId: 200, message: sent }] };
    golden.holds(`message ${name}`, record, CODEC);
  });

  it('have several records, in order', () => {
    const records = [RECORDS.cancel, RECORDS.control];
    golden.holds('frame of two records', records, {
      encode: (value) => encodeFrame(value),
      decode: (bytes) => [...decodeFrame(bytes)] as typeof records,
    });
  });

  it('have no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
