/** One gRPC channel per address; calls go round robin, and fail over to the next. */
import { setMaxListeners } from 'node:events';
import { Client, connectivityState, credentials, Metadata, status } from '@grpc/grpc-js';
import { defined } from '../shared/assert.js';
import { invalidField } from '../shared/checks.js';
import type { ApiMethod } from '../shared/codec/public-api.js';
import { FlotillaError } from '../shared/errors.js';
import { channelOptions } from '../shared/grpc/channel-options.js';
import { fromServiceError } from './errors.js';
import { wellFormed, wholeList } from './values.js';

export interface AttemptOptions {
  /** Wall-clock milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the call can change anything; decides what a lost answer means. */
  readonly writes: boolean;
  /** @default none */
  readonly headers?: Metadata;
}

/**
 * How long an address may owe an answer before other calls pass it by: a node that stands still
 * keeps its connection for seconds. One that is only busy loses nothing by it.
 */
const QUIET_MS = 1_000;

/** How long a call waits for one address before it asks the next. A lone one has all the time. */
const CONNECT_TIMEOUT_MS = 1_000;

/**
 * With the time that a probe may take, a node that has stopped is found out before calls to it have
 * used up the default time, and they go to another one. A node that is only busy still answers.
 */
const PROBES = { 'grpc.keepalive_time_ms': 2_000 };

/** A port that is left out, or a scheme, would end in calls that wait for nobody. */
const ADDRESS_FORM = /^(?!https?:).+:\d{1,5}$/;

function checkAddresses(addresses: readonly string[]): void {
  const list = wholeList(addresses, 'addresses');
  if (list.length === 0) throw invalidField('addresses', 'is empty, give at least one');
  for (const [at, address] of list.entries()) {
    if (ADDRESS_FORM.test(wellFormed(address, `addresses[${at}]`))) continue;
    throw invalidField(`addresses[${at}]`, `is "${address}", it must be "host:port"`);
  }
}

export class Connections {
  readonly #addresses: readonly Address[];
  #next = 0;
  readonly #closing = new AbortController();

  /** `addresses` are "host:port". Connects when the first call needs it. */
  constructor(addresses: readonly string[]) {
    checkAddresses(addresses);
    // One listener for each call that waits for a connection: as many as there are, and no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#addresses = addresses.map((address) => new Address(address));
  }

  get count(): number {
    return this.#addresses.length;
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
    const address = this.#take();
    const { client } = address;
    if (stateOf(client) !== connectivityState.READY) await this.#connect(address, options);
    this.#assertUsable(options.signal);
    return send(address, method, request, options);
  }

  /** Closes all channels. Calls under way end with CANCELLED or an answer. Idempotent. */
  close(): void {
    this.#closing.abort();
    for (const { client } of this.#addresses) client.close();
  }

  #assertUsable(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new FlotillaError('CANCELLED', 'The client is closed');
    if (signal?.aborted) throw new FlotillaError('CANCELLED', 'The caller gave up');
  }

  /**
   * The next in turn; those that are not reached now are passed by while there are others, and so
   * are, among the rest, those that owe an answer.
   */
  #take(): Address {
    const addresses = this.#addresses;
    const inTurn = [...addresses.slice(this.#next), ...addresses.slice(0, this.#next)];
    const promising = inTurn.filter((one) => one.isPromising);
    const found = promising.find((one) => !one.isQuiet) ?? promising[0] ?? inTurn[0];
    const address = defined(found, 'an address');
    this.#next = (addresses.indexOf(address) + 1) % addresses.length;
    return address;
  }

  /** Waits until the address was reached, or refused the connection: then a call tells why. */
  #connect({ name, client }: Address, { deadlineMs, signal }: AttemptOptions): Promise<void> {
    const patienceMs = this.#addresses.length > 1 ? CONNECT_TIMEOUT_MS : Number.POSITIVE_INFINITY;
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
        else finish(notReached(name));
      };
      giveUp.addEventListener('abort', onAbort, { once: true });
      look();
    });
  }
}

/** The channel to one address, and whether it owes an answer. */
class Address {
  /** "host:port" */
  readonly name: string;
  readonly client: Client;
  #inflight = 0;
  /** Since when nothing has come although something was asked. */
  #silentSinceMs: number | undefined;
  /** When a call last ended there without a word. */
  #lastInVainMs = Number.NEGATIVE_INFINITY;

  constructor(address: string) {
    this.name = address;
    this.client = new Client(address, credentials.createInsecure(), {
      ...channelOptions(),
      ...PROBES,
    });
  }

  get isPromising(): boolean {
    const state = this.client.getChannel().getConnectivityState(false);
    return state === connectivityState.READY || state === connectivityState.IDLE;
  }

  /** While a call waits there in vain, and for a while after, no others have to join it. */
  get isQuiet(): boolean {
    const sinceMs = this.#silentSinceMs;
    const nowMs = Date.now();
    const isTried = this.#inflight > 0 || nowMs - this.#lastInVainMs < QUIET_MS;
    return isTried && sinceMs !== undefined && nowMs - sinceMs > QUIET_MS;
  }

  noteSent(): void {
    this.#inflight++;
    this.#silentSinceMs ??= Date.now();
  }

  /** A deadline or the caller can end a call without a word from the address. */
  noteEnded(code: status | undefined): void {
    this.#inflight--;
    if (code === status.DEADLINE_EXCEEDED || code === status.CANCELLED) {
      this.#lastInVainMs = Date.now();
      return;
    }
    this.#silentSinceMs = this.#inflight > 0 ? Date.now() : undefined;
  }
}

/** What the channel is doing; one that does nothing begins to connect. */
function stateOf(client: Client): connectivityState {
  return client.getChannel().getConnectivityState(true);
}

function notReached(address: string): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', `No node is reached at ${address} in time`);
}

function send<Request, Response>(
  address: Address,
  method: ApiMethod<Request, Response>,
  request: Request,
  { deadlineMs, signal, writes, headers }: AttemptOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const cancel = (): void => call.cancel();
    address.noteSent();
    const call = address.client.makeUnaryRequest(
      method.path,
      method.encodeRequest,
      method.decodeResponse,
      request,
      headers ?? new Metadata(),
      { deadline: deadlineMs },
      (error, response) => {
        signal?.removeEventListener('abort', cancel);
        address.noteEnded(error?.code);
        if (error !== null) reject(fromServiceError(error, writes, address.name));
        else resolve(response as Response);
      },
    );
    signal?.addEventListener('abort', cancel, { once: true });
  });
}
