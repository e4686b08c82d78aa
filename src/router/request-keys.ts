/** The keys under which the router's own writes apply once, however often they are sent. */
import type { RequestKey } from '../shared/codec/command.js';
import type { Environment } from '../shared/environment.js';
import { LIMITS } from '../shared/limits.js';

/** The key of one request, held until its answer is known. */
export interface KeyLease {
  /** The key as of now: its lowest unanswered sequence grows while the request is under way. */
  key(): RequestKey;
  /** The answer is known, or nobody waits for it any more. Idempotent. */
  release(): void;
}

/** One client identity with the requests that are open under it. */
interface Session {
  readonly clientId: string;
  readonly clientStampMs: number;
  nextSequence: number;
  /** Ascending, since sequences are added in order. */
  readonly open: Set<number>;
}

/** Shards remember this many requests of a client; half of it leaves room for stragglers. */
const WINDOW_REQUESTS = LIMITS.sessionRequestsMax.value / 2;

/**
 * Numbers requests under a client id of this router's own.
 *
 * A request that takes very long would make shards remember all that came after it. Before that
 * reaches what they are ready to remember, later requests go on under a new client id.
 */
export class RequestKeys {
  readonly #environment: Pick<Environment, 'clock' | 'random'>;
  #session: Session;

  /** `clientId` must never have been used before. @default a random UUID */
  constructor(environment: Pick<Environment, 'clock' | 'random'>, clientId?: string) {
    this.#environment = environment;
    this.#session = this.#newSession(clientId ?? environment.random.uuid());
  }

  take(): KeyLease {
    const { nextSequence } = this.#session;
    if (nextSequence - lowestOf(this.#session) >= WINDOW_REQUESTS) this.#changeSession();
    return lease(this.#session);
  }

  /**
   * A key under another client id, for a request that `expired` shall not carry because a shard
   * has forgotten about that client. Only for a request that was never proposed under `expired`.
   */
  takeInsteadOf(expired: KeyLease): KeyLease {
    if (expired.key().clientId === this.#session.clientId) this.#changeSession();
    return this.take();
  }

  #changeSession(): void {
    this.#session = this.#newSession(this.#environment.random.uuid());
  }

  #newSession(clientId: string): Session {
    const clientStampMs = Math.max(0, Math.floor(this.#environment.clock.wallMs()));
    return { clientId, clientStampMs, nextSequence: 1, open: new Set() };
  }
}

function lease(session: Session): KeyLease {
  const { clientId, clientStampMs } = session;
  const sequence = session.nextSequence++;
  session.open.add(sequence);
  return {
    key: () => ({
      clientId,
      clientStampMs,
      sequence,
      lowestUnanswered: Math.min(sequence, lowestOf(session)),
    }),
    release: () => session.open.delete(sequence),
  };
}

function lowestOf(session: Session): number {
  for (const sequence of session.open) return sequence;
  return session.nextSequence;
}
