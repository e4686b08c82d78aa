/** Requests of this node to one peer that wait for their answers. */
import { MalformedBytesError } from '../shared/bytes.js';
import { TIMEOUT_MS_MAX } from '../shared/deadline.js';
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { GiveUpSignal } from '../shared/give-up.js';
import { LIMITS } from '../shared/limits.js';
import type { ErrorBody } from '../shared/types.js';
import { Assembly } from './assembly.js';
import type { Outbox, OutgoingPayload } from './outbox.js';

export interface RequestOptions {
  readonly timeoutMs: number;
  readonly signal?: GiveUpSignal | undefined;
}

interface Pending {
  readonly outgoing: OutgoingPayload;
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: FlotillaError) => void;
  /** Stops the timer and the watch on the caller's signal. */
  readonly release: () => void;
  assembly?: Assembly;
}

export class PendingRequests {
  readonly #nodeId: number;
  readonly #outbox: Outbox;
  readonly #scheduler: Scheduler;
  readonly #flush: () => void;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  /** `flush` is called after something was queued. */
  constructor(nodeId: number, outbox: Outbox, scheduler: Scheduler, flush: () => void) {
    this.#nodeId = nodeId;
    this.#outbox = outbox;
    this.#scheduler = scheduler;
    this.#flush = flush;
  }

  /** As `Transport.request`; rejects with TOO_MANY_REQUESTS when too much waits for the peer. */
  start(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(cancelled(this.#nodeId));
    const full = this.#pending.size >= LIMITS.inflightRequestsMax.value;
    if (full || !this.#outbox.hasRoomFor(payload.length)) {
      const message = `too many requests wait for node ${this.#nodeId}`;
      return Promise.reject(new FlotillaError('TOO_MANY_REQUESTS', message));
    }
    const requestId = ++this.#lastId;
    const timeoutMs = Math.min(Math.max(Math.ceil(options.timeoutMs), 0), TIMEOUT_MS_MAX);
    return new Promise((resolve, reject) => {
      const timer = this.#scheduler.after(timeoutMs, () => {
        const message = `node ${this.#nodeId} did not answer within ${timeoutMs} ms`;
        this.#giveUp(requestId, new FlotillaError('DEADLINE_EXCEEDED', message));
      });
      const onAbort = (): void => this.#giveUp(requestId, cancelled(this.#nodeId));
      signal?.addEventListener('abort', onAbort, { once: true });
      const release = (): void => {
        timer.cancel();
        signal?.removeEventListener('abort', onAbort);
      };
      const outgoing = this.#outbox.addRequest(requestId, timeoutMs, payload);
      this.#pending.set(requestId, { outgoing, resolve, reject, release });
      this.#flush();
    });
  }

  /** A response opens. Answers that nobody waits for any more are dropped, here and below. */
  openAnswer(requestId: number, sizeBytes: number, piece: Uint8Array): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    if (pending.assembly !== undefined) throw new MalformedBytesError(`answer ${requestId} twice`);
    pending.assembly = new Assembly(sizeBytes);
    this.addPart(requestId, piece);
  }

  addPart(requestId: number, piece: Uint8Array): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    if (pending.assembly === undefined)
      throw new MalformedBytesError(`answer ${requestId} unopened`);
    const payload = pending.assembly.add(piece);
    if (payload === undefined) return;
    this.#settle(requestId, pending);
    this.#takeBack(pending);
    pending.resolve(payload);
  }

  fail(requestId: number, error: ErrorBody): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    this.#settle(requestId, pending);
    this.#takeBack(pending);
    pending.reject(FlotillaError.fromBody(error));
  }

  /**
   * The link broke. A request whose last piece was sent may have been carried out; the peer has
   * not seen the others whole.
   */
  failAll(cause: Error | undefined): void {
    for (const [requestId, pending] of [...this.#pending]) {
      this.#settle(requestId, pending);
      pending.reject(
        pending.outgoing.finished
          ? new FlotillaError(
              'OUTCOME_UNKNOWN',
              `the link to node ${this.#nodeId} broke before its answer came`,
              { cause },
            )
          : noLink(this.#nodeId, cause),
      );
      this.#takeBack(pending);
    }
  }

  #giveUp(requestId: number, error: FlotillaError): void {
    const pending = this.#pending.get(requestId);
    if (pending === undefined) return;
    this.#settle(requestId, pending);
    this.#takeBack(pending);
    if (pending.outgoing.started) {
      this.#outbox.addCancel(requestId);
      this.#flush();
    }
    pending.reject(error);
  }

  /** What is left of the payload, which is the caller's again, is not sent any more. */
  #takeBack({ outgoing }: Pending): void {
    if (!outgoing.finished) this.#outbox.drop(outgoing);
  }

  #settle(requestId: number, pending: Pending): void {
    this.#pending.delete(requestId);
    pending.release();
  }
}

/** For requests that were never sent. */
export function noLink(nodeId: number, cause?: Error): FlotillaError {
  return new FlotillaError('SHARD_UNAVAILABLE', `there is no link to node ${nodeId}`, { cause });
}

function cancelled(nodeId: number): FlotillaError {
  return new FlotillaError('CANCELLED', `the request to node ${nodeId} was cancelled`);
}
