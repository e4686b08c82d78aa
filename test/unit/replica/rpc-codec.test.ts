// Goal: calls and answers between nodes survive their encoding; damaged ones are refused.
// Method: round trips on random values; every prefix of an encoding must be refused.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Explanation,
  GRAPH_WORKS,
  type Hit,
  PLAN_KINDS,
  type ScrollPage,
  type ScrollQuery,
  type SearchQuery,
  type Selection,
} from '../../../src/engine/engine.js';
import type { ProposalAnswer, ReplicaStatus, ShownState } from '../../../src/replica/replica.js';
import * as codec from '../../../src/replica/rpc-codec.js';
import * as reads from '../../../src/replica/rpc-reads.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import type { ShardConsistency } from '../../../src/shared/consistency.js';
import type { ErrorBody } from '../../../src/shared/types.js';

const bytes = fc.uint8Array({ maxLength: 40 });
const count = fc.nat(Number.MAX_SAFE_INTEGER);
const text = fc.string({ unit: 'grapheme', maxLength: 12 });
const version = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const float = fc.double({ noNaN: true });

const errorBody: fc.Arbitrary<ErrorBody> = fc.record(
  {
    reason: fc.constantFrom('NOT_LEADER' as const, 'INTERNAL' as const),
    message: text,
    field: text,
    limit: fc.record({ name: text, value: float }),
    details: fc
      .dictionary(fc.stringMatching(/^[a-z]{1,5}$/), text, { minKeys: 1, maxKeys: 3 })
      .map((details) => ({ ...details })),
  },
  { requiredKeys: ['reason', 'message'] },
);

const scope = fc.record({ collectionId: count, ownershipVersion: count });
const selected = { filter: bytes, tenant: text, shardKeys: fc.array(text, { maxLength: 3 }) };
const selection: fc.Arbitrary<Selection> = fc.record(selected, { requiredKeys: [] });
const query: fc.Arbitrary<SearchQuery> = fc.record(
  {
    vector: bytes,
    k: count,
    ef: count,
    scoreThreshold: float,
    ...selected,
    includeValues: fc.boolean(),
    includeMetadata: fc.boolean(),
  },
  { requiredKeys: ['vector', 'k', 'ef', 'includeValues', 'includeMetadata'] },
);

const position = fc.record({ id: text, tenant: text });
const scrollQuery: fc.Arbitrary<ScrollQuery> = fc.record(
  {
    ...selected,
    after: position,
    limit: count,
    includeValues: fc.boolean(),
    includeMetadata: fc.boolean(),
  },
  { requiredKeys: ['limit', 'includeValues', 'includeMetadata'] },
);

const call: fc.Arbitrary<codec.ReplicaCall> = fc.oneof(
  fc.record({ method: fc.constant('propose' as const), commands: fc.array(bytes) }),
  fc.record({ method: fc.constant('search' as const), scope, queries: fc.array(query) }),
  fc.record({
    method: fc.constant('fetch' as const),
    scope,
    keys: fc.array(fc.record({ slot: fc.nat(1023), tenant: text, id: text })),
    include: fc.record({ values: fc.boolean(), metadata: fc.boolean() }),
  }),
  fc.record({ method: fc.constant('count' as const), scope, selection }),
  fc.record({ method: fc.constant('scroll' as const), scope, query: scrollQuery }),
  fc.record({ method: fc.constant('explain' as const), scope, query }),
  fc.record({ method: fc.constantFrom('barrier' as const, 'status' as const) }),
);

const record = {
  tenant: text,
  id: text,
  version,
  values: bytes,
  metadata: bytes,
};
const requiredOfRecord = ['tenant', 'id', 'version'] as const;
const hit: fc.Arbitrary<Hit> = fc.record(
  { distance: float, ...record },
  { requiredKeys: ['distance', ...requiredOfRecord] },
);

const outcome = fc.oneof(
  fc.record({ kind: fc.constant('applied' as const), version, existed: fc.boolean() }),
  fc.record({
    kind: fc.constantFrom('not-applied' as const, 'unknown' as const),
    error: errorBody,
  }),
);
const sessionReach = fc.record({
  watermarkMs: fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER - 1 }),
  lastVersion: version,
  clients: fc.array(fc.record({ clientId: text, clientStampMs: count, sequence: count }), {
    maxLength: 4,
  }),
});
const answer: fc.Arbitrary<ProposalAnswer> = fc.oneof(
  fc.record({
    kind: fc.constant('applied' as const),
    index: count,
    result: fc.oneof(
      fc.record({
        kind: fc.constant('write' as const),
        outcomes: fc.array(fc.record({ ordinal: count, outcome })),
      }),
      fc.record({ kind: fc.constant('refused' as const), error: errorBody }),
      fc.record({ kind: fc.constant('done' as const) }),
      fc.record({ kind: fc.constant('done' as const), reach: sessionReach }),
    ),
  }),
  fc.record({
    kind: fc.constantFrom('not-applied' as const, 'unknown' as const),
    error: errorBody,
  }),
);

const transfer = fc.record({ doneBytes: count, sizeBytes: count, bytesPerSecond: float });

const follower = fc.record({
  id: count,
  nodeId: count,
  match: count,
  next: count,
  state: fc.constantFrom('StateProbe' as const, 'StateReplicate' as const),
  isLearner: fc.boolean(),
  recentActive: fc.boolean(),
  paused: fc.boolean(),
  pendingSnapshot: count,
  inflightCount: count,
  inflightFull: fc.boolean(),
  lagEntries: count,
  lagMs: float,
});

const wholeStatus: fc.Arbitrary<ReplicaStatus> = fc.record({
  groupId: count,
  shardId: count,
  replicaId: count,
  nodeId: count,
  role: fc.constantFrom('StateFollower' as const, 'StateLeader' as const),
  term: count,
  leaderNodeId: count,
  commitIndex: count,
  appliedIndex: count,
  lastIndex: count,
  leaderChanges: count,
  followers: fc.array(
    fc.oneof(
      follower,
      fc.tuple(follower, transfer).map(([one, snapshot]) => ({ ...one, snapshot })),
    ),
    { maxLength: 3 },
  ),
  engine: fc.option(
    fc.record({
      appliedIndex: count,
      ownershipVersion: count,
      sessions: count,
      collections: fc.array(
        fc.record({
          collectionId: count,
          records: count,
          headRows: count,
          graphPoints: count,
          tombstones: count,
          isRenewing: fc.boolean(),
          memoryBytes: count,
        }),
        { maxLength: 3 },
      ),
      library: fc.option(fc.record({ instructionSet: text, distancesPerSecond: count }), {
        nil: undefined,
      }),
      costs: fc.option(fc.record({ distance: count, visit: count }), { nil: undefined }),
    }),
    { nil: undefined },
  ),
  fault: fc.option(text, { nil: undefined }),
});
const status = fc.oneof(
  wholeStatus,
  fc.tuple(wholeStatus, transfer).map(([one, receiving]) => ({ ...one, receiving })),
);

describe('replica calls as bytes', () => {
  it('keeps every call', () => {
    const consistency = fc.constantFrom('strong' as const, 'leased' as const);
    const addressed = fc.record({
      format: fc.constant(1 as const),
      groupId: count,
      epoch: count,
      timeoutMs: count,
      consistency,
      passOn: fc.boolean(),
      call,
    });
    fc.assert(
      fc.property(addressed, (value) => {
        expect(codec.decodeCall(codec.encodeCall(value))).toEqual(value);
      }),
    );
  });

  it('keeps how fresh a read is to be, in the format that is made for it', () => {
    const level: fc.Arbitrary<ShardConsistency> = fc.oneof(
      fc.constantFrom('strong' as const, 'leased' as const, 'eventual' as const),
      fc.record({ boundedMs: count }),
      fc.record({ minIndex: count }),
    );
    fc.assert(
      fc.property(level, call, (consistency, one) => {
        const where = { format: 2 as const, groupId: 1, epoch: 2, timeoutMs: 3, passOn: false };
        const addressed = { ...where, consistency, call: one };
        const bytes = codec.encodeCall(addressed);
        expect(codec.decodeCall(bytes)).toEqual(addressed);
        expect(() => codec.decodeCall(bytes.with(1, 3))).toThrow(MalformedBytesError);
      }),
    );
  });

  it('keeps the state that an answer shows, and tells by its format whether there is one', () => {
    const whole = { appliedIndex: count, ageMs: count, nodeId: count };
    const state: fc.Arbitrary<ShownState> = fc.record(whole, { requiredKeys: ['appliedIndex'] });
    fc.assert(
      fc.property(fc.record({ value: count, state }), (answer) => {
        expect(reads.decodeCount(reads.encodeCount(answer))).toEqual(answer);
        expect(reads.encodeCount(answer)[0]).toBe(2);
        expect(reads.encodeCount({ value: answer.value })[0]).toBe(1);
      }),
    );
    const late = { value: 1, state: { appliedIndex: 1, ageMs: 0.2 } };
    // An age is never rounded down.
    expect(reads.decodeCount(reads.encodeCount(late)).state?.ageMs).toBe(1);
  });

  it('keeps answers, hits, records, counts and status', () => {
    fc.assert(
      fc.property(fc.array(answer), (value) => {
        expect(codec.decodeProposalAnswers(codec.encodeProposalAnswers(value))).toEqual(value);
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.array(hit)), (value) => {
        expect(reads.decodeHits(reads.encodeHits({ value }))).toEqual({ value });
      }),
    );
    const whole = { ...record, expiresAtMs: count };
    const stored = fc.record(whole, { requiredKeys: [...requiredOfRecord] });
    fc.assert(
      fc.property(fc.array(fc.option(stored, { nil: undefined })), (value) => {
        expect(reads.decodeRecords(reads.encodeRecords({ value }))).toEqual({ value });
      }),
    );
    fc.assert(
      fc.property(count, (value) => {
        expect(reads.decodeCount(reads.encodeCount({ value }))).toEqual({ value });
      }),
    );
    fc.assert(
      fc.property(status, (value) => {
        expect(codec.decodeStatus(codec.encodeStatus(value))).toEqual(value);
      }),
    );
  });

  it('keeps what graphs are brought to, in the format that has it (F-15)', () => {
    const work = fc.constantFrom(undefined, ...GRAPH_WORKS);
    fc.assert(
      fc.property(status, fc.infiniteStream(work), (value, works) => {
        const collections = value.engine?.collections.map((collection) => {
          const graphWork = works.next().value;
          return graphWork === undefined ? collection : { ...collection, graphWork };
        });
        const engine = value.engine && collections && { ...value.engine, collections };
        const whole = { ...value, engine };
        const bytes = codec.encodeStatus(whole, 2);
        expect(codec.decodeStatus(bytes)).toEqual(whole);
        // The version before has no place for it.
        expect(codec.encodeStatus(whole)).toEqual(codec.encodeStatus(value));
        expect(() => codec.decodeStatus(bytes.with(0, 3))).toThrow(MalformedBytesError);
        expect(() => codec.decodeStatus(bytes.subarray(0, -1))).toThrow(MalformedBytesError);
      }),
    );
  });

  it('keeps pages of scrolls and explanations', () => {
    const whole = { ...record, expiresAtMs: count };
    const stored = fc.record(whole, { requiredKeys: [...requiredOfRecord] });
    const page: fc.Arbitrary<ScrollPage> = fc.record(
      { records: fc.array(stored), next: position },
      { requiredKeys: ['records'] },
    );
    fc.assert(
      fc.property(page, (value) => {
        expect(reads.decodeScrollPage(reads.encodeScrollPage({ value }))).toEqual({ value });
      }),
    );
    const explanation: fc.Arbitrary<Explanation> = fc.record(
      {
        plan: fc.constantFrom(...PLAN_KINDS),
        reason: text,
        records: count,
        estimatedMatches: float,
        matches: count,
        indexedFields: fc.array(text),
        scannedFields: fc.array(text),
        visited: count,
        compared: count,
        durationMs: float,
      },
      {
        requiredKeys: [
          'plan',
          'reason',
          'records',
          'estimatedMatches',
          'indexedFields',
          'scannedFields',
          'visited',
          'compared',
          'durationMs',
        ],
      },
    );
    fc.assert(
      fc.property(explanation, (value) => {
        expect(reads.decodeExplanation(reads.encodeExplanation({ value }))).toEqual({ value });
      }),
    );
  });

  it('refuses every truncation of a call instead of misreading it', () => {
    fc.assert(
      fc.property(call, (value) => {
        const consistency = 'strong' as const;
        const place = { format: 1 as const, groupId: 3, epoch: 9, timeoutMs: 5 };
        const addressed = { ...place, consistency, passOn: true };
        const whole = codec.encodeCall({ ...addressed, call: value });
        for (let length = 0; length < whole.length; length++) {
          expect(() => codec.decodeCall(whole.subarray(0, length))).toThrow(MalformedBytesError);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('copies proposed commands, because the leader stamps them', () => {
    const encoded = codec.encodeCall({
      format: 1,
      groupId: 1,
      epoch: 1,
      timeoutMs: 1,
      consistency: 'strong',
      passOn: false,
      call: { method: 'propose', commands: [new Uint8Array([1, 2, 3])] },
    });
    const { call: decoded } = codec.decodeCall(encoded);
    if (decoded.method !== 'propose') throw new Error('another method');
    const command = decoded.commands[0] as Uint8Array;
    command[0] = 99;
    expect(codec.decodeCall(encoded).call).toMatchObject({
      commands: [new Uint8Array([1, 2, 3])],
    });
  });
});
