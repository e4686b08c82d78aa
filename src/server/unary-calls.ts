/**
 * The path of every call: limit, decode, handle, encode, answer, measure; the same for one that
 * comes as a unary call and for one of many on a stream. It is the ceiling of what a node can
 * serve, so nothing else is done here.
 */
import type { handleUnaryCall, Metadata, ServerUnaryCall, sendUnaryData } from '@grpc/grpc-js';
import { type ApiMethod, CLUSTER_HEADER } from '../shared/codec/public-api.js';
import { TIMEOUT_MS_MAX } from '../shared/deadline.js';
import type { Clock, Scheduler, Timer } from '../shared/environment.js';
import type { ErrorCode } from '../shared/error-codes.js';
import { FlotillaError } from '../shared/errors.js';
import { GiveUp } from '../shared/give-up.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import type { CallOptions } from './backend.js';
import { toApiError, toGrpcStatus } from './error-map.js';

/** How long a call may take whose caller set no deadline. */
export const DEFAULT_TIMEOUT_MS = 10_000;

/** What is kept of a deadline, at most, for the answer's way to the caller. */
const ANSWER_RESERVE_MS = 50;

export interface UnaryCallsOptions {
  /** The cluster that the node belongs to, as far as it knows. */
  readonly clusterId: () => string | undefined;
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

/** A call as it has arrived, over whichever transport. */
export interface ArrivedCall {
  readonly request: Buffer;
  readonly headers: Metadata;
  /** What is left of the caller's deadline; infinite where it set none. */
  readonly timeoutMs: number;
}

/** Told once, how the call has ended. */
export type Settle = (error: FlotillaError | undefined, answer?: Buffer) => void;

/** A call that is being worked on. */
export interface RunningCall {
  /** Ends it with CANCELLED or DEADLINE_EXCEEDED, unless it has ended. */
  cancel(deadlinePassed: boolean): void;
}

/**
 * Turns typed handlers into those that grpc-js calls, with messages as plain buffers, and answers
 * the same calls where they come over a stream.
 */
export class UnaryCalls {
  readonly #options: UnaryCallsOptions;
  readonly #defaultTimeoutMs: number;
  readonly #inflightMax: number;
  readonly #inflightBytesMax: number;
  /** By path. */
  readonly #endpoints = new Map<string, Endpoint>();
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
    this.#endpoints.set(method.path, endpoint);
    return (call, callback) => this.#serveUnary(endpoint, call, callback);
  }

  /**
   * Serves a call that has come over a stream, where nobody else keeps its deadline. `settle` may
   * be called before this returns.
   */
  serveStreamed(path: string, call: ArrivedCall, settle: Settle): RunningCall | undefined {
    const endpoint = this.#endpoints.get(path);
    if (endpoint === undefined) {
      // The words of grpc-js for a unary call.
      const message = `The server does not implement the method ${path}`;
      settle(new FlotillaError('UNIMPLEMENTED', message));
      return undefined;
    }
    const active = this.#begin(endpoint, call, settle);
    active.limitTo(this.#options.scheduler);
    return active;
  }

  #serveUnary(
    endpoint: Endpoint,
    call: ServerUnaryCall<Buffer, Buffer>,
    callback: sendUnaryData<Buffer>,
  ): void {
    const { clock, scheduler } = this.#options;
    const { request, metadata: headers } = call;
    const deadlineMs = Number(call.getDeadline());
    const timeoutMs = deadlineMs - clock.wallMs();
    const active = this.#begin(endpoint, { request, headers, timeoutMs }, (error, answer) => {
      if (error === undefined) callback(null, answer);
      else callback(toGrpcStatus(error));
    });
    // Also emitted by grpc-js when a deadline passes, and after every answer.
    call.once('cancelled', () => active.cancel(clock.wallMs() >= deadlineMs));
    // grpc-js keeps the caller's deadline, nobody else ours.
    if (timeoutMs === Number.POSITIVE_INFINITY) active.limitTo(scheduler);
  }

  /** The one way on which calls of all transports are counted, admitted, run and measured. */
  #begin(endpoint: Endpoint, call: ArrivedCall, settle: Settle): ActiveCall {
    const { clock, onFinished } = this.#options;
    const { request, timeoutMs } = call;
    const startedMs = clock.monotonicMs();
    const active = new ActiveCall(
      timeoutMs === Number.POSITIVE_INFINITY ? this.#defaultTimeoutMs : timeoutMs,
      (error, answer) => {
        this.#inflight--;
        this.#inflightBytes -= request.length;
        settle(error, answer);
        const seconds = (clock.monotonicMs() - startedMs) / 1_000;
        onFinished(endpoint.name, error?.code ?? 'OK', seconds);
      },
    );
    this.#inflight++;
    this.#inflightBytes += request.length;
    void this.#run(endpoint, call, active);
    return active;
  }

  async #run(endpoint: Endpoint, call: ArrivedCall, active: ActiveCall): Promise<void> {
    const { request, headers } = call;
    try {
      this.#admit(call, active);
      active.succeed(await endpoint.run(request, active, headers));
    } catch (thrown) {
      const error = toApiError(thrown);
      if (error.reason === 'INTERNAL') {
        this.#options.logger.error({ method: endpoint.name, error: thrown }, 'a call failed');
      }
      active.fail(error);
    }
  }

  #admit({ request, headers }: ArrivedCall, active: ActiveCall): void {
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
    this.#checkCluster(headers);
  }

  /** A node that does not know its cluster answers nothing that another one could. */
  #checkCluster(headers: Metadata): void {
    const [wanted] = headers.get(CLUSTER_HEADER);
    if (wanted === undefined) return;
    const clusterId = this.#options.clusterId();
    if (clusterId === undefined || wanted === clusterId) return;
    const message = `The call is for cluster ${wanted}, this node belongs to ${clusterId}`;
    throw new FlotillaError('WRONG_CLUSTER', message, { field: CLUSTER_HEADER });
  }
}

/** A call that is being worked on: settles once, whatever comes first. */
class ActiveCall implements CallOptions, RunningCall {
  readonly timeoutMs: number;
  /** A property of its own: who spreads the options of a call keeps it. */
  readonly signal = new GiveUp();
  readonly #wholeTimeoutMs: number;
  readonly #settle: Settle;
  #settled = false;
  #timer: Timer | undefined;

  constructor(timeoutMs: number, settle: Settle) {
    this.#wholeTimeoutMs = timeoutMs;
    // A partial answer must still arrive in time.
    this.timeoutMs = timeoutMs - Math.min(ANSWER_RESERVE_MS, timeoutMs / 10);
    this.#settle = settle;
  }

  /** Ends the call when its time is up, which nobody else does. */
  limitTo(scheduler: Scheduler): void {
    if (this.#settled) return;
    const delayMs = Math.min(this.#wholeTimeoutMs, TIMEOUT_MS_MAX);
    this.#timer = scheduler.after(delayMs, () => this.cancel(true));
  }

  cancel(deadlinePassed: boolean): void {
    if (this.#settled) return;
    const error = deadlinePassed
      ? new FlotillaError('DEADLINE_EXCEEDED', 'The deadline passed before there was an answer')
      : new FlotillaError('CANCELLED', 'The caller gave up');
    this.fail(error);
    this.signal.abort();
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
