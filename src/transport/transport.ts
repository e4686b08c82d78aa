/**
 * Messages between nodes, without knowing what they mean: Raft messages of many groups that may be
 * lost, and requests that are answered or fail.
 */
import type { Message } from '../raft/types.js';
import type { GiveUpSignal } from '../shared/give-up.js';

/** Who a peer says it is; checked when a link opens, on both sides. */
export interface PeerIdentity {
  readonly clusterId: string;
  readonly nodeId: number;
  readonly storeId: string;
  /** Counts the restarts of the peer's store. */
  readonly incarnation: number;
}

/** A Raft message with the group it belongs to. */
export interface GroupMessage {
  readonly groupId: number;
  readonly message: Message;
}

/**
 * What the end of a link says about the peer's process. `reset`: the connection ended without
 * either side closing it. `refused`: nobody listens there. `newer-incarnation`: it has restarted.
 * None proves that the process which was there is dead; `other` does not even suggest it.
 */
export type PeerDownEvidence = 'reset' | 'refused' | 'newer-incarnation' | 'other';

export interface TransportHandlers {
  /**
   * Raft messages from a peer whose identity was checked, in the order of sending per group but
   * for heartbeats and votes, which pass the others.
   */
  onMessages(from: PeerIdentity, messages: readonly GroupMessage[]): void;
  /**
   * A request from a peer. The answer, or the `FlotillaError` thrown, goes back. `signal` is
   * aborted when the caller gave up or the link broke.
   */
  onRequest(from: PeerIdentity, payload: Uint8Array, signal: GiveUpSignal): Promise<Uint8Array>;
  /** A link to the peer is open. */
  onPeerUp(peer: PeerIdentity): void;
  /**
   * The link broke, or could not be opened (called for each attempt of the side that dials, the
   * one with the lower node id), or the peer greets as a process that has restarted since.
   */
  onPeerDown(nodeId: number, evidence: PeerDownEvidence): void;
  /**
   * One of the two does not accept the other: wrong cluster, wrong store, protocols that do not
   * meet. Called once for as long as the reason stays the same.
   */
  onPeerRefused(nodeId: number | undefined, error: Error): void;
}

export interface PeerAddress {
  readonly nodeId: number;
  /** host:port of the peer listener. */
  readonly address: string;
  /** The store that the cluster knows for the node; another one is refused. */
  readonly storeId: string;
}

export interface PeerStatus {
  readonly nodeId: number;
  readonly connected: boolean;
  readonly queuedBytes: number;
  /** How far the peer's wall clock was ahead of this node's at its last greeting. */
  readonly clockAheadMs?: number;
}

export interface Transport {
  /** The address really bound. */
  readonly address: string;
  /** Sets who this node is and whom it knows. Links to others are closed. May be called again. */
  configure(self: PeerIdentity, peers: readonly PeerAddress[]): void;
  /**
   * Queues Raft messages; never blocks and never fails. Messages are dropped while there is no
   * link or its queue is full: Raft sends again. Heartbeats and votes pass the append queue.
   */
  send(nodeId: number, messages: readonly GroupMessage[]): void;
  /**
   * Asks a peer. Rejects with SHARD_UNAVAILABLE (never sent), OUTCOME_UNKNOWN (the link broke
   * after sending), DEADLINE_EXCEEDED, CANCELLED, TOO_MANY_REQUESTS (too much waits for the
   * peer), LIMIT_EXCEEDED, or the error that the peer answered with. `payload` is read until the
   * promise settles, and not afterwards: its memory may then be used for something else.
   */
  request(
    nodeId: number,
    payload: Uint8Array,
    options: { timeoutMs: number; signal?: GiveUpSignal | undefined },
  ): Promise<Uint8Array>;
  peers(): readonly PeerStatus[];
  /** Stops listening and closes all links; requests under way fail. Idempotent. */
  close(): Promise<void>;
}
