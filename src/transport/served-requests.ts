/** Requests that this node works on for its peers. */
import { MalformedBytesError } from '../shared/bytes.js';
import { TIMEOUT_MS_MAX } from '../shared/deadline.js';
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { GiveUp } from '../shared/give-up.js';
import { LIMITS } from '../shared/limits.js';
import type { ErrorBody } from '../shared/types.js';
import { Assembly } from './assembly.js';
import type { PeerIdentity, TransportHandlers } from './transport.js';

/** Bounds the requests that one node works on at once, for all its peers together. */
export class Admission {
  readonly #limit: number;
  #count = 0;

  constructor(limit: number = LIMITS.inflightRequestsMax.value) {
    this.#limit = limit;
  }

  tryEnter(): boolean {
    if (this.#count >= this.#limit) return false;
    this.#count++;
    return true;
  }

  leave(): void {
    this.#count--;
  }
}

/** What the requests of one link need. */
export interface ServingContext {
  readonly from: PeerIdentity;
  readonly onRequest: TransportHandlers['onRequest'];
  readonly admission: Admission;
  readonly scheduler: Scheduler;
  /**
   * Where answers go: at most one per request, and none after it was cancelled. Calls `onSent` when
   * the last of it is on its way; what it returns takes back the rest until then.
   */
  answer(requestId: number, payload: Uint8Array, onSent: () => void): () => void;
  fail(requestId: number, error: ErrorBody): void;
}

interface Served {
  /** Until the last piece is here. */
  readonly assembly: Assembly;
  readonly giveUp: GiveUp;
  /** Gives the request up when its caller must have done so, though no cancel arrived. */
  readonly stopTimer: () => void;
  /** Whether a handler works on it. */
  running: boolean;
  /** Set while the answer waits to be sent. */
  takeBack?: () => void;
}

type Answer =
  | { readonly kind: 'payload'; readonly payload: Uint8Array }
  | { readonly kind: 'failure'; readonly error: ErrorBody };

/**
 * The requests of one link: arriving in pieces, running, then answered, until the answer has left
 * or nobody wants it any more. So a peer that reads slowly runs into the bound on requests.
 */
export class ServedRequests {
  readonly #context: ServingContext;
  readonly #served = new Map<number, Served>();

  constructor(context: ServingContext) {
    this.#context = context;
  }

  /** Throws `MalformedBytesError` on an id in use, or when sizes do not add up. */
  open(requestId: number, timeoutMs: number, sizeBytes: number, piece: Uint8Array): void {
    const { admission, scheduler } = this.#context;
    if (this.#served.has(requestId)) throw new MalformedBytesError(`request id ${requestId} twice`);
    const assembly = new Assembly(sizeBytes);
    if (!admission.tryEnter()) {
      const message = 'the node works on as many requests as it may';
      const limit = 'inflightRequestsMax';
      const error = new FlotillaError('TOO_MANY_REQUESTS', message, { limit });
      this.#context.fail(requestId, error.body);
      return;
    }
    const timer = scheduler.after(Math.min(timeoutMs, TIMEOUT_MS_MAX), () =>
      this.cancel(requestId),
    );
    this.#served.set(requestId, {
      assembly,
      giveUp: new GiveUp(),
      stopTimer: () => timer.cancel(),
      running: false,
    });
    this.addPart(requestId, piece);
  }

  /** Parts of requests that were refused or cancelled are dropped. */
  addPart(requestId: number, piece: Uint8Array): void {
    const served = this.#served.get(requestId);
    if (served === undefined) return;
    const payload = served.assembly.add(piece);
    if (payload !== undefined) void this.#run(requestId, served, payload);
  }

  cancel(requestId: number): void {
    const served = this.#served.get(requestId);
    if (served === undefined) return;
    this.#served.delete(requestId);
    served.stopTimer();
    served.giveUp.abort();
    served.takeBack?.();
    // A handler that was started counts until it returns, whoever waits for it.
    if (!served.running) this.#context.admission.leave();
  }

  /** The link broke: nobody waits for the answers. */
  cancelAll(): void {
    for (const requestId of [...this.#served.keys()]) this.cancel(requestId);
  }

  async #run(requestId: number, served: Served, payload: Uint8Array): Promise<void> {
    const { from, onRequest } = this.#context;
    served.running = true;
    let answer: Answer;
    try {
      answer = checkedAnswer(await onRequest(from, payload, served.giveUp));
    } catch (thrown) {
      answer = { kind: 'failure', error: toFlotillaError(thrown).body };
    }
    served.running = false;
    if (this.#served.get(requestId) !== served) {
      this.#context.admission.leave();
    } else if (answer.kind === 'payload') {
      const onSent = (): void => this.#finish(requestId, served);
      served.takeBack = this.#context.answer(requestId, answer.payload, onSent);
    } else {
      this.#finish(requestId, served);
      this.#context.fail(requestId, answer.error);
    }
  }

  #finish(requestId: number, served: Served): void {
    this.#served.delete(requestId);
    served.stopTimer();
    this.#context.admission.leave();
  }
}

function checkedAnswer(payload: Uint8Array): Answer {
  checkPayloadSize(payload, 'answer');
  return { kind: 'payload', payload };
}

/** Throws LIMIT_EXCEEDED for what no link carries. */
export function checkPayloadSize(payload: Uint8Array, what: string): void {
  const { value } = LIMITS.requestBytesMax;
  if (payload.length <= value) return;
  const message = `the ${what} has ${payload.length} bytes, at most ${value}`;
  throw new FlotillaError('LIMIT_EXCEEDED', message, { limit: 'requestBytesMax' });
}
