/** The node's links to all others, over any `Network`. */
import type { Listener } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { TransportEnvironment } from './dialer.js';
import { encodeFrame, type Hello } from './frame.js';
import { FrameRooms } from './frame-rooms.js';
import { checkHello, makeHello } from './greeting.js';
import { Incarnations } from './incarnations.js';
import { Peer } from './peer.js';
import { noLink, type RequestOptions } from './pending-requests.js';
import { notReady, Reception } from './reception.js';
import type { RecordChannel } from './record-channel.js';
import { Admission } from './served-requests.js';
import { TRANSPORT_DEFAULTS, type TransportSettings } from './settings.js';
import type {
  GroupMessage,
  PeerAddress,
  PeerIdentity,
  PeerStatus,
  Transport,
  TransportHandlers,
} from './transport.js';

export interface TransportOptions {
  readonly environment: TransportEnvironment;
  /** Where to listen for peers, as the network writes addresses. */
  readonly listenAddress: string;
  readonly handlers: TransportHandlers;
  /** Answers `controlRequest` of other processes, before and after `configure`. */
  readonly onControl: (payload: Uint8Array) => Promise<Uint8Array>;
  readonly logger: Logger;
  /** @default TRANSPORT_DEFAULTS */
  readonly settings?: Partial<TransportSettings> | undefined;
  /** Requests worked on at once, for all peers together. @default LIMITS.inflightRequestsMax */
  readonly inflightRequestsMax?: number;
}

/** Listens at once. Links are refused as NODE_NOT_READY until `configure` is called. */
export async function createTransport(options: TransportOptions): Promise<Transport> {
  const transport = new PeerTransport(options);
  await transport.listen();
  return transport;
}

/** Claimed node ids whose last refusal is remembered, to report a refusal once. */
const REFUSALS_MAX = 1_000;

class PeerTransport implements Transport {
  readonly #options: TransportOptions;
  readonly #settings: TransportSettings;
  readonly #reception: Reception;
  readonly #admission: Admission;
  readonly #rooms: FrameRooms;
  readonly #incarnations = new Incarnations();
  readonly #peers = new Map<number, Peer>();
  /** The last refusal per node, as text. */
  readonly #refusals = new Map<number, string>();
  #self: PeerIdentity | undefined;
  #listener: Listener | undefined;
  #closed = false;
  #closing: Promise<void> | undefined;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#settings = { ...TRANSPORT_DEFAULTS, ...options.settings };
    this.#rooms = new FrameRooms(this.#settings.frameRoomBytesMin);
    this.#admission = new Admission(options.inflightRequestsMax);
    this.#reception = new Reception({
      scheduler: options.environment.scheduler,
      greetingTimeoutMs: this.#settings.greetingTimeoutMs,
      logger: options.logger,
      onHello: (channel, hello) => this.#onHello(channel, hello),
      onControl: options.onControl,
    });
  }

  async listen(): Promise<void> {
    const { environment, listenAddress } = this.#options;
    this.#listener = await environment.network.listen(listenAddress, (connection) => {
      if (!this.#closed) this.#reception.accept(connection);
      else connection.close();
    });
  }

  get address(): string {
    return this.#listener?.address ?? this.#options.listenAddress;
  }

  configure(self: PeerIdentity, peers: readonly PeerAddress[]): void {
    if (this.#closed) return;
    const keep = this.#self !== undefined && sameIdentity(this.#self, self);
    this.#self = self;
    const wanted = new Map(peers.map((peer) => [peer.nodeId, peer]));
    wanted.delete(self.nodeId);
    for (const [nodeId, peer] of this.#peers) {
      const address = wanted.get(nodeId);
      if (keep && address !== undefined && sameAddress(peer.address, address)) continue;
      this.#peers.delete(nodeId);
      this.#refusals.delete(nodeId);
      peer.close();
    }
    for (const [nodeId, address] of wanted) {
      if (this.#peers.has(nodeId)) continue;
      const peer = this.#makePeer(self, address);
      this.#peers.set(nodeId, peer);
      peer.start();
    }
  }

  send(nodeId: number, messages: readonly GroupMessage[]): void {
    this.#peers.get(nodeId)?.send(messages);
  }

  request(nodeId: number, payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    const peer = this.#peers.get(nodeId);
    return peer === undefined ? Promise.reject(noLink(nodeId)) : peer.request(payload, options);
  }

  peers(): readonly PeerStatus[] {
    return [...this.#peers.values()].map((peer) => peer.status());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#closed = true;
    for (const peer of this.#peers.values()) peer.close();
    this.#reception.close();
    await this.#listener?.close();
  }

  #makePeer(self: PeerIdentity, address: PeerAddress): Peer {
    const { environment, logger } = this.#options;
    return new Peer(address, {
      environment,
      scheduler: environment.scheduler,
      settings: this.#settings,
      handlers: this.#ownHandlers(),
      admission: this.#admission,
      rooms: this.#rooms,
      self,
      incarnations: this.#incarnations,
      logger,
      onRefused: (nodeId, error) => this.#refused(nodeId, error),
    });
  }

  /** The handlers, silent once the transport closes. */
  #ownHandlers(): TransportHandlers {
    const { handlers } = this.#options;
    return {
      onMessages: (from, messages) => handlers.onMessages(from, messages),
      onRequest: (from, payload, signal) => handlers.onRequest(from, payload, signal),
      onPeerUp: (peer) => {
        this.#refusals.delete(peer.nodeId);
        handlers.onPeerUp(peer);
      },
      onPeerDown: (nodeId, evidence) => {
        if (!this.#closed) handlers.onPeerDown(nodeId, evidence);
      },
      onPeerRefused: (nodeId, error) => handlers.onPeerRefused(nodeId, error),
    };
  }

  #onHello(channel: RecordChannel, hello: Hello): FlotillaError | undefined {
    const self = this.#self;
    if (self === undefined || this.#closed) return notReady();
    const { nodeId } = hello.identity;
    const peer = this.#peers.get(nodeId);
    const refusal =
      peer === undefined
        ? checkHello(hello, self, undefined)
        : (peer.refusalOf(hello) ?? wrongDirection(self, nodeId));
    if (refusal !== undefined || peer === undefined) {
      const error = refusal ?? notReady();
      this.#refused(nodeId, error);
      return error;
    }
    const wallMs = this.#options.environment.clock.wallMs();
    channel.send(encodeFrame([{ kind: 'hello', hello: makeHello(self, peer.address, wallMs) }]));
    peer.adopt(channel, hello);
    return undefined;
  }

  /** Tells the host, once for as long as it stays the same. Not being ready yet is no refusal. */
  #refused(nodeId: number, error: Error): void {
    if (this.#closed) return;
    if (error instanceof FlotillaError && error.reason === 'NODE_NOT_READY') return;
    if (this.#refusals.get(nodeId) === error.message) return;
    if (this.#refusals.size >= REFUSALS_MAX) this.#refusals.clear();
    this.#refusals.set(nodeId, error.message);
    this.#options.handlers.onPeerRefused(nodeId, error);
  }
}

function wrongDirection(self: PeerIdentity, nodeId: number): FlotillaError | undefined {
  if (nodeId < self.nodeId) return undefined;
  const message = `node ${nodeId} dialled node ${self.nodeId}, which dials it`;
  return new FlotillaError('INVALID_REQUEST', message);
}

function sameIdentity(one: PeerIdentity, other: PeerIdentity): boolean {
  return (
    one.clusterId === other.clusterId &&
    one.nodeId === other.nodeId &&
    one.storeId === other.storeId &&
    one.incarnation === other.incarnation
  );
}

function sameAddress(one: PeerAddress, other: PeerAddress): boolean {
  return (
    one.nodeId === other.nodeId && one.address === other.address && one.storeId === other.storeId
  );
}
