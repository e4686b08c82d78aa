/** What the client has of one address: a channel, a stream of calls, and what it may expect. */
import { Client, connectivityState, credentials, Metadata, status } from '@grpc/grpc-js';
import { channelOptions } from '../shared/grpc/channel-options.js';
import {
  type CallError,
  CallStream,
  closedError,
  type Done,
  type OutgoingCall,
} from './call-stream.js';
import type { CallTransport } from './options.js';

/**
 * How long an address may owe an answer before other calls pass it by: a node that stands still
 * keeps its connection for seconds. One that is only busy loses nothing by it.
 */
const QUIET_MS = 1_000;

/**
 * With the time that a probe may take, a node that has stopped is found out before calls to it have
 * used up the default time, and they go to another one. A node that is only busy still answers.
 */
const PROBES = { 'grpc.keepalive_time_ms': 2_000 };

/** Larger requests go as calls of their own: they gain little and would hold small ones up. */
export const STREAMED_REQUEST_BYTES_MAX = 128 * 1024;

/**
 * What was learnt of the node that a connection reaches. Whoever the next one reaches may be of
 * another version, or of another cluster.
 */
export interface Peer {
  /** Whether it has turned out to know no streams, as those of older versions. */
  isWithoutStreams: boolean;
  /** Whether it looks at tenants and shard keys; `undefined` before anybody has asked. */
  knowsScopes: boolean | undefined;
  /** Whether it has refused a delete by filter among shard keys, as one without a filter. */
  isWithoutKeyedDeletes: boolean;
}

function unknownPeer(): Peer {
  return { isWithoutStreams: false, knowsScopes: undefined, isWithoutKeyedDeletes: false };
}

export class Address {
  /** "host:port" */
  readonly name: string;
  /** Whether the user gave it; a node advertises it otherwise. */
  readonly isGiven: boolean;
  readonly #client: Client;
  readonly #transport: CallTransport;
  #stream: CallStream | undefined;
  #peer = unknownPeer();
  #isWatched = false;
  #hasBroken = false;
  #isClosed = false;
  #inflight = 0;
  /** Since when nothing has come although something was asked. */
  #silentSinceMs: number | undefined;
  /** When a call last ended there without a word. */
  #lastInVainMs = Number.NEGATIVE_INFINITY;

  constructor(address: string, transport: CallTransport, isGiven = true) {
    this.name = address;
    this.isGiven = isGiven;
    this.#transport = transport;
    this.#client = new Client(address, credentials.createInsecure(), {
      ...channelOptions(),
      ...PROBES,
    });
  }

  get isPromising(): boolean {
    const state = this.#stateNow;
    return state === connectivityState.READY || state === connectivityState.IDLE;
  }

  /**
   * Whether calls may go there. The user's word holds for whoever is there; what an advertised
   * address was found to be holds for the connection over which it was found out (K2).
   */
  get isTrusted(): boolean {
    return this.isGiven || (!this.#hasBroken && this.#stateNow === connectivityState.READY);
  }

  get peer(): Peer {
    return this.#peer;
  }

  /** While a call waits there in vain, and for a while after, no others have to join it. */
  get isQuiet(): boolean {
    const sinceMs = this.#silentSinceMs;
    const nowMs = Date.now();
    const isTried = this.#inflight > 0 || nowMs - this.#lastInVainMs < QUIET_MS;
    return isTried && sinceMs !== undefined && nowMs - sinceMs > QUIET_MS;
  }

  /**
   * What the channel is doing; one that does nothing begins to connect. Not so one that is closed,
   * which grpc-js would open again.
   */
  connect(): connectivityState {
    return this.#isClosed
      ? connectivityState.SHUTDOWN
      : this.#client.getChannel().getConnectivityState(true);
  }

  /** Calls `look` once: when the channel does something else than `state`, or late. */
  watch(state: connectivityState, endMs: number, look: (isLate?: Error) => void): void {
    this.#client.getChannel().watchConnectivityState(state, endMs, look);
  }

  /** To be called when it may be connected: what is learnt of it is forgotten when that ends. */
  noteConnected(): void {
    if (this.#isWatched || this.#stateNow !== connectivityState.READY) return;
    this.#isWatched = true;
    this.watch(connectivityState.READY, Number.POSITIVE_INFINITY, () => {
      this.#isWatched = false;
      this.#hasBroken = true;
      this.#peer = unknownPeer();
    });
  }

  /** Sends the call once. Calls `done` once, later. Returns what gives the call up. */
  send(call: OutgoingCall, done: Done): () => void {
    if (this.#isClosed) {
      queueMicrotask(() => done(closedError()));
      return () => undefined;
    }
    this.#noteSent();
    const end: Done = (error, response) => {
      this.#noteEnded(error?.code);
      done(error, response);
    };
    const fits = call.body.length <= STREAMED_REQUEST_BYTES_MAX;
    const peer = this.#peer;
    if (this.#transport === 'unary' || peer.isWithoutStreams || !fits) {
      return this.#sendAlone(call, end);
    }
    let cancel = this.#openStream().call(call, (error, response) => {
      if (!isUnknownToNode(error) || this.#isClosed) return end(error, response);
      peer.isWithoutStreams = true;
      cancel = this.#sendAlone(call, end);
    });
    return () => cancel();
  }

  /** Calls under way end with an answer or an error. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#stream?.close();
    this.#client.close();
  }

  get #stateNow(): connectivityState {
    return this.#client.getChannel().getConnectivityState(false);
  }

  #openStream(): CallStream {
    if (this.#stream?.isOpen !== true) {
      this.#stream?.close();
      this.#stream = new CallStream(this.#client);
    }
    return this.#stream;
  }

  #sendAlone({ path, headers, body, deadlineMs }: OutgoingCall, done: Done): () => void {
    const metadata = new Metadata();
    for (const [name, value] of headers) metadata.set(name, value);
    const call = this.#client.makeUnaryRequest(
      path,
      asIs,
      asIs,
      body,
      metadata,
      { deadline: deadlineMs },
      done,
    );
    return () => call.cancel();
  }

  #noteSent(): void {
    this.#inflight++;
    this.#silentSinceMs ??= Date.now();
  }

  /** A deadline or the caller can end a call without a word from the address. */
  #noteEnded(code: status | undefined): void {
    this.#inflight--;
    if (code === status.DEADLINE_EXCEEDED || code === status.CANCELLED) {
      this.#lastInVainMs = Date.now();
      return;
    }
    this.#silentSinceMs = this.#inflight > 0 ? Date.now() : undefined;
  }
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}

function isUnknownToNode(error: CallError | null): boolean {
  return error?.code === status.UNIMPLEMENTED && error.notBegun === true;
}
