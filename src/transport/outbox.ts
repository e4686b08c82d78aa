/**
 * What waits to be sent to one peer, in three classes: heartbeats and votes, then other Raft
 * messages, then requests and their answers. Each frame takes from the classes in that order, so
 * a heartbeat waits for the frame under way at most, however much is queued behind it.
 *
 * Order is kept within a class. Payloads larger than a piece go round with one another, so that a
 * small request is not held up by a large one.
 */
import type { MessageType } from '../raft/types.js';
import { ByteWriter } from '../shared/bytes.js';
import { LIMITS } from '../shared/limits.js';
import type { ErrorBody } from '../shared/types.js';
import { encodeFrame, type FrameRecord, recordSizeBytes } from './frame.js';
import type { FrameRooms } from './frame-rooms.js';
import { messageSizeBytes } from './raft-codec.js';
import type { TransportSettings } from './settings.js';
import type { GroupMessage } from './transport.js';

/** What leadership depends on. All of it is small. */
const URGENT: ReadonlySet<MessageType> = new Set<MessageType>([
  'MsgHeartbeat',
  'MsgHeartbeatResp',
  'MsgVote',
  'MsgVoteResp',
  'MsgPreVote',
  'MsgPreVoteResp',
]);

/** Share of a frame that waiting requests keep when appends could fill it all. */
const CALL_SHARE = 0.25;
const FRAME_HEADER_BYTES = 64;
/** A Raft message shares its frame with others; a larger one fits none for sure. */
const MESSAGE_BYTES_MAX = LIMITS.frameBytesMax.value / 2;

/** A request or an answer on its way out. */
export interface OutgoingPayload {
  readonly kind: 'request' | 'response';
  readonly requestId: number;
  readonly timeoutMs: number;
  readonly payload: Uint8Array;
  /** Bytes that are in frames already. */
  sentBytes: number;
  /** Whether the first piece is in a frame. */
  started: boolean;
  /** Whether the last piece is: from then on the peer may act on it. */
  finished: boolean;
  readonly onFinished: (() => void) | undefined;
}

type OutgoingCall =
  | OutgoingPayload
  | { readonly kind: 'failure'; readonly requestId: number; readonly error: ErrorBody }
  | { readonly kind: 'cancel'; readonly requestId: number };

/** Raft messages waiting in one class. */
class RaftQueue {
  #messages: GroupMessage[] = [];
  #sizeBytes = 0;

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get empty(): boolean {
    return this.#messages.length === 0;
  }

  add(message: GroupMessage, sizeBytes: number): void {
    this.#messages.push(message);
    this.#sizeBytes += sizeBytes;
  }

  /** Takes messages from the front up to the budget; the first one whatever its size. */
  take(budgetBytes: number): { messages: GroupMessage[]; sizeBytes: number } {
    let sizeBytes = 0;
    let count = 0;
    for (const { message } of this.#messages) {
      const next = messageSizeBytes(message);
      if (count > 0 && sizeBytes + next > budgetBytes) break;
      sizeBytes += next;
      count++;
    }
    const messages = this.#messages.splice(0, count);
    this.#sizeBytes -= sizeBytes;
    return { messages, sizeBytes };
  }
}

export class Outbox {
  readonly #settings: TransportSettings;
  readonly #urgent = new RaftQueue();
  readonly #appends = new RaftQueue();
  readonly #rooms: FrameRooms;
  #calls: OutgoingCall[] = [];
  #payloadBytes = 0;

  /** `rooms` is where the memory of frames comes from. */
  constructor(settings: TransportSettings, rooms: FrameRooms) {
    this.#settings = settings;
    this.#rooms = rooms;
  }

  get queuedBytes(): number {
    return this.#urgent.sizeBytes + this.#appends.sizeBytes + this.#payloadBytes;
  }

  get empty(): boolean {
    return this.#urgent.empty && this.#appends.empty && this.#calls.length === 0;
  }

  /**
   * Queues what there is room for, and drops the rest: what came first stays. Raft finds out by
   * the missing answers and sends again. Returns how many were dropped. A message that is too
   * large for any frame is dropped as well; entries are limited so that there is none.
   */
  addMessages(messages: readonly GroupMessage[]): number {
    let dropped = 0;
    for (const message of messages) {
      const queue = URGENT.has(message.message.type) ? this.#urgent : this.#appends;
      const sizeBytes = messageSizeBytes(message.message);
      const full = queue.sizeBytes + sizeBytes > this.#settings.raftQueueBytesMax;
      if (sizeBytes > MESSAGE_BYTES_MAX || (full && !queue.empty)) dropped++;
      else queue.add(message, sizeBytes);
    }
    return dropped;
  }

  /** Whether a request of that size may be queued: always when none waits. */
  hasRoomFor(sizeBytes: number): boolean {
    return (
      this.#payloadBytes === 0 ||
      this.#payloadBytes + sizeBytes <= this.#settings.requestQueueBytesMax
    );
  }

  /** Queues a request. The peer may act on it once `finished` is set. */
  addRequest(requestId: number, timeoutMs: number, payload: Uint8Array): OutgoingPayload {
    return this.#addPayload({
      kind: 'request',
      requestId,
      timeoutMs,
      payload,
      onFinished: undefined,
    });
  }

  /** Queues an answer. Calls `onFinished` when its last piece is in a frame. */
  addAnswer(requestId: number, payload: Uint8Array, onFinished: () => void): OutgoingPayload {
    return this.#addPayload({ kind: 'response', requestId, timeoutMs: 0, payload, onFinished });
  }

  addFailure(requestId: number, error: ErrorBody): void {
    this.#calls.push({ kind: 'failure', requestId, error });
  }

  addCancel(requestId: number): void {
    this.#calls.push({ kind: 'cancel', requestId });
  }

  /** Gives up what is left of a payload. Costs a scan of the requests that wait. */
  drop(call: OutgoingPayload): void {
    const at = this.#calls.indexOf(call);
    if (at < 0) return;
    this.#calls.splice(at, 1);
    this.#payloadBytes -= call.payload.length - call.sentBytes;
  }

  /** Takes the memory of one of its frames back: nobody reads it any more. */
  reuse(frame: Uint8Array): void {
    this.#rooms.giveBack(frame);
  }

  /** The next frame, a copy of what it carries, or `undefined` when nothing waits. */
  nextFrame(): Uint8Array | undefined {
    const records: FrameRecord[] = [];
    let left = this.#settings.frameBytesTarget;
    if (!this.#urgent.empty) left -= this.#takeMessages(this.#urgent, left, records);
    if (!this.#appends.empty) {
      const budget = this.#calls.length > 0 ? left * (1 - CALL_SHARE) : left;
      left -= this.#takeMessages(this.#appends, budget, records);
    }
    if (this.#calls.length > 0) left -= this.#takeCalls(left, records);
    if (records.length === 0) return undefined;
    const sizeBytes = FRAME_HEADER_BYTES + this.#settings.frameBytesTarget - left;
    return encodeFrame(records, new ByteWriter(this.#rooms.take(sizeBytes)));
  }

  #addPayload(head: Omit<OutgoingPayload, 'sentBytes' | 'started' | 'finished'>): OutgoingPayload {
    // Field by field: a spread would make objects that V8 cannot tell apart quickly.
    const { kind, requestId, timeoutMs, payload, onFinished } = head;
    const call: OutgoingPayload = {
      kind,
      requestId,
      timeoutMs,
      payload,
      onFinished,
      sentBytes: 0,
      started: false,
      finished: false,
    };
    this.#calls.push(call);
    this.#payloadBytes += call.payload.length;
    return call;
  }

  #takeMessages(queue: RaftQueue, budgetBytes: number, records: FrameRecord[]): number {
    const { messages, sizeBytes } = queue.take(budgetBytes);
    records.push({ kind: 'raft', messages });
    return FRAME_HEADER_BYTES + sizeBytes;
  }

  /** Takes at least one call, then as many as fit; unfinished payloads go to the end. */
  #takeCalls(budgetBytes: number, records: FrameRecord[]): number {
    const waiting = this.#calls;
    const unfinished: OutgoingCall[] = [];
    let sizeBytes = 0;
    let taken = 0;
    while (taken < waiting.length && (taken === 0 || sizeBytes < budgetBytes)) {
      const call = waiting[taken++];
      if (call === undefined) break;
      const record = 'payload' in call ? this.#nextPiece(call) : call;
      records.push(record);
      sizeBytes += recordSizeBytes(record);
      if ('payload' in call && !call.finished) unfinished.push(call);
    }
    waiting.splice(0, taken);
    waiting.push(...unfinished);
    return sizeBytes;
  }

  #nextPiece(call: OutgoingPayload): FrameRecord {
    const { kind, requestId, timeoutMs, payload } = call;
    const end = Math.min(call.sentBytes + this.#settings.pieceBytesMax, payload.length);
    const isFirst = !call.started;
    const isWhole = isFirst && end === payload.length;
    const piece = isWhole ? payload : payload.subarray(call.sentBytes, end);
    this.#payloadBytes -= piece.length;
    call.sentBytes = end;
    call.started = true;
    call.finished = end === payload.length;
    if (call.finished) call.onFinished?.();
    if (kind === 'request') {
      if (!isFirst) return { kind: 'requestPart', requestId, piece };
      return { kind, requestId, timeoutMs, sizeBytes: payload.length, piece };
    }
    if (!isFirst) return { kind: 'responsePart', requestId, piece };
    return { kind, requestId, sizeBytes: payload.length, piece };
  }
}
