// Goal: the messages of a stream of calls mean exactly what calls.proto says.
// Method: random messages both ways against protobufjs, and bytes that are cut or changed.
import fc from 'fast-check';
import protobuf from 'protobufjs';
import { describe, expect, it } from 'vitest';
import { PROTO_DIRECTORY } from '../../../src/server/reflection.js';
import { MalformedBytesError } from '../../../src/shared/bytes.js';
import {
  type AnswerBatch,
  CALL_ID_MAX,
  CALLS_SERVICE,
  type CallBatch,
  decodeAnswerBatch,
  decodeCallBatch,
  EXCHANGE_PATH,
  encodeAnswerBatch,
  encodeCallBatch,
} from '../../../src/shared/codec/call-stream-messages.js';
import { LIMITS } from '../../../src/shared/limits.js';

const root = new protobuf.Root();
root.resolvePath = (_origin, target) => `${PROTO_DIRECTORY}/${target}`;
root.loadSync('flotilla/v1/calls.proto');
const stock = {
  calls: root.lookupType('flotilla.v1.CallBatch'),
  answers: root.lookupType('flotilla.v1.AnswerBatch'),
};

const id = fc.integer({ min: 0, max: CALL_ID_MAX });
const bytes = fc.uint8Array({ maxLength: 300 });
const text = fc.string({ maxLength: 40, unit: 'grapheme' });

const callBatch: fc.Arbitrary<CallBatch> = fc.record({
  calls: fc.array(
    fc.record({
      id,
      path: text,
      timeoutMs: fc.maxSafeNat(),
      headers: fc.array(fc.tuple(text, text), { maxLength: 3 }),
      request: bytes,
    }),
    { maxLength: 5 },
  ),
  cancelled: fc.array(id, { maxLength: 5 }),
});

const answerBatch: fc.Arbitrary<AnswerBatch> = fc.record({
  answers: fc.array(
    fc.record({
      id,
      response: bytes,
      more: fc.boolean(),
      code: fc.integer({ min: 0, max: 16 }),
      status: bytes,
    }),
    { maxLength: 5 },
  ),
  closing: fc.boolean(),
});

/** As protobufjs has it: headers by name, numbers of 64 bits as strings. */
function plainCalls({ calls, cancelled }: CallBatch): object {
  return {
    calls: calls.map(({ timeoutMs, headers, ...rest }) => ({
      ...rest,
      timeoutMs: String(timeoutMs),
      headers: headers.map(([name, value]) => ({ name, value })),
    })),
    cancelled,
  };
}

/** Views compare by content. */
const comparable = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, inner) =>
      ArrayBuffer.isView(inner) || inner?.type === 'Buffer'
        ? Buffer.from(inner.data ?? inner).toString('hex')
        : inner,
    ),
  );

const TO_OBJECT = { longs: String, defaults: true, arrays: true } as const;

describe('batches of calls and of answers', () => {
  it('are written so that protobufjs reads the same', () => {
    fc.assert(
      fc.property(callBatch, answerBatch, (calls, answers) => {
        const read = stock.calls.toObject(stock.calls.decode(encodeCallBatch(calls)), TO_OBJECT);
        expect(comparable(read)).toEqual(comparable(plainCalls(calls)));
        const bytesOf = encodeAnswerBatch(answers);
        const others = stock.answers.toObject(stock.answers.decode(bytesOf), TO_OBJECT);
        expect(comparable(others)).toEqual(comparable(answers));
      }),
      { numRuns: 200 },
    );
  });

  it('are read as protobufjs writes them', () => {
    fc.assert(
      fc.property(callBatch, answerBatch, (calls, answers) => {
        const written = stock.calls.encode(stock.calls.fromObject(plainCalls(calls))).finish();
        expect(comparable(decodeCallBatch(written))).toEqual(comparable(calls));
        const others = stock.answers.encode(stock.answers.fromObject(answers)).finish();
        expect(comparable(decodeAnswerBatch(others))).toEqual(comparable(answers));
      }),
      { numRuns: 200 },
    );
  });

  it('that are cut or changed are read, or refused as malformed (P-9)', () => {
    fc.assert(
      fc.property(callBatch, fc.nat(), fc.nat(255), fc.boolean(), (batch, at, byte, isCut) => {
        const whole = Uint8Array.from(encodeCallBatch(batch));
        const position = whole.length === 0 ? 0 : at % whole.length;
        if (!isCut && whole.length > 0) whole[position] = byte;
        const damaged = isCut ? whole.subarray(0, position) : whole;
        for (const decode of [decodeCallBatch, decodeAnswerBatch]) {
          try {
            decode(damaged);
          } catch (error) {
            expect(error).toBeInstanceOf(MalformedBytesError);
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  const { streamCallsMax, callHeadersMax } = LIMITS;
  const call = { id: 1, path: '', timeoutMs: 0, headers: [], request: Buffer.alloc(0) };
  const LIMITED: [string, number, (count: number) => CallBatch][] = [
    ['calls', streamCallsMax.value, (count) => ({ calls: Array(count).fill(call), cancelled: [] })],
    [
      'cancelled',
      streamCallsMax.value,
      (count) => ({ calls: [], cancelled: Array(count).fill(7) }),
    ],
    [
      'calls.headers',
      callHeadersMax.value,
      (count) => ({ calls: [{ ...call, headers: Array(count).fill(['a', 'b']) }], cancelled: [] }),
    ],
  ];

  it.each(LIMITED)('have at most as many %s as the limit %i says (C5, P-9)', (field, max, of) => {
    for (const count of [max - 1, max]) {
      expect(() => decodeCallBatch(encodeCallBatch(of(count)))).not.toThrow();
    }
    const tooMany = encodeCallBatch(of(max + 1));
    expect(() => decodeCallBatch(tooMany)).toThrow(`${field} has more than ${max}`);
  });

  it('may name each cancelled id by itself, and no more of them', () => {
    const single = Buffer.from([0x10, 7]);
    const max = streamCallsMax.value;
    expect(decodeCallBatch(Buffer.concat(Array(max).fill(single))).cancelled).toHaveLength(max);
    const tooMany = Buffer.concat(Array(max + 1).fill(single));
    expect(() => decodeCallBatch(tooMany)).toThrow('cancelled has more than');
  });

  it('belong to the one method of the service', () => {
    const { methods } = root.lookupService(CALLS_SERVICE);
    expect(Object.keys(methods).map((name) => `/${CALLS_SERVICE}/${name}`)).toEqual([
      EXCHANGE_PATH,
    ]);
  });
});
