/** What every call of the client can be told. */
import type { Logger } from '../shared/logger.js';

export interface CallOptions {
  /** The whole time that the call may take, retries included; at most 7 days. @default 10,000 */
  readonly timeoutMs?: number;
  /** Gives the call up when it is aborted: the call rejects with CANCELLED. */
  readonly signal?: AbortSignal;
}

/**
 * When and how often a call that failed is sent again. Within its `timeoutMs`, which is what ends
 * it where nothing else is said here.
 */
export interface RetryOptions {
  /** How often a call is sent at most; 1 turns retries off. @default Infinity */
  readonly attemptsMax?: number;
  /** Bound of the first wait; it doubles from one to the next. @default 25 */
  readonly waitMinMs?: number;
  /** Bound of any wait. @default 1,000 */
  readonly waitMaxMs?: number;
  /**
   * How many calls of the client may be repeats that have the cluster work again: 0.2 is a fifth
   * of all. Where more fail they reject with the last error. @default 0.2
   */
  readonly budgetShare?: number;
  /** How many more such repeats a second may have, however few calls there are. @default 10 */
  readonly budgetPerSecond?: number;
}

/**
 * How calls reach a node. 'stream': many calls share one long-lived stream per address, which costs
 * a fraction of the processor's time; nodes that know no streams get unary calls. 'unary': each
 * call is an HTTP/2 request of its own, for proxies that balance or log requests.
 */
export type CallTransport = 'stream' | 'unary';

export const CALL_TRANSPORTS: readonly CallTransport[] = ['stream', 'unary'];

/**
 * Where calls go. 'direct': a call goes to the node that leads the shard it is about, or to one
 * that has a replica where that may serve it, as soon as the client has learnt which these are, so
 * that no other node has to pass it on; the client then connects to the addresses that nodes
 * advertise too, where it reaches them. 'proxy': calls go to the given addresses in turn, and
 * nowhere else, for networks that show clients some nodes only.
 */
export type CallRouting = 'direct' | 'proxy';

export const CALL_ROUTINGS: readonly CallRouting[] = ['direct', 'proxy'];

export interface FlotillaOptions {
  /** @default 'direct' */
  readonly routing?: CallRouting;
  /**
   * The zone that this client is in, by the name that nodes have for it (`node.zone`). With routing
   * 'direct', reads that any replica may serve go to nodes of this zone while those serve them, and
   * to any others else (M-14). Nodes of earlier versions do not tell their zones: all are alike
   * then. @default none, all nodes are alike
   */
  readonly zone?: string;
  /** Told of failed attempts and of routing, at level debug. @default nothing is logged */
  readonly logger?: Logger;
  /** @default 'stream' */
  readonly transport?: CallTransport;
  /** For calls that do not say otherwise. @default 10,000 */
  readonly timeoutMs?: number;
  readonly retry?: RetryOptions;
}

export const DEFAULT_TIMEOUT_MS = 10_000;
export const TIMEOUT_MAX_MS = 7 * 24 * 3_600_000;
