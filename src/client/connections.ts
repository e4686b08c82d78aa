/** One gRPC channel per address; calls go round robin, and fail over to the next. */
import { setMaxListeners } from 'node:events';
import { Client, connectivityState, credentials, Metadata } from '@grpc/grpc-js';
import type { ApiMethod } from '../shared/codec/public-api.js';
import { FlotillaError } from '../shared/errors.js';
import { channelOptions } from '../shared/grpc/channel-options.js';
import { fromServiceError } from './errors.js';

export interface AttemptOptions {
  /** Wall-clock milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the call can change anything; decides what a lost answer means. */
  readonly writes: boolean;
  /** @default none */
  readonly headers?: Metadata;
}

/** How long a call waits for one address before it asks the next. A lone one has all the time. */
const CONNECT_TIMEOUT_MS = 1_000;

/**
 * With the time that a probe may take, a node that has stopped is found out before calls to it have
 * used up the default time, and they go to another one. A node that is only busy still answers.
 */
const PROBES = { 'grpc.keepalive_time_ms': 2_000 };

export class Connections {
  readonly #clients: readonly Client[];
  #next = 0;
  readonly #closing = new AbortController();

  /** `addresses` are "host:port". Connects when the first call needs it. */
  constructor(addresses: readonly string[]) {
    if (addresses.length === 0) throw new TypeError('a client needs at least one address');
    // One listener for each call that waits for a connection: as many as there are, and no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#clients = addresses.map(
      (address) =>
        new Client(address, credentials.createInsecure(), { ...channelOptions(), ...PROBES }),
    );
  }

  get count(): number {
    return this.#clients.length;
  }

  /**
   * Sends the call once, to the next address. Rejects with `FlotillaError`: NODE_NOT_READY where
   * the address cannot be reached, so that nothing was sent.
   */
  async attempt<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    this.#assertUsable(options.signal);
    const client = this.#take();
    if (stateOf(client) !== connectivityState.READY) await this.#connect(client, options);
    this.#assertUsable(options.signal);
    return send(client, method, request, options);
  }

  /** Closes all channels. Calls under way end with CANCELLED or an answer. Idempotent. */
  close(): void {
    this.#closing.abort();
    for (const client of this.#clients) client.close();
  }

  #assertUsable(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new FlotillaError('CANCELLED', 'The client is closed');
    if (signal?.aborted) throw new FlotillaError('CANCELLED', 'The caller gave up');
  }

  /** The next in turn; those that are not reached now are passed by while there are others. */
  #take(): Client {
    const { length } = this.#clients;
    const turns = this.#clients.map((_, at) => (this.#next + at) % length);
    const turn = turns.find((at) => isPromising(this.#clients[at] as Client)) ?? this.#next;
    this.#next = (turn + 1) % length;
    return this.#clients[turn] as Client;
  }

  /** Waits until the address was reached, or refused the connection: then a call tells why. */
  #connect(client: Client, { deadlineMs, signal }: AttemptOptions): Promise<void> {
    const patienceMs = this.#clients.length > 1 ? CONNECT_TIMEOUT_MS : Number.POSITIVE_INFINITY;
    const endMs = Math.min(deadlineMs, Date.now() + patienceMs);
    const closing = this.#closing.signal;
    const giveUp = signal === undefined ? closing : AbortSignal.any([closing, signal]);
    const channel = client.getChannel();
    return new Promise((resolve, reject) => {
      const finish = (error?: FlotillaError): void => {
        giveUp.removeEventListener('abort', onAbort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onAbort = (): void => finish();
      const look = (isLate?: Error): void => {
        // A closed channel would begin to connect when it is looked at.
        if (giveUp.aborted) return;
        const state = stateOf(client);
        if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) finish();
        else if (isLate === undefined) channel.watchConnectivityState(state, endMs, look);
        else finish(notReached(channel.getTarget()));
      };
      giveUp.addEventListener('abort', onAbort, { once: true });
      look();
    });
  }
}

/** What the channel is doing; one that does nothing begins to connect. */
function stateOf(client: Client): connectivityState {
  return client.getChannel().getConnectivityState(true);
}

function notReached(address: string): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', `${address} cannot be reached in time`);
}

function isPromising(client: Client): boolean {
  const state = client.getChannel().getConnectivityState(false);
  return state === connectivityState.READY || state === connectivityState.IDLE;
}

function send<Request, Response>(
  client: Client,
  method: ApiMethod<Request, Response>,
  request: Request,
  { deadlineMs, signal, writes, headers }: AttemptOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => call.cancel();
    const call = client.makeUnaryRequest(
      method.path,
      method.encodeRequest,
      method.decodeResponse,
      request,
      headers ?? new Metadata(),
      { deadline: deadlineMs },
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        if (error !== null) reject(fromServiceError(error, writes));
        else resolve(response as Response);
      },
    );
    signal?.addEventListener('abort', cancel, { once: true });
  });
}
