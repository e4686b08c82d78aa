// Goal: answers share messages, and no large one stands in the way of small ones.
// Method: answers around the bounds of a piece and of a message; what is taken, in order.
import { describe, expect, it } from 'vitest';
import {
  AnswerQueue,
  BATCH_BYTES_TARGET,
  PIECE_BYTES_MAX,
} from '../../../src/server/answer-queue.js';
import type { StreamedAnswer } from '../../../src/shared/codec/call-stream-messages.js';

/** All messages, until nothing waits. */
function drained(queue: AnswerQueue): StreamedAnswer[][] {
  const messages: StreamedAnswer[][] = [];
  while (!queue.isEmpty) messages.push(queue.take());
  return messages;
}

const sizes = (messages: StreamedAnswer[][]): string[][] =>
  messages.map((answers) =>
    answers.map(({ id, response, more }) => `${id}:${response.length}${more ? '+' : ''}`),
  );

describe('waiting answers', () => {
  it('that are small leave in one message, in order', () => {
    const queue = new AnswerQueue();
    for (let id = 1; id <= 100; id++) queue.add(id, Buffer.alloc(10));
    queue.addFailure(101, { code: 5, status: Buffer.from('why') });
    const messages = drained(queue);
    expect(messages).toHaveLength(1);
    expect(messages[0]?.map(({ id }) => id)).toEqual(Array.from({ length: 101 }, (_, i) => i + 1));
    expect(messages[0]?.at(-1)).toMatchObject({ code: 5, status: Buffer.from('why'), more: false });
    expect(queue.take()).toEqual([]);
  });

  it.each([
    [PIECE_BYTES_MAX - 1, [[`1:${PIECE_BYTES_MAX - 1}`]]],
    [PIECE_BYTES_MAX, [[`1:${PIECE_BYTES_MAX}`]]],
    [PIECE_BYTES_MAX + 1, [[`1:${PIECE_BYTES_MAX}+`], ['1:1']]],
    [0, [['1:0']]],
  ])('of %i bytes are cut into pieces', (sizeBytes, expected) => {
    const queue = new AnswerQueue();
    queue.add(1, Buffer.alloc(sizeBytes));
    expect(sizes(drained(queue))).toEqual(expected);
  });

  it('that are large take turns with all others, and are whole again when put together', () => {
    const queue = new AnswerQueue();
    const large = Buffer.from(Array.from({ length: 3 * PIECE_BYTES_MAX }, (_, at) => at % 251));
    queue.add(1, large);
    queue.add(2, large);
    queue.add(3, Buffer.alloc(5));
    const messages = drained(queue);
    expect(messages[0]?.map(({ id }) => id)).toEqual([1, 2]);
    // The small one waits for one round of the large ones, whatever is left of them.
    expect(messages[1]?.map(({ id }) => id).slice(0, 1)).toEqual([3]);
    for (const id of [1, 2]) {
      const pieces = messages.flat().filter((answer) => answer.id === id);
      expect(pieces.map(({ more }) => more)).toEqual([true, true, false]);
      expect(Buffer.concat(pieces.map(({ response }) => response)).equals(large)).toBe(true);
    }
  });

  it('fill a message up to its target, and begin none beyond', () => {
    const queue = new AnswerQueue();
    for (let id = 1; id <= 20; id++) queue.add(id, Buffer.alloc(BATCH_BYTES_TARGET / 8));
    const counts = drained(queue).map((answers) => answers.length);
    expect(counts).toEqual([8, 8, 4]);
  });

  it('count whole until their last piece is taken, or until they are taken back', () => {
    const queue = new AnswerQueue();
    const large = 3 * BATCH_BYTES_TARGET;
    queue.add(1, Buffer.alloc(large));
    queue.add(2, Buffer.alloc(PIECE_BYTES_MAX + 1));
    const both = queue.waitingBytes;
    expect(both).toBeGreaterThan(large + PIECE_BYTES_MAX);
    queue.take();
    expect(queue.waitingBytes).toBe(both);
    queue.drop(2);
    expect(queue.waitingBytes).toBeGreaterThanOrEqual(large);
    expect(queue.waitingBytes).toBeLessThan(large + PIECE_BYTES_MAX);
    queue.addFailure(3, { code: 5, status: Buffer.alloc(1_000) });
    expect(queue.waitingBytes).toBeGreaterThan(large + 1_000);
    drained(queue);
    expect(queue.waitingBytes).toBe(0);
  });

  it('that nobody wants are taken back, begun or not', () => {
    const queue = new AnswerQueue();
    queue.add(1, Buffer.alloc(2 * BATCH_BYTES_TARGET));
    queue.add(2, Buffer.alloc(3));
    queue.take();
    queue.add(3, Buffer.alloc(4));
    queue.drop(1);
    queue.drop(3);
    queue.drop(9);
    expect(drained(queue)).toEqual([]);
    expect(queue.waitingBytes).toBe(0);
  });
});
