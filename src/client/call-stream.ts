/**
 * Many calls to one address over one bidirectional stream. What is called in one turn of the event
 * loop leaves in one message, which costs client and node a fraction of what unary calls do.
 *
 * At most `LIMITS.streamCallsMax` calls are under way at once; later ones wait here for their turn,
 * and so does everything while the node reads slower than the client writes.
 */
import {
  type Client,
  type ClientDuplexStream,
  Metadata,
  type ServiceError,
  status as Status,
} from '@grpc/grpc-js';
import {
  CALL_ID_MAX,
  type CallHeaders,
  decodeAnswerBatch,
  EXCHANGE_PATH,
  encodeCallBatch,
  type StreamedAnswer,
  type StreamedCall,
} from '../shared/codec/call-stream-messages.js';
import { STATUS_DETAILS_KEY } from '../shared/codec/status-details.js';
import { TIMEOUT_MS_MAX } from '../shared/deadline.js';
import { LIMITS } from '../shared/limits.js';

/** A message takes no further call beyond this. */
export const BATCH_BYTES_TARGET = 64 * 1024;

/**
 * After how long without a call a stream is given up. An open stream keeps the process alive, which
 * a client that nobody uses must not; a new one costs hardly more than a call.
 */
const IDLE_MS = 250;

/** Encoded beforehand: the same bytes go over either transport. */
export interface OutgoingCall {
  readonly path: string;
  readonly headers: CallHeaders;
  readonly body: Buffer;
  /** Wall-clock milliseconds. */
  readonly deadlineMs: number;
}

/** Told once: the response, or the error in the form that unary calls of grpc-js have. */
export type Done = (error: CallError | null, response?: Buffer) => void;

export interface CallError extends ServiceError {
  /** Whether it is certain that the node has not begun the call. @default false */
  readonly notBegun?: boolean;
}

interface PendingCall {
  readonly id: number;
  readonly call: OutgoingCall;
  readonly done: Done;
  readonly timer: NodeJS.Timeout;
  isSent: boolean;
  /** Of an answer that comes in pieces. */
  pieces: Uint8Array[] | undefined;
  receivedBytes: number;
}

export class CallStream {
  readonly #stream: ClientDuplexStream<Buffer, Buffer>;
  readonly #idleCheck: NodeJS.Timeout;
  /** By id; sent, or waiting for their turn. */
  readonly #pending = new Map<number, PendingCall>();
  /** Not sent yet, in order. */
  readonly #waiting = new Set<PendingCall>();
  /** Sent and given up; the node is told with the next message. */
  #cancelled: number[] = [];
  #sentCount = 0;
  #lastId = 0;
  #isFlushing = false;
  #isBlocked = false;
  #isClosing = false;
  #isEnded = false;
  #isUsed = true;
  /** Whether the node has sent anything: it knows streams then, and serves this one. */
  #isServed = false;

  /** Opens the stream; sends nothing before the first call. */
  constructor(client: Client) {
    this.#stream = client.makeBidiStreamRequest(EXCHANGE_PATH, asIs, asIs, new Metadata());
    this.#stream.on('data', (message: Buffer) => this.#receive(message));
    this.#stream.on('drain', () => this.#unblock());
    this.#stream.on('error', (error: ServiceError) => this.#end(error));
    this.#stream.once('end', () => this.#end(undefined));
    this.#idleCheck = setInterval(() => this.#closeIfUnused(), IDLE_MS).unref();
  }

  /** Whether calls can still be made; later ones belong on another stream. */
  get isOpen(): boolean {
    return !this.#isClosing && !this.#isEnded && this.#lastId < CALL_ID_MAX;
  }

  /** Calls that have no answer yet. */
  get pendingCalls(): number {
    return this.#pending.size;
  }

  /** Makes a call, on a stream that is open. Returns what gives it up. */
  call(call: OutgoingCall, done: Done): () => void {
    const id = ++this.#lastId;
    const timer = setTimeout(() => this.#giveUp(pending, lateError()), leftMs(call));
    const pending: PendingCall = {
      id,
      call,
      done,
      timer,
      isSent: false,
      pieces: undefined,
      receivedBytes: 0,
    };
    this.#isUsed = true;
    this.#pending.set(id, pending);
    this.#waiting.add(pending);
    this.#flushSoon();
    return () => this.#giveUp(pending, errorOf(Status.CANCELLED, 'Cancelled on client'));
  }

  /** Takes no more calls; ends when those under way have their answers. Idempotent. */
  close(): void {
    this.#isClosing = true;
    this.#endIfDone();
  }

  #flushSoon(): void {
    if (this.#isFlushing || this.#isBlocked) return;
    this.#isFlushing = true;
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#isEnded && !this.#isBlocked) {
      const calls = this.#takeCalls();
      const cancelled = this.#cancelled;
      if (calls.length === 0 && cancelled.length === 0) return;
      this.#cancelled = [];
      this.#isBlocked = !this.#stream.write(encodeCallBatch({ calls, cancelled }));
    }
  }

  #takeCalls(): StreamedCall[] {
    const calls: StreamedCall[] = [];
    let sizeBytes = 0;
    for (const pending of this.#waiting) {
      const isFull = this.#sentCount >= LIMITS.streamCallsMax.value;
      if (isFull || sizeBytes >= BATCH_BYTES_TARGET) break;
      this.#waiting.delete(pending);
      pending.isSent = true;
      this.#sentCount++;
      const { path, headers, body } = pending.call;
      // 0 would mean no deadline; one that has passed ends the call here in a moment.
      const timeoutMs = Math.max(1, Math.ceil(leftMs(pending.call)));
      calls.push({ id: pending.id, path, timeoutMs, headers, request: body });
      sizeBytes += body.length;
    }
    return calls;
  }

  #unblock(): void {
    this.#isBlocked = false;
    this.#flush();
  }

  #receive(message: Buffer): void {
    if (this.#isEnded) return;
    this.#isServed = true;
    try {
      const { answers, closing } = decodeAnswerBatch(message);
      for (const answer of answers) this.#takeAnswer(answer);
      if (closing) this.#leave();
    } catch (error) {
      const details = `Response message parsing error: ${(error as Error).message}`;
      this.#end(errorOf(Status.INTERNAL, details));
    }
    // Answers make room for calls that wait for their turn.
    if (this.#waiting.size > 0) this.#flushSoon();
  }

  /** The node stops: what has not been sent yet can begin elsewhere, at once. */
  #leave(): void {
    this.#isClosing = true;
    const reason = brokenError(undefined);
    for (const pending of [...this.#waiting]) this.#settle(pending, notBegunError(reason));
    this.#endIfDone();
  }

  /** Answers to calls that were given up meanwhile are dropped. */
  #takeAnswer({ id, response, more, code, status }: StreamedAnswer): void {
    const pending = this.#pending.get(id);
    if (pending === undefined || !pending.isSent) return;
    if (code !== Status.OK) {
      this.#settle(pending, answeredError(code, status));
      return;
    }
    pending.receivedBytes += response.length;
    if (pending.receivedBytes > LIMITS.requestBytesMax.value) {
      const details = `Received message larger than max (${LIMITS.requestBytesMax.value})`;
      this.#giveUp(pending, errorOf(Status.RESOURCE_EXHAUSTED, details));
      return;
    }
    if (!more && pending.pieces === undefined) {
      this.#settle(pending, null, asBuffer(response));
      return;
    }
    pending.pieces ??= [];
    pending.pieces.push(response);
    if (!more) this.#settle(pending, null, Buffer.concat(pending.pieces));
  }

  /** Ends a call here; the node is told where it knows of the call. */
  #giveUp(pending: PendingCall, error: CallError): void {
    if (!this.#pending.has(pending.id)) return;
    if (pending.isSent) {
      this.#cancelled.push(pending.id);
      this.#flushSoon();
    }
    this.#settle(pending, error);
  }

  #settle(pending: PendingCall, error: CallError | null, response?: Buffer): void {
    this.#pending.delete(pending.id);
    this.#waiting.delete(pending);
    clearTimeout(pending.timer);
    if (pending.isSent) this.#sentCount--;
    pending.done(error, response);
    this.#endIfDone();
  }

  #closeIfUnused(): void {
    if (this.#pending.size > 0) return;
    if (!this.#isUsed) this.close();
    this.#isUsed = false;
  }

  /** Resets the stream, for which the node is not needed. */
  #endIfDone(): void {
    if (!this.#isClosing || this.#isEnded || this.#pending.size > 0) return;
    this.#end(undefined);
  }

  #end(error: ServiceError | undefined): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    clearInterval(this.#idleCheck);
    this.#stream.cancel();
    const { sent, unsent } = endsOf(error, this.#isServed);
    for (const pending of [...this.#pending.values()]) {
      this.#settle(pending, pending.isSent ? sent : unsent);
    }
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

function leftMs({ deadlineMs }: OutgoingCall): number {
  return Math.min(Math.max(0, deadlineMs - Date.now()), TIMEOUT_MS_MAX);
}

function errorOf(code: Status, details: string, metadata = new Metadata()): CallError {
  return Object.assign(new Error(`${code} ${Status[code]}: ${details}`), {
    code,
    details,
    metadata,
  });
}

/** Codes with which a whole stream is refused, before it carries anything. */
const REFUSALS: ReadonlySet<Status> = new Set([
  Status.UNIMPLEMENTED,
  Status.UNAUTHENTICATED,
  Status.PERMISSION_DENIED,
]);

/**
 * What the end of a stream says of the calls that had been sent, and of the others. Without an
 * error the node has answered every call that it has begun. With one, nobody knows of those that
 * were sent, and the others have not happened; unless the stream was refused as a whole, which
 * says of those that were sent what it says of the stream. A node that knows no streams has begun
 * none, and can be asked otherwise.
 */
function endsOf(
  error: ServiceError | undefined,
  isServed: boolean,
): { readonly sent: CallError; readonly unsent: CallError } {
  const broken = brokenError(error);
  const unsent = notBegunError(broken);
  if (error === undefined) return { sent: unsent, unsent };
  if (isServed || !REFUSALS.has(error.code)) return { sent: broken, unsent };
  if (error.code !== Status.UNIMPLEMENTED) return { sent: error, unsent };
  const unknown = notBegunError(error);
  return { sent: unknown, unsent: unknown };
}

/**
 * Any other end is a break, whatever its code says: no caller has cancelled, none is late, and
 * INTERNAL, say, is what a proxy makes of a connection that it has lost.
 */
function brokenError(error: ServiceError | undefined): ServiceError {
  if (error?.code === Status.UNAVAILABLE) return error;
  const why = error === undefined ? '' : `: ${error.details}`;
  return errorOf(Status.UNAVAILABLE, `The node has ended the stream of calls${why}`);
}

function notBegunError(reason: ServiceError): CallError {
  return Object.assign(errorOf(reason.code, reason.details, reason.metadata), { notBegun: true });
}

/** Of a call to an address that was closed meanwhile. */
export function closedError(): CallError {
  return notBegunError(errorOf(Status.UNAVAILABLE, 'The connection is closed'));
}

function lateError(): CallError {
  return errorOf(Status.DEADLINE_EXCEEDED, 'Deadline exceeded');
}

/** As a unary call fails that the node answers: the details are in the trailer. */
function answeredError(code: number, status: Uint8Array): CallError {
  const metadata = new Metadata();
  metadata.set(STATUS_DETAILS_KEY, asBuffer(status));
  return errorOf(code in Status ? code : Status.UNKNOWN, 'The node has answered', metadata);
}
