/** Random records of frames, within what may cross a link. */
import fc from 'fast-check';
import type { Message, MessageType } from '../../../src/raft/types.js';
import { ERRORS, type ErrorReason } from '../../../src/shared/error-codes.js';
import type { ErrorBody } from '../../../src/shared/types.js';
import type { FrameRecord } from '../../../src/transport/frame.js';
import type { GroupMessage } from '../../../src/transport/transport.js';

export const WIRE_TYPES: readonly MessageType[] = [
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgApp',
  'MsgAppResp',
  'MsgVote',
  'MsgVoteResp',
  'MsgPreVote',
  'MsgPreVoteResp',
  'MsgSnap',
  'MsgTimeoutNow',
  'MsgTransferLeader',
  'MsgReadIndex',
  'MsgReadIndexResp',
  'MsgProp',
];

const number = fc.oneof(fc.nat(300), fc.maxSafeNat(), fc.constant(Number.MAX_SAFE_INTEGER));
const bytes = fc.uint8Array({ maxLength: 64 });
const text = fc.string({ unit: 'grapheme', maxLength: 40 });
const ids = fc.array(number, { maxLength: 4 });

const entry = fc.record({
  type: fc.constantFrom('EntryNormal', 'EntryConfChange', 'EntryConfChangeV2'),
  term: number,
  index: number,
  data: bytes,
} as const);

const snapshot = fc.record({
  meta: fc.record({
    index: number,
    term: number,
    confState: fc.record({
      voters: ids,
      votersOutgoing: ids,
      learners: ids,
      learnersNext: ids,
      autoLeave: fc.boolean(),
    }),
  }),
  data: bytes,
});

const anyMessage: fc.Arbitrary<Message> = fc.record(
  {
    type: fc.constantFrom(...WIRE_TYPES),
    to: number,
    from: number,
    term: number,
    logTerm: number,
    index: number,
    entries: fc.array(entry, { maxLength: 5 }),
    commit: number,
    commitTerm: number,
    vote: number,
    reject: fc.boolean(),
    rejectHint: number,
    context: number,
    campaignTransfer: fc.boolean(),
    sentAtMs: number,
    promiseMs: number,
    snapshot,
  },
  {
    requiredKeys: [
      'type',
      'to',
      'from',
      'term',
      'logTerm',
      'index',
      'entries',
      'commit',
      'commitTerm',
      'vote',
      'reject',
      'rejectHint',
      'context',
      'campaignTransfer',
      'sentAtMs',
      'promiseMs',
    ],
  },
);

/** Only messages about votes say the term of a commit index, and only others give a hint. */
const fullMessage = anyMessage.map((message) =>
  message.type.includes('Vote') ? { ...message, rejectHint: 0 } : { ...message, commitTerm: 0 },
);

/** What a leader really sends to each follower at every interval. */
export const heartbeat: fc.Arbitrary<Message> = fc
  .record({
    type: fc.constantFrom('MsgHeartbeat', 'MsgHeartbeatResp'),
    to: number,
    from: number,
    term: number,
    commit: number,
    context: number,
    sentAtMs: number,
    promiseMs: number,
  } as const)
  .map((message) => ({
    ...message,
    logTerm: 0,
    index: 0,
    entries: [],
    commitTerm: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    campaignTransfer: false,
  }));

export const groupMessage: fc.Arbitrary<GroupMessage> = fc.record({
  groupId: number,
  message: fc.oneof(fullMessage, heartbeat),
});

const errorBody: fc.Arbitrary<ErrorBody> = fc.record(
  {
    reason: fc.constantFrom(...(Object.keys(ERRORS) as ErrorReason[])),
    message: text,
    field: text,
    limit: fc.record({ name: text, value: fc.double({ noNaN: true }) }),
    details: fc.dictionary(text, text, { noNullPrototype: true }),
  },
  { requiredKeys: ['reason', 'message'] },
);

const hello = fc.record({
  identity: fc.record({ clusterId: text, nodeId: number, storeId: text, incarnation: number }),
  expectedNodeId: number,
  expectedStoreId: text,
  protocolVersion: number,
  protocolVersionMin: number,
  wallMs: fc.double({ noNaN: true }),
});

const kind = <K extends FrameRecord['kind']>(name: K): fc.Arbitrary<K> => fc.constant(name);

export const frameRecord: fc.Arbitrary<FrameRecord> = fc.oneof(
  fc.record({ kind: kind('hello'), hello }),
  fc.record({ kind: kind('refuse'), error: errorBody }),
  fc.record({ kind: kind('raft'), messages: fc.array(groupMessage, { maxLength: 6 }) }),
  fc.record({
    kind: kind('request'),
    requestId: number,
    timeoutMs: number,
    sizeBytes: number,
    piece: bytes,
  }),
  fc.record({ kind: kind('requestPart'), requestId: number, piece: bytes }),
  fc.record({ kind: kind('response'), requestId: number, sizeBytes: number, piece: bytes }),
  fc.record({ kind: kind('responsePart'), requestId: number, piece: bytes }),
  fc.record({ kind: kind('failure'), requestId: number, error: errorBody }),
  fc.record({ kind: kind('cancel'), requestId: number }),
  fc.record({ kind: kind('control'), payload: bytes }),
  fc.record({ kind: kind('controlAnswer'), payload: bytes }),
);
