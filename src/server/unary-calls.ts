/**
 * The path of every unary call: limit, decode, handle, encode, answer, measure. It is the ceiling
 * of what a node can serve, so nothing else is done here.
 */
import { setMaxListeners } from 'node:events';
import type { handleUnaryCall, Metadata, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import type { ApiMethod } from '../shared/codec/public-api.js';
import type { Clock, Scheduler, Timer } from '../shared/environment.js';
import type { ErrorCode } from '../shared/error-codes.js';
import { FlotillaError } from '../shared/errors.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import type { CallOptions } from './backend.js';
import { toApiError, toGrpcStatus } from './error-map.js';

/** How long a call may take whose caller set no deadline. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** What is kept of a deadline, at most, for the answer's way to the caller. */
const ANSWER_RESERVE_MS = 50;

export interface UnaryCallsOptions {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly logger: Logger;
  /** @default DEFAULT_TIMEOUT_MS */
  readonly defaultTimeoutMs?: number;
  /** @default LIMITS.inflightRequestsMax */
  readonly inflightMax?: number;
  /** @default LIMITS.inflightBytesMax */
  readonly inflightBytesMax?: number;
  /** Called once for each call when it is over. */
  readonly onFinished: (method: string, code: ErrorCode | 'OK', seconds: number) => void;
}

export type Handler<Request, Response> = (
  request: Request,
  options: CallOptions,
  headers: Metadata,
) => Promise<Response>;

interface Endpoint {
  /** Service and method without the package, such as "Records/Search". */
  readonly name: string;
  /** Decodes, handles and encodes. */
  readonly run: (request: Buffer, call: ActiveCall, headers: Metadata) => Promise<Buffer>;
}

/** Turns typed handlers into those that grpc-js calls, with messages as plain buffers. */
export class UnaryCalls {
  readonly #options: UnaryCallsOptions;
  readonly #defaultTimeoutMs: number;
  readonly #inflightMax: number;
  readonly #inflightBytesMax: number;
  #inflight = 0;
  #inflightBytes = 0;

  constructor(options: UnaryCallsOptions) {
    this.#options = options;
    this.#defaultTimeoutMs = options.defaultTimeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#inflightMax = options.inflightMax ?? LIMITS.inflightRequestsMax.value;
    this.#inflightBytesMax = options.inflightBytesMax ?? LIMITS.inflightBytesMax.value;
  }

  /** Calls that are being worked on. */
  get inflight(): number {
    return this.#inflight;
  }

  endpoint<Request, Response>(
    method: ApiMethod<Request, Response>,
    handler: Handler<Request, Response>,
  ): handleUnaryCall<Buffer, Buffer> {
    const { decodeRequest, encodeResponse } = method;
    const endpoint: Endpoint = {
      name: method.path.slice(method.path.lastIndexOf('.') + 1),
      run: async (request, call, headers) =>
        encodeResponse(await handler(decodeRequest(request), call, headers)),
    };
    return (call, callback) => this.#serve(endpoint, call, callback);
  }

  #serve(
    endpoint: Endpoint,
    call: ServerUnaryCall<Buffer, Buffer>,
    callback: sendUnaryData<Buffer>,
  ): void {
    const { clock, scheduler } = this.#options;
    const startedMs = clock.monotonicMs();
    const deadlineMs = Number(call.getDeadline());
    const leftMs = deadlineMs - clock.wallMs();
    const active = new ActiveCall(
      leftMs === Number.POSITIVE_INFINITY ? this.#defaultTimeoutMs : leftMs,
      (error, answer) => {
        this.#inflight--;
        this.#inflightBytes -= call.request.length;
        if (error === undefined) callback(null, answer);
        else callback(toGrpcStatus(error));
        const seconds = (clock.monotonicMs() - startedMs) / 1_000;
        this.#options.onFinished(endpoint.name, error?.code ?? 'OK', seconds);
      },
    );
    this.#inflight++;
    this.#inflightBytes += call.request.length;
    // Also emitted by grpc-js when a deadline passes, and after every answer.
    call.once('cancelled', () => active.cancel(clock.wallMs() >= deadlineMs));
    // grpc-js keeps the caller's deadline, nobody else ours.
    if (leftMs === Number.POSITIVE_INFINITY) active.limitTo(scheduler);
    this.#start(endpoint, call, active);
  }

  async #start(
    endpoint: Endpoint,
    { request, metadata }: ServerUnaryCall<Buffer, Buffer>,
    active: ActiveCall,
  ): Promise<void> {
    try {
      this.#admit(request, active);
      active.succeed(await endpoint.run(request, active, metadata));
    } catch (thrown) {
      const error = toApiError(thrown);
      if (error.reason === 'INTERNAL') {
        this.#options.logger.error({ method: endpoint.name, error: thrown }, 'a call failed');
      }
      active.fail(error);
    }
  }

  #admit(request: Buffer, active: ActiveCall): void {
    if (request.length > LIMITS.requestBytesMax.value) throw tooLarge('request', request.length);
    if (this.#inflight > this.#inflightMax) {
      const message = `The node works on ${this.#inflightMax} calls already, try again later`;
      throw new FlotillaError('TOO_MANY_REQUESTS', message);
    }
    if (this.#inflightBytes > this.#inflightBytesMax) {
      const message = `The node works on ${this.#inflightBytesMax} bytes already, try again later`;
      throw new FlotillaError('TOO_MANY_REQUESTS', message);
    }
    if (active.timeoutMs <= 0) {
      throw new FlotillaError('DEADLINE_EXCEEDED', 'The deadline had passed on arrival');
    }
  }
}

/** A call that is being worked on: settles once, whatever comes first. */
class ActiveCall implements CallOptions {
  readonly timeoutMs: number;
  readonly #wholeTimeoutMs: number;
  readonly #settle: (error: FlotillaError | undefined, answer?: Buffer) => void;
  #settled = false;
  #timer: Timer | undefined;
  #controller: AbortController | undefined;

  constructor(
    timeoutMs: number,
    settle: (error: FlotillaError | undefined, answer?: Buffer) => void,
  ) {
    this.#wholeTimeoutMs = timeoutMs;
    // A partial answer must still arrive in time.
    this.timeoutMs = timeoutMs - Math.min(ANSWER_RESERVE_MS, timeoutMs / 10);
    this.#settle = settle;
  }

  /** Made on first use: most calls of a healthy cluster end before anyone gives up. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      // One listener a shard and attempt: as many as there are, and no leak.
      setMaxListeners(0, this.#controller.signal);
    }
    if (this.#settled) this.#controller.abort();
    return this.#controller.signal;
  }

  limitTo(scheduler: Scheduler): void {
    this.#timer = scheduler.after(this.#wholeTimeoutMs, () => this.cancel(true));
  }

  cancel(deadlinePassed: boolean): void {
    if (this.#settled) return;
    const error = deadlinePassed
      ? new FlotillaError('DEADLINE_EXCEEDED', 'The deadline passed before there was an answer')
      : new FlotillaError('CANCELLED', 'The caller gave up');
    this.fail(error);
    this.#controller?.abort(error);
  }

  succeed(answer: Buffer): void {
    if (answer.length > LIMITS.requestBytesMax.value) this.fail(tooLarge('answer', answer.length));
    else this.#end(undefined, answer);
  }

  fail(error: FlotillaError): void {
    this.#end(error);
  }

  #end(error: FlotillaError | undefined, answer?: Buffer): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#timer?.cancel();
    this.#settle(error, answer);
  }
}

function tooLarge(what: string, sizeBytes: number): FlotillaError {
  const { value } = LIMITS.requestBytesMax;
  const message = `The ${what} has ${sizeBytes} bytes, the limit is ${value}, split the request`;
  return new FlotillaError('LIMIT_EXCEEDED', message, { limit: 'requestBytesMax' });
}
