// Goal: what a replica holds is told to another node as it is.
// Method: round-trip properties of the call, its answer and the result of an expiry.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SlotContent } from '../../../src/engine/engine.js';
import {
  decodeCall,
  decodeProposalAnswers,
  encodeCall,
  encodeProposalAnswers,
} from '../../../src/replica/rpc-codec.js';
import { decodeContentReport, encodeContentReport } from '../../../src/replica/rpc-contents.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';

const slot: fc.Arbitrary<SlotContent> = fc.record({
  slot: fc.nat({ max: 1_023 }),
  records: fc.maxSafeNat(),
  hash: fc
    .uint8Array({ minLength: 16, maxLength: 16 })
    .map((bytes) => Buffer.from(bytes).toString('hex')),
});
const slots = fc.array(slot, { maxLength: 5 });
const contents = fc.array(fc.record({ collectionId: fc.nat(), slots }), { maxLength: 3 });
const faults = fc.array(fc.record({ collectionId: fc.nat(), kept: slot, found: slot }), {
  maxLength: 3,
});
const report = fc.record({ contents, faults }, { requiredKeys: ['faults'] });

describe('what replicas hold, between nodes', () => {
  it('is asked for at a mark or now, deep or not', () => {
    const query = fc.record(
      { mark: fc.maxSafeNat(), deep: fc.boolean() },
      { requiredKeys: ['deep'] },
    );
    fc.assert(
      fc.property(query, (one) => {
        const where = { format: 1 as const, groupId: 3, epoch: 4, timeoutMs: 500, passOn: false };
        const call = { method: 'contents' as const, query: one };
        const addressed = { ...where, consistency: 'strong' as const, call };
        expect(decodeCall(encodeCall(addressed))).toEqual(addressed);
      }),
    );
  });

  it('comes back as it was, and not at all where it is cut off', () => {
    fc.assert(
      fc.property(report, fc.nat(), (one, cut) => {
        const bytes = encodeContentReport(one);
        expect(decodeContentReport(bytes)).toEqual(one);
        const short = bytes.subarray(0, cut % bytes.length);
        expect(() => decodeContentReport(short)).toThrow(MalformedBytesError);
      }),
    );
  });

  it('and how many records have expired', () => {
    fc.assert(
      fc.property(fc.nat(), fc.nat(), (index, removed) => {
        const answer = { kind: 'applied', index, result: { kind: 'expired', removed } } as const;
        expect(decodeProposalAnswers(encodeProposalAnswers([answer]))).toEqual([answer]);
      }),
    );
  });
});
