// Goal: calls between nodes, and what groups keep of their members, stay as in version 0.1 (F-15).
// Method: golden bytes of every kind of call and answer against values that are written here.
import { describe, expect, it } from 'vitest';
import type { ContentReport, Explanation, ScrollPage } from '../../../src/engine/engine.js';
import { createMessage } from '../../../src/raft/message.js';
import { decodeMembers, encodeMembers } from '../../../src/replica/member-codec.js';
import type { ProposalAnswer, ReplicaStatus } from '../../../src/replica/replica.js';
import * as rpc from '../../../src/replica/rpc-codec.js';
import { decodeContentReport, encodeContentReport } from '../../../src/replica/rpc-contents.js';
import * as reads from '../../../src/replica/rpc-reads.js';
import * as wire from '../../../src/replica/snapshot-wire.js';
import { utf8 } from '../../../src/shared/bytes.js';
import type { ErrorBody } from '../../../src/shared/types.js';
import { GoldenFile } from '../../fixtures/golden.js';

const golden = new GoldenFile('format-1', 'replica');

const SCOPE = { collectionId: 7, ownershipVersion: 3 };
const CALLS: {
  readonly [Method in rpc.ReplicaCall['method']]: Extract<rpc.ReplicaCall, { method: Method }>;
} = {
  propose: { method: 'propose', commands: [utf8('one'), utf8('two')] },
  search: {
    method: 'search',
    scope: SCOPE,
    queries: [
      { vector: utf8('vect'), k: 10, ef: 64, includeValues: true, includeMetadata: false },
      {
        vector: utf8('vect'),
        k: 300,
        ef: 0,
        scoreThreshold: 0.25,
        includeValues: false,
        filter: utf8('filter'),
        tenant: 'tenant',
        includeMetadata: true,
      },
    ],
  },
  fetch: {
    method: 'fetch',
    scope: SCOPE,
    keys: [{ slot: 1_023, tenant: 'tenant', id: 'id' }],
    include: { values: true, metadata: false },
  },
  count: { method: 'count', scope: SCOPE, selection: { filter: utf8('filter'), tenant: 't' } },
  scroll: {
    method: 'scroll',
    scope: SCOPE,
    query: {
      after: { id: 'id', tenant: 'tenant' },
      limit: 300,
      includeValues: true,
      includeMetadata: false,
    },
  },
  explain: {
    method: 'explain',
    scope: SCOPE,
    query: { vector: utf8('vect'), k: 10, ef: 64, includeValues: false, includeMetadata: false },
  },
  tenants: { method: 'tenants', scope: SCOPE, query: { after: 'acme', limit: 300 } },
  contents: { method: 'contents', query: { mark: 1_000, deep: true } },
  barrier: { method: 'barrier' },
  status: { method: 'status' },
};

const ERROR: ErrorBody = { reason: 'NO_LEADER', message: 'nobody leads' };
const VERSION = 0x0123_4567_89ab_cdefn;
const ANSWERS: readonly ProposalAnswer[] = [
  {
    kind: 'applied',
    index: 1_000,
    result: {
      kind: 'write',
      outcomes: [
        { ordinal: 0, outcome: { kind: 'applied', version: VERSION, existed: true } },
        { ordinal: 200, outcome: { kind: 'not-applied', error: ERROR } },
        { ordinal: 201, outcome: { kind: 'unknown', error: ERROR } },
      ],
    },
  },
  { kind: 'applied', index: 1_001, result: { kind: 'refused', error: ERROR } },
  { kind: 'applied', index: 1_002, result: { kind: 'done' } },
  { kind: 'not-applied', error: ERROR },
  { kind: 'unknown', error: ERROR },
];

const RECORD = { tenant: 't', id: 'id', version: VERSION };
const TRANSFER = { doneBytes: 100, sizeBytes: 300, bytesPerSecond: 12.5 };
const STATUS: ReplicaStatus = {
  groupId: 200,
  shardId: 1,
  replicaId: 300,
  nodeId: 2,
  role: 'StateLeader',
  term: 9,
  leaderNodeId: 2,
  commitIndex: 1_000,
  appliedIndex: 999,
  lastIndex: 1_001,
  leaderChanges: 4,
  followers: [
    {
      id: 301,
      nodeId: 3,
      match: 990,
      next: 991,
      state: 'StateSnapshot',
      isLearner: true,
      recentActive: true,
      paused: false,
      pendingSnapshot: 900,
      inflightCount: 2,
      inflightFull: false,
      lagEntries: 10,
      lagMs: 1.5,
      snapshot: TRANSFER,
    },
  ],
  engine: {
    appliedIndex: 999,
    ownershipVersion: 3,
    sessions: 2,
    collections: [
      {
        collectionId: 7,
        records: 1_000,
        headRows: 20,
        graphPoints: 990,
        tombstones: 10,
        isRenewing: true,
        memoryBytes: 70_000,
        contentHash: '0123456789abcdef0123456789abcdef',
      },
    ],
  },
  fault: 'stopped',
  receiving: TRANSFER,
};

const EXPLANATION: Explanation = {
  plan: 'graph-filtered',
  reason: 'many match',
  records: 1_000,
  estimatedMatches: 500,
  matches: 490,
  indexedFields: ['a.b'],
  scannedFields: ['c'],
  visited: 128,
  compared: 20,
  durationMs: 1.5,
};
const SLOT = { slot: 1_023, records: 2, hash: '0123456789abcdef0123456789abcdef' };
const CONTENTS: ContentReport = {
  contents: [{ collectionId: 7, slots: [SLOT] }],
  faults: [{ collectionId: 7, kept: SLOT, found: { ...SLOT, records: 1 } }],
};

const ID = {
  groupId: 200,
  index: 1_000,
  term: 9,
  sourceId: 'source',
  sizeBytes: 300,
  crc32c: 0xab_cdef,
};
const SNAPSHOT_CALLS: {
  readonly [M in wire.SnapshotCall['method']]: Extract<wire.SnapshotCall, { method: M }>;
} = {
  begin: {
    method: 'begin',
    id: ID,
    message: createMessage('MsgSnap', 2, 3, 10, {
      snapshot: {
        meta: {
          index: ID.index,
          term: ID.term,
          confState: {
            voters: [1, 2],
            votersOutgoing: [1],
            learners: [3],
            learnersNext: [],
            autoLeave: true,
          },
        },
        data: utf8('members'),
      },
    }),
  },
  chunk: { method: 'chunk', id: ID, offset: 200, crc32c: 0x1234_5678, bytes: utf8('piece') },
  finish: { method: 'finish', id: ID },
};
const SNAPSHOT_ANSWERS: {
  readonly [K in wire.SnapshotAnswer['kind']]: Extract<wire.SnapshotAnswer, { kind: K }>;
} = {
  wanted: { kind: 'wanted', offset: 200 },
  unknown: { kind: 'unknown' },
  done: { kind: 'done' },
  refused: { kind: 'refused', why: 'an older leader' },
};

describe('calls between nodes in format 1 (F-15)', () => {
  it.each(Object.values(CALLS))('have the call $method', (call) => {
    const place = { format: 1, groupId: 200, epoch: 12 } as const;
    const head = { ...place, timeoutMs: 5_000, passOn: true } as const;
    const addressed = { ...head, consistency: 'leased', call } as const;
    const codec = { encode: rpc.encodeCall, decode: rpc.decodeCall };
    golden.holds<rpc.AddressedCall>(`call ${call.method}`, addressed, codec);
  });

  it('have the answers to proposals', () => {
    golden.holds('answers to proposals', ANSWERS, {
      encode: rpc.encodeProposalAnswers,
      decode: rpc.decodeProposalAnswers,
    });
  });

  it('have the answer of a shard that owns less', () => {
    const clients = [{ clientId: 'client-a', clientStampMs: 1_700_000_000_000, sequence: 300 }];
    const forgotten = { watermarkMs: 1_699_999_999_999, lastVersion: 0x0123_4567_89ab_cdefn };
    const result = { kind: 'done', reach: { ...forgotten, clients } } as const;
    golden.holds('answer of one that loses', [{ kind: 'applied', index: 1_000, result }], {
      encode: rpc.encodeProposalAnswers,
      decode: rpc.decodeProposalAnswers,
    });
  });

  it('have hits, records and counts', () => {
    const hits = [[{ distance: 0.5, ...RECORD, values: utf8('vect') }], []];
    golden.holds('hits', hits, {
      encode: (value) => reads.encodeHits({ value }),
      decode: (bytes) => reads.decodeHits(bytes).value as typeof hits,
    });
    const records = [undefined, { ...RECORD, metadata: utf8('m') }];
    golden.holds('records', records, {
      encode: (value) => reads.encodeRecords({ value }),
      decode: (bytes) => reads.decodeRecords(bytes).value as typeof records,
    });
    // Records that expire: those that last have the bytes that they always had.
    const mortal = { ...RECORD, expiresAtMs: 1_700_000_000_000 };
    const expiring = [mortal, { ...mortal, values: utf8('vect'), metadata: utf8('m') }];
    golden.holds('expiring records', expiring, {
      encode: (value) => reads.encodeRecords({ value }),
      decode: (bytes) => reads.decodeRecords(bytes).value as typeof expiring,
    });
    golden.holds<number>('count', 70_000, {
      encode: (value) => reads.encodeCount({ value }),
      decode: (bytes) => reads.decodeCount(bytes).value,
    });
  });

  it('have a page of a scroll, an explanation and contents', () => {
    const page = { records: [RECORD], next: { id: 'id', tenant: 't' } };
    golden.holds<ScrollPage>('scroll page', page, {
      encode: (value) => reads.encodeScrollPage({ value }),
      decode: (bytes) => reads.decodeScrollPage(bytes).value,
    });
    golden.holds<Explanation>('explanation', EXPLANATION, {
      encode: (value) => reads.encodeExplanation({ value }),
      decode: (bytes) => reads.decodeExplanation(bytes).value,
    });
    golden.holds<ContentReport>('contents', CONTENTS, {
      encode: encodeContentReport,
      decode: decodeContentReport,
    });
  });

  it('have the status of a replica', () => {
    golden.holds('status', STATUS, { encode: rpc.encodeStatus, decode: rpc.decodeStatus });
  });
});

describe('snapshots under way in format 1 (F-15)', () => {
  it.each(Object.values(SNAPSHOT_CALLS))('have the call $method', (call) => {
    golden.holds<wire.SnapshotCall>(`snapshot ${call.method}`, call, {
      encode: wire.encodeSnapshotCall,
      decode: wire.decodeSnapshotCall,
    });
  });

  it.each(Object.values(SNAPSHOT_ANSWERS))('have the answer $kind', (answer) => {
    golden.holds<wire.SnapshotAnswer>(`snapshot answer ${answer.kind}`, answer, {
      encode: wire.encodeSnapshotAnswer,
      decode: wire.decodeSnapshotAnswer,
    });
  });

  it('have the members of a group', () => {
    const members = [
      { replicaId: 1, nodeId: 1, storeId: 'store-1' },
      { replicaId: 300, nodeId: 2, storeId: 'store-2' },
    ];
    golden.holds('members', members, {
      encode: encodeMembers,
      decode: (bytes) => [...decodeMembers(bytes)],
    });
  });

  it('have no record that is not looked at', () => {
    expect(golden.unread).toEqual([]);
  });
});
