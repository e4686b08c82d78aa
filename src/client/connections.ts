/** One channel per address; calls go round robin, and fail over to the next. */
import { setMaxListeners } from 'node:events';
import { type Client, connectivityState } from '@grpc/grpc-js';
import { defined } from '../shared/assert.js';
import { invalidField } from '../shared/checks.js';
import type { CallHeaders } from '../shared/codec/call-stream-messages.js';
import type { ApiMethod } from '../shared/codec/public-api.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { Address } from './address.js';
import { fromServiceError } from './errors.js';
import type { CallTransport } from './options.js';
import { wellFormed, wholeList } from './values.js';

export interface AttemptOptions {
  /** Wall-clock milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the call can change anything; decides what a lost answer means. */
  readonly writes: boolean;
  /** @default none */
  readonly headers?: CallHeaders;
  /** The address to take if it is reached now and answers. @default the next in turn */
  readonly prefer?: string | undefined;
}

/** How long a call waits for one address before it asks the next. A lone one has all the time. */
const CONNECT_TIMEOUT_MS = 1_000;

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
  readonly #transport: CallTransport;
  readonly #given: readonly Address[];
  /** Beside the given ones: in turn too, or only asked who they are. */
  readonly #found = new Map<string, Address>();
  /** Those that calls go to in turn. */
  #addresses: readonly Address[];
  #next = 0;
  readonly #closing = new AbortController();

  /** `addresses` are "host:port". Connects when the first call needs it. */
  constructor(addresses: readonly string[], transport: CallTransport = 'stream') {
    checkAddresses(addresses);
    // One listener for each call that waits for a connection: as many as there are, and no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#transport = transport;
    this.#given = addresses.map((address) => new Address(address, transport));
    this.#addresses = this.#given;
  }

  get count(): number {
    return this.#addresses.length;
  }

  /** What the constructor was given. */
  get given(): readonly string[] {
    return this.#given.map(({ name }) => name);
  }

  /** Takes addresses into the turn, beside the given ones; lets go of all other ones. */
  setFound(names: readonly string[]): void {
    if (this.#closing.signal.aborted) return;
    const given = this.given;
    const found = names.filter((name) => !given.includes(name)).map((name) => this.#find(name));
    for (const [name, address] of this.#found) {
      if (found.includes(address)) continue;
      this.#found.delete(name);
      address.close();
    }
    this.#addresses = [...this.#given, ...found];
    this.#next %= this.#addresses.length;
  }

  /**
   * Sends the call once, to this address, which may be one that was not used before. Rejects as
   * `attempt` does, and with INVALID_REQUEST for what is no address.
   */
  async attemptAt<Request, Response>(
    name: string,
    method: ApiMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    this.#assertUsable(options.signal);
    return this.#attempt(this.#find(name), method, request, options);
  }

  /**
   * Sends the call once, to the preferred or the next address. Rejects with `FlotillaError`:
   * NODE_NOT_READY where the address cannot be reached, so that nothing was sent.
   */
  async attempt<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    this.#assertUsable(options.signal);
    const address = this.#preferred(options.prefer) ?? this.#take();
    return this.#attempt(address, method, request, options);
  }

  /** Closes all channels. Calls under way end with CANCELLED or an answer. Idempotent. */
  close(): void {
    this.#closing.abort();
    for (const address of [...this.#given, ...this.#found.values()]) address.close();
  }

  async #attempt<Request, Response>(
    address: Address,
    method: ApiMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    const { client } = address;
    if (stateOf(client) !== connectivityState.READY) await this.#connect(address, options);
    this.#assertUsable(options.signal);
    return send(address, method, request, options);
  }

  #find(name: string): Address {
    const known = this.#given.find((one) => one.name === name) ?? this.#found.get(name);
    if (known !== undefined) return known;
    checkAddresses([name]);
    const address = new Address(name, this.#transport);
    this.#found.set(name, address);
    return address;
  }

  #preferred(name: string | undefined): Address | undefined {
    if (name === undefined) return undefined;
    const address = this.#addresses.find((one) => one.name === name);
    return address?.isPromising === true && !address.isQuiet ? address : undefined;
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
  #connect(address: Address, { deadlineMs, signal }: AttemptOptions): Promise<void> {
    const { name, client } = address;
    address.noteConnecting();
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
  { deadlineMs, signal, writes, headers = [] }: AttemptOptions,
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const body = encoded(method, request);
    const cancel = address.send(
      { path: method.path, headers, body, deadlineMs },
      (error, answer) => {
        signal?.removeEventListener('abort', cancel);
        if (error !== null) {
          const isUndecided = writes && error.notBegun !== true;
          reject(fromServiceError(error, isUndecided, address.name));
          return;
        }
        try {
          resolve(method.decodeResponse(defined(answer, 'the answer')));
        } catch (thrown) {
          reject(unreadable(thrown));
        }
      },
    );
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

function encoded<Request, Response>(
  { encodeRequest }: ApiMethod<Request, Response>,
  request: Request,
): Buffer {
  try {
    return encodeRequest(request);
  } catch (thrown) {
    throw toFlotillaError(thrown);
  }
}

/** Nobody can say what the node has done. */
function unreadable(thrown: unknown): FlotillaError {
  const message = `The answer cannot be read: ${(thrown as Error).message}`;
  return new FlotillaError('INTERNAL', message, { cause: thrown });
}
