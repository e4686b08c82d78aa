/** One other node, as this node's transport knows it: at most one open link, and how to get it. */
import { type FlotillaError, isFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { Dialer, type TransportEnvironment } from './dialer.js';
import type { Hello } from './frame.js';
import { checkHello } from './greeting.js';
import type { Incarnations } from './incarnations.js';
import { Link, type LinkContext } from './link.js';
import { evidenceOf } from './link-end.js';
import { noLink, type RequestOptions } from './pending-requests.js';
import type { RecordChannel } from './record-channel.js';
import { checkPayloadSize } from './served-requests.js';
import type { GroupMessage, PeerAddress, PeerIdentity, PeerStatus } from './transport.js';

export interface PeerContext extends LinkContext {
  readonly environment: TransportEnvironment;
  readonly self: PeerIdentity;
  readonly incarnations: Incarnations;
  readonly logger: Logger;
  /** One of the sides did not accept the other. Called for each attempt. */
  onRefused(nodeId: number, error: Error): void;
}

export class Peer {
  readonly address: PeerAddress;
  readonly #context: PeerContext;
  /** Absent where the other side of the pair dials. */
  readonly #dialer: Dialer | undefined;
  #link: Link | undefined;
  #clockAheadMs: number | undefined;
  #closed = false;

  constructor(address: PeerAddress, context: PeerContext) {
    const { environment, settings, self } = context;
    this.address = address;
    this.#context = context;
    // One side of each pair dials, so that two dials never cross.
    if (self.nodeId > address.nodeId) return;
    this.#dialer = new Dialer(environment, settings, self, address, {
      check: (hello) => this.refusalOf(hello),
      onGreeted: (channel, hello) => this.adopt(channel, hello),
      onFailed: (error) => this.#failed(error),
      onRefused: (error) => context.onRefused(address.nodeId, error),
    });
  }

  /** Starts dialling, where it is this side that dials. */
  start(): void {
    this.#dialer?.dial();
  }

  /** Why the peer's greeting is not acceptable; `undefined` where it is. */
  refusalOf(hello: Hello): FlotillaError | undefined {
    const { self, incarnations } = this.#context;
    return checkHello(hello, self, this.address) ?? incarnations.refusalOf(hello.identity);
  }

  /** Takes over a link whose greeting was accepted. It replaces the one before. */
  adopt(channel: RecordChannel, hello: Hello): void {
    this.#replaceLink(hello.identity);
    const link = new Link(channel, hello, this.#context, (error) => this.#broken(link, error));
    this.#link = link;
    this.#clockAheadMs = hello.wallMs - this.#context.environment.clock.wallMs();
    this.#context.logger.info(this.#fields(), 'link to peer is up');
    this.#context.handlers.onPeerUp(hello.identity);
  }

  /** Drops the messages while there is no link. */
  send(messages: readonly GroupMessage[]): void {
    const dropped = this.#link?.send(messages) ?? 0;
    if (dropped > 0) {
      this.#context.logger.debug({ ...this.#fields(), dropped }, 'raft queue of peer is full');
    }
  }

  /** As `Transport.request`. */
  async request(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    checkPayloadSize(payload, 'request');
    if (this.#link === undefined) throw noLink(this.address.nodeId);
    return this.#link.request(payload, options);
  }

  status(): PeerStatus {
    return {
      nodeId: this.address.nodeId,
      connected: this.#link !== undefined,
      queuedBytes: this.#link?.queuedBytes ?? 0,
      ...(this.#clockAheadMs !== undefined && { clockAheadMs: this.#clockAheadMs }),
    };
  }

  /** Closes the link for good. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#dialer?.stop();
    this.#link?.close();
  }

  /** Makes way for a link to that process of the peer. */
  #replaceLink(identity: PeerIdentity): void {
    const { incarnations } = this.#context;
    const replaced = this.#link;
    const newest = incarnations.newestOf(identity.storeId);
    const hasRestarted = newest > 0 && identity.incarnation > newest;
    this.#link = undefined;
    incarnations.note(identity);
    replaced?.close(new Error('the peer opened a newer link'));
    if (replaced === undefined && !hasRestarted) return;
    const evidence = hasRestarted ? 'newer-incarnation' : 'other';
    this.#context.handlers.onPeerDown(this.address.nodeId, evidence);
  }

  #broken(link: Link, error: Error | undefined): void {
    if (this.#link !== link) return;
    this.#link = undefined;
    const evidence = evidenceOf(error);
    const fields = { ...this.#fields(), evidence, error: error?.message };
    this.#context.logger.info(fields, 'link to peer broke');
    if (isFlotillaError(error)) this.#context.onRefused(this.address.nodeId, error);
    if (!this.#closed) this.#dialer?.linkBroke();
    this.#context.handlers.onPeerDown(this.address.nodeId, evidence);
  }

  #failed(error: Error): void {
    const fields = { ...this.#fields(), error: error.message };
    this.#context.logger.debug(fields, 'cannot open link to peer');
    this.#context.handlers.onPeerDown(this.address.nodeId, evidenceOf(error));
  }

  #fields(): object {
    const { nodeId, address } = this.address;
    return { peer: nodeId, address, incarnation: this.#link?.hello.identity.incarnation };
  }
}
