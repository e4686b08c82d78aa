/** One channel per address; calls go round robin, and fail over to the next. */
import { connectivityState } from '@grpc/grpc-js';
import { defined } from '../shared/assert.js';
import { invalidField } from '../shared/checks.js';
import type { CallHeaders } from '../shared/codec/call-stream-messages.js';
import { API, type ApiMethod, CLUSTER_HEADER } from '../shared/codec/public-api.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import { onAbort } from './abort.js';
import { Address } from './address.js';
import { fromServiceError } from './errors.js';
import type { CallTransport } from './options.js';
import { isListening } from './probe.js';
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
  /**
   * Whether the call is about a tenant, all tenants or shard keys: nodes of earlier versions, which
   * would leave that out and serve it as one about other records, are not sent it. @default false
   */
  readonly isScoped?: boolean;
  /**
   * Whether the call deletes by filter among shard keys: nodes of earlier versions see no filter,
   * and refuse it as INVALID_REQUEST without having done anything. @default false
   */
  readonly isKeyedDelete?: boolean | undefined;
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
  /** Those that calls go to in turn, while they are to be trusted. */
  #addresses: readonly Address[];
  /** What calls to found addresses say of whom they are for. */
  #clusterHeaders: CallHeaders = [];
  #next = 0;
  readonly #closing = new AbortController();

  /** `addresses` are "host:port". Connects when the first call needs it. */
  constructor(addresses: readonly string[], transport: CallTransport = 'stream') {
    checkAddresses(addresses);
    this.#transport = transport;
    this.#given = addresses.map((address) => new Address(address, transport));
    this.#addresses = this.#given;
  }

  /** Addresses that calls go to in turn now. */
  get count(): number {
    return this.#addresses.filter((one) => one.isTrusted).length;
  }

  /** What the constructor was given. */
  get given(): readonly string[] {
    return this.#given.map(({ name }) => name);
  }

  /**
   * Takes those addresses into the turn, beside the given ones, that a node of this cluster has
   * answered at by `attemptAt`; lets go of all other ones. One that breaks leaves the turn until it
   * has been proven and set again: another cluster may be there by then (K2).
   */
  setFound(names: readonly string[], clusterId: string): void {
    if (this.#closing.signal.aborted) return;
    this.#clusterHeaders = [[CLUSTER_HEADER, clusterId]];
    const found: Address[] = [];
    for (const [name, address] of this.#found) {
      if (names.includes(name)) found.push(address);
      else this.#drop(address);
    }
    this.#addresses = [...this.#given, ...found];
    this.#next %= this.#addresses.length;
  }

  /** Whether the address was given, or has been connected since `attemptAt` was answered there. */
  isTrusted(name: string): boolean {
    const isGiven = this.#given.some((one) => one.name === name);
    return isGiven || this.#found.get(name)?.isTrusted === true;
  }

  /** Whether a call that prefers the address would go there now. */
  isReached(name: string): boolean {
    return this.#reached(name) !== undefined;
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
    return this.#attempt(await this.#find(name), method, request, options);
  }

  /**
   * Sends the call once, to the preferred or the next address; those are passed by that may not
   * serve it. Rejects with `FlotillaError`: NODE_NOT_READY where the address cannot be reached,
   * UNIMPLEMENTED where no address may be sent it, so that nothing was sent, and with what a keyed
   * delete is refused with where every address refuses it.
   */
  async attempt<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    options: AttemptOptions,
  ): Promise<Response> {
    for (let left = this.#addresses.length; ; left--) {
      this.#assertUsable(options.signal);
      const address = this.#preferred(options) ?? this.#take(options);
      try {
        return await this.#attempt(address, method, request, options);
      } catch (error) {
        if (!this.#isUnfit(address, error, options) || left <= 1) throw error;
      }
    }
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
    if (address.connect() !== connectivityState.READY) await this.#connect(address, options);
    this.#assertUsable(options.signal);
    address.noteConnected();
    if (options.isScoped === true) {
      await assureScopes(address, options);
      this.#assertUsable(options.signal);
    }
    if (address.isGiven) return send(address, method, request, options);
    const headers = [...(options.headers ?? []), ...this.#clusterHeaders];
    return send(address, method, request, { ...options, headers });
  }

  /** A given address, one that is connected, or one that was just seen to take connections. */
  async #find(name: string): Promise<Address> {
    const given = this.#given.find((one) => one.name === name);
    if (given !== undefined) return given;
    const found = this.#found.get(name);
    if (found?.isTrusted === true) return found;
    checkAddresses([name]);
    if (!(await isListening(name, this.#closing.signal))) throw notReached(name);
    this.#assertUsable(undefined);
    const before = this.#found.get(name);
    if (before !== undefined) this.#drop(before);
    const address = new Address(name, this.#transport, false);
    this.#found.set(name, address);
    return address;
  }

  #drop(address: Address): void {
    this.#found.delete(address.name);
    address.close();
  }

  #preferred(options: AttemptOptions): Address | undefined {
    const { prefer } = options;
    const address = prefer === undefined ? undefined : this.#reached(prefer);
    return address !== undefined && mayServe(address, options) ? address : undefined;
  }

  #reached(name: string): Address | undefined {
    const address = this.#addresses.find((one) => one.name === name && one.isTrusted);
    return address?.isPromising === true && !address.isQuiet ? address : undefined;
  }

  /** Whether the address has refused the call, with nothing done, as none that may serve it. */
  #isUnfit(address: Address, error: unknown, options: AttemptOptions): boolean {
    if (!isFlotillaError(error)) return false;
    if (error.reason === 'WRONG_CLUSTER' && error.field === CLUSTER_HEADER && !address.isGiven) {
      this.#drop(address);
      return true;
    }
    if (isFilterUnseen(error, options)) return true;
    return options.isScoped === true && address.peer.knowsScopes === false;
  }

  #assertUsable(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new FlotillaError('CANCELLED', 'The client is closed');
    if (signal?.aborted) throw new FlotillaError('CANCELLED', 'The caller gave up');
  }

  /**
   * The next in turn. Those that have turned out to be of a version that cannot serve the call are
   * passed by while there are others: one that is not reached now may be there in a moment. Of
   * these, those that are not reached, and among the rest those that owe an answer.
   */
  #take(options: AttemptOptions): Address {
    const addresses = this.#addresses;
    const all = [...addresses.slice(this.#next), ...addresses.slice(0, this.#next)];
    const inTurn = all.filter((one) => one.isTrusted);
    const able = inTurn.filter((one) => mayServe(one, options));
    const promising = able.filter((one) => one.isPromising);
    const found = promising.find((one) => !one.isQuiet) ?? promising[0] ?? able[0] ?? inTurn[0];
    const address = defined(found, 'an address');
    this.#next = (addresses.indexOf(address) + 1) % addresses.length;
    return address;
  }

  /** Waits until the address was reached, or refused the connection: then a call tells why. */
  #connect(address: Address, { deadlineMs, signal }: AttemptOptions): Promise<void> {
    const patienceMs = this.count > 1 ? CONNECT_TIMEOUT_MS : Number.POSITIVE_INFINITY;
    const endMs = Math.min(deadlineMs, Date.now() + patienceMs);
    return new Promise((resolve, reject) => {
      let isOver = false;
      const finish = (error?: FlotillaError): void => {
        isOver = true;
        for (const endWait of waits) endWait();
        if (error === undefined) resolve();
        else reject(error);
      };
      const waits = [onAbort(this.#closing.signal, finish), onAbort(signal, finish)];
      const look = (isLate?: Error): void => {
        if (isOver) return;
        const state = address.connect();
        if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) finish();
        else if (isLate === undefined) address.watch(state, endMs, look);
        else finish(notReached(address.name));
      };
      look();
    });
  }
}

/** Whether the node is of a version that can serve the call, as far as is known. */
function mayServe({ peer }: Address, { isScoped, isKeyedDelete }: AttemptOptions): boolean {
  if (isScoped === true && peer.knowsScopes === false) return false;
  return isKeyedDelete !== true || !peer.isWithoutKeyedDeletes;
}

/** In the words of versions that look for a filter in one place only. */
function isFilterUnseen(error: FlotillaError, { isKeyedDelete }: AttemptOptions): boolean {
  if (isKeyedDelete !== true) return false;
  const { reason, field, message } = error;
  return reason === 'INVALID_REQUEST' && field === 'filter' && message.includes('is missing');
}

/**
 * Asks a node what only versions that know tenants and shard keys answer; each connection once, but
 * for calls that begin before the answer is there.
 */
async function assureScopes(address: Address, options: AttemptOptions): Promise<void> {
  const { peer } = address;
  if (peer.knowsScopes === undefined) {
    const { deadlineMs, signal } = options;
    const nothing = { collection: '', tenant: '' };
    try {
      await send(address, API.getRoutes, nothing, { deadlineMs, signal, writes: false });
    } catch (error) {
      if (!isFlotillaError(error)) throw error;
      // The call itself was not sent.
      if (error.reason === 'DEADLINE_EXCEEDED') throw notReached(address.name);
      if (error.reason !== 'UNIMPLEMENTED') throw error;
      peer.knowsScopes = false;
    }
  }
  if (!peer.knowsScopes) throw withoutScopes(address.name);
  // What was learnt holds for a connection, and is needed of the one that the call takes.
  if (address.peer !== peer) throw notReached(address.name);
}

function withoutScopes(address: string): FlotillaError {
  const message =
    `The node at ${address} is of a version that knows no tenants and shard keys, and would take ` +
    'the call for one about other records: it was not sent. Upgrade the node';
  return new FlotillaError('UNIMPLEMENTED', message);
}

function notReached(address: string): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', `No node is reached at ${address} in time`);
}

function send<Request, Response>(
  address: Address,
  method: ApiMethod<Request, Response>,
  request: Request,
  options: AttemptOptions,
): Promise<Response> {
  const { deadlineMs, signal, writes, headers = [] } = options;
  return new Promise((resolve, reject) => {
    const body = encoded(method, request);
    const { peer } = address;
    const cancel = address.send(
      { path: method.path, headers, body, deadlineMs },
      (error, answer) => {
        endWait();
        if (error !== null) {
          const isUndecided = writes && error.notBegun !== true;
          const failure = fromServiceError(error, isUndecided, address.name);
          if (isFilterUnseen(failure, options)) peer.isWithoutKeyedDeletes = true;
          reject(failure);
          return;
        }
        if (method.path === API.getRoutes.path) peer.knowsScopes = true;
        try {
          resolve(method.decodeResponse(defined(answer, 'the answer')));
        } catch (thrown) {
          reject(unreadable(thrown));
        }
      },
    );
    const endWait = onAbort(signal, cancel);
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
