/**
 * The answers that wait to leave on one stream. Those that are ready in the same turn share a
 * message; one that is larger than a piece goes round with the others, so that a small answer is
 * not held up by a large one.
 */
import type { StreamedAnswer } from '../shared/codec/call-stream-messages.js';
import { NO_BYTES } from '../shared/codec/protobuf-wire.js';

/** A message takes no further answer beyond this. */
export const BATCH_BYTES_TARGET = 64 * 1024;
/** The largest piece of an answer. */
export const PIECE_BYTES_MAX = 32 * 1024;

/** What a message takes for an answer beside its bytes, roughly. */
const ANSWER_BYTES = 32;

interface WaitingAnswer {
  readonly id: number;
  readonly response: Buffer;
  readonly code: number;
  readonly status: Uint8Array;
  sentBytes: number;
}

export class AnswerQueue {
  #waiting: WaitingAnswer[] = [];
  #waitingBytes = 0;

  get isEmpty(): boolean {
    return this.#waiting.length === 0;
  }

  /** What the answers hold in memory: each counts whole until its last piece is taken. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  add(id: number, response: Buffer): void {
    this.#push({ id, response, code: 0, status: NO_BYTES, sentBytes: 0 });
  }

  /** `code` and `status` as in `StreamedAnswer`. */
  addFailure(id: number, { code, status }: { code: number; status: Buffer }): void {
    this.#push({ id, response: Buffer.alloc(0), code, status, sentBytes: 0 });
  }

  /** Takes back what is left of an answer. Costs a scan of those that wait. */
  drop(id: number): void {
    this.#waiting = this.#waiting.filter((answer) => {
      if (answer.id !== id) return true;
      this.#waitingBytes -= sizeBytesOf(answer);
      return false;
    });
  }

  #push(answer: WaitingAnswer): void {
    this.#waiting.push(answer);
    this.#waitingBytes += sizeBytesOf(answer);
  }

  /** The next message's worth: at least one answer or piece where any waits. */
  take(): StreamedAnswer[] {
    const waiting = this.#waiting;
    const taken: StreamedAnswer[] = [];
    const unfinished: WaitingAnswer[] = [];
    let sizeBytes = 0;
    let at = 0;
    for (; at < waiting.length && sizeBytes < BATCH_BYTES_TARGET; at++) {
      const answer = waiting[at];
      if (answer === undefined) break;
      const piece = nextPiece(answer);
      taken.push(piece);
      sizeBytes += ANSWER_BYTES + piece.response.length + piece.status.length;
      if (piece.more) unfinished.push(answer);
      else this.#waitingBytes -= sizeBytesOf(answer);
    }
    this.#waiting = [...waiting.slice(at), ...unfinished];
    return taken;
  }
}

function sizeBytesOf({ response, status }: WaitingAnswer): number {
  return ANSWER_BYTES + response.length + status.length;
}

function nextPiece(answer: WaitingAnswer): StreamedAnswer {
  const { id, response, code, status, sentBytes } = answer;
  const end = Math.min(sentBytes + PIECE_BYTES_MAX, response.length);
  answer.sentBytes = end;
  const isWhole = sentBytes === 0 && end === response.length;
  const piece = isWhole ? response : response.subarray(sentBytes, end);
  return { id, response: piece, more: end < response.length, code, status };
}
