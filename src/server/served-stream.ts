/**
 * One client's stream of calls, as the node serves it. Calls begin in the order in which they
 * come, each exactly as a unary call does (unary-calls.ts); answers leave as they are ready.
 *
 * A call counts until its answer has left. A client that reads slowly is not read from either:
 * what it may have under way is bounded by calls and by the bytes of answers that wait for it,
 * never by what it is willing to read.
 */
import type { Metadata, ServerDuplexStream } from '@grpc/grpc-js';
import { status as Status } from '@grpc/grpc-js';
import {
  type CallBatch,
  decodeCallBatch,
  encodeAnswerBatch,
  type StreamedCall,
} from '../shared/codec/call-stream-messages.js';
import { API } from '../shared/codec/public-api.js';
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import { AnswerQueue } from './answer-queue.js';
import type { Authenticator } from './auth.js';
import { toApiError, toStreamedStatus } from './error-map.js';
import type { RunningCall, UnaryCalls } from './unary-calls.js';

export type GrpcStream = ServerDuplexStream<Buffer, Buffer>;

export interface ServedStreamContext {
  readonly calls: UnaryCalls;
  readonly scheduler: Scheduler;
  readonly authenticator: Authenticator | undefined;
  /** Calls on one stream at once; more are refused. */
  readonly callsMax: number;
  /** Bytes of answers that may wait on one stream; beyond them calls are refused. */
  readonly answerBytesMax: number;
}

/**
 * Methods that may answer with megabytes. They change nothing, so that their answers can be thrown
 * away, and the calls refused, as late as when the answers are there.
 */
const LARGE_READS: ReadonlySet<string> = new Set(
  [API.fetch, API.search, API.searchBatch, API.scroll].map(({ path }) => path),
);

/** A call between its arrival and the moment at which its answer has left. */
interface OpenCall {
  readonly id: number;
  /** Set while a handler works on it. */
  running: RunningCall | undefined;
}

export class ServedStream {
  readonly #context: ServedStreamContext;
  readonly #stream: GrpcStream;
  readonly #open = new Map<number, OpenCall>();
  readonly #answers = new AnswerQueue();
  #isFlushing = false;
  /** Whether the client takes nothing more for now. */
  #isBlocked = false;
  /** Whether no more calls are to come. */
  #isClosing = false;
  #isNoticeDue = false;
  #isEnded = false;

  /** `onEnd` is called once, when the stream has no calls any more and takes none. */
  constructor(stream: GrpcStream, context: ServedStreamContext, onEnd: () => void) {
    this.#context = context;
    this.#stream = stream;
    stream.on('data', (message: Buffer) => this.#receive(message));
    stream.on('drain', () => this.#unblock());
    // The client sends no more, but waits for its answers.
    stream.once('end', () => {
      this.#isClosing = true;
      this.#endIfDone();
    });
    stream.once('cancelled', () => this.#abandon());
    // Of a stream that is gone, or that was ended with an error just before.
    stream.on('error', () => this.#abandon());
    stream.once('close', () => {
      this.#abandon();
      onEnd();
    });
  }

  /**
   * Asks the client to send its next calls elsewhere, and ends the stream once the calls that have
   * arrived are answered.
   */
  drain(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#isNoticeDue = this.#open.size > 0;
    if (this.#isNoticeDue) this.#flushSoon();
    else this.#endIfDone();
  }

  #receive(message: Buffer): void {
    if (this.#isEnded) return;
    let batch: CallBatch;
    try {
      batch = decodeCallBatch(message);
    } catch (thrown) {
      this.#refuse(toApiError(thrown).message);
      return;
    }
    for (const id of batch.cancelled) this.#cancel(id);
    for (const call of batch.calls) {
      if (this.#isEnded) return;
      if (this.#open.has(call.id)) this.#refuse(`The call id ${call.id} is in use`);
      else this.#admit(call);
    }
  }

  #admit(call: StreamedCall): void {
    const { callsMax, authenticator } = this.#context;
    if (this.#open.size >= callsMax) {
      const message = `The stream has ${callsMax} calls under way already, try again later`;
      this.#answerFailure(call.id, new FlotillaError('TOO_MANY_REQUESTS', message));
      return;
    }
    const open: OpenCall = { id: call.id, running: undefined };
    this.#open.set(call.id, open);
    let headers: Metadata;
    try {
      headers = this.#headersOf(call);
    } catch (thrown) {
      const message = `The headers are malformed: ${(thrown as Error).message}`;
      this.#answerFailure(call.id, new FlotillaError('INVALID_REQUEST', message));
      return;
    }
    if (authenticator === undefined) this.#begin(open, call, headers);
    else void this.#authenticate(authenticator, open, call, headers);
  }

  async #authenticate(
    authenticator: Authenticator,
    open: OpenCall,
    call: StreamedCall,
    headers: Metadata,
  ): Promise<void> {
    try {
      await authenticator.authenticate(headers, call.path);
    } catch (thrown) {
      if (this.#isWanted(open)) this.#answerFailure(call.id, toApiError(thrown));
      return;
    }
    if (this.#isWanted(open)) this.#begin(open, call, headers);
  }

  #begin(open: OpenCall, { id, path, timeoutMs, request }: StreamedCall, headers: Metadata): void {
    if (this.#isFull) {
      this.#answerFailure(id, this.#fullError());
      return;
    }
    const arrived = {
      // A copy: the limit of bytes could not see the rest of the message, which a view would keep.
      request: Buffer.from(request),
      headers,
      timeoutMs: timeoutMs === 0 ? Number.POSITIVE_INFINITY : timeoutMs,
    };
    open.running = this.#context.calls.serveStreamed(path, arrived, (error, answer) => {
      open.running = undefined;
      if (!this.#isWanted(open)) return;
      if (answer === undefined) this.#answerFailure(id, error ?? toApiError(undefined));
      else if (this.#isFull && LARGE_READS.has(path)) this.#answerFailure(id, this.#fullError());
      else {
        this.#answers.add(id, answer);
        this.#flushSoon();
      }
    });
  }

  get #isFull(): boolean {
    return this.#answers.waitingBytes >= this.#context.answerBytesMax;
  }

  #fullError(): FlotillaError {
    const { answerBytesMax } = this.#context;
    const message = `Answers of ${answerBytesMax} bytes wait to be read on this stream, read them`;
    return new FlotillaError('TOO_MANY_REQUESTS', message, { limit: 'streamAnswerBytesMax' });
  }

  #isWanted(open: OpenCall): boolean {
    return this.#open.get(open.id) === open;
  }

  #headersOf({ headers }: StreamedCall): Metadata {
    if (headers.length === 0) return this.#stream.metadata;
    const merged = this.#stream.metadata.clone();
    for (const [name, value] of headers) merged.set(name, value);
    return merged;
  }

  #answerFailure(id: number, error: FlotillaError): void {
    this.#answers.addFailure(id, toStreamedStatus(error));
    this.#flushSoon();
  }

  #cancel(id: number): void {
    const open = this.#open.get(id);
    if (open === undefined) return;
    this.#open.delete(id);
    this.#answers.drop(id);
    open.running?.cancel(false);
    this.#endIfDone();
  }

  /** What is answered in this turn of the event loop leaves together. */
  #flushSoon(): void {
    if (this.#isFlushing || this.#isBlocked || this.#isEnded) return;
    this.#isFlushing = true;
    this.#context.scheduler.soon(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#isEnded && !this.#isBlocked && (this.#isNoticeDue || !this.#answers.isEmpty)) {
      const answers = this.#answers.take();
      const closing = this.#isNoticeDue;
      this.#isNoticeDue = false;
      if (!this.#stream.write(encodeAnswerBatch({ answers, closing }))) this.#block();
      for (const { id, more } of answers) if (!more) this.#open.delete(id);
    }
    this.#endIfDone();
  }

  #block(): void {
    this.#isBlocked = true;
    this.#stream.pause();
  }

  #unblock(): void {
    if (!this.#isBlocked) return;
    this.#isBlocked = false;
    this.#stream.resume();
    this.#flush();
  }

  /** Ends with OK, which says that whatever has no answer was not begun. */
  #endIfDone(): void {
    const isDone = this.#open.size === 0 && this.#answers.isEmpty;
    if (!this.#isClosing || !isDone || this.#isEnded) return;
    this.#isEnded = true;
    this.#stream.end();
  }

  /** The client does not keep to the protocol: none of its ids can be trusted. */
  #refuse(details: string): void {
    this.#stream.emit('error', { code: Status.INVALID_ARGUMENT, details });
  }

  /** Nobody waits for the answers. */
  #abandon(): void {
    this.#isEnded = true;
    const calls = [...this.#open.values()];
    this.#open.clear();
    for (const { running } of calls) running?.cancel(false);
  }
}
