/** How fresh reads are to be, as callers say it, and what a client has seen so far. */
import type { RequestedFreshness } from '../shared/codec/freshness-messages.js';
import { decodeSessionToken, encodeSessionToken, seenBy } from '../shared/codec/session-token.js';
import { noteSeen, type SeenShard, UNTOLD } from '../shared/consistency.js';
import { FlotillaError } from '../shared/errors.js';
import { READ_CONSISTENCIES, type ReadConsistency } from '../shared/types.js';

/**
 * How fresh a read is to be. docs/consistency.md compares the levels.
 *
 * - `'strong'`: it sees every write that was acknowledged before it began; a quorum confirms the
 *   leader of each shard.
 * - `'leased'`: the same, as long as the clocks of the nodes run equally fast (5 % apart at most).
 *   Where the cluster setting `leases` is on, it takes no round trip between nodes; it is strong
 *   where the setting is off.
 * - `{ boundedMs }`: any replica answers that is at most so old, 1 to 86,400,000 ms.
 * - `'session'`: any replica answers that has all that this client wrote and read.
 * - `{ session }`: the same for what another client saw, by its `sessionToken`.
 * - `'eventual'`: any replica answers, with what it has.
 */
export type Consistency =
  | ReadConsistency
  | 'session'
  | 'eventual'
  | { readonly boundedMs: number; readonly session?: never }
  | { readonly session: string; readonly boundedMs?: never };

/** The two fields of a read's request that say so. */
export interface FreshnessFields {
  readonly consistency?: ReadConsistency | undefined;
  readonly freshness?: RequestedFreshness;
}

const WORDS = [...READ_CONSISTENCIES, 'session', 'eventual'] as const;

/** What a client wrote and read, shard by shard: a few numbers for each. */
export class ReadSession {
  readonly #seen = new Map<number, SeenShard>();

  /** Adds what an answer tells; one of an earlier version tells nothing. */
  note(seen: readonly SeenShard[] = []): void {
    noteSeen(this.#seen, seen.length === 0 ? [UNTOLD] : seen);
  }

  /** Adds what an error tells: that a condition does not hold was decided by a shard's log. */
  noteError(error: FlotillaError): void {
    noteSeen(this.#seen, seenBy(error.body));
  }

  /** For another client, at most 8 KiB; empty for a session that has seen nothing. */
  get token(): string {
    return encodeSessionToken(this.#seen.values());
  }

  /** Throws INVALID_REQUEST: on the wire a word that is not known would look like the default. */
  fieldsOf(consistency: Consistency | undefined): FreshnessFields {
    switch (consistency) {
      case undefined:
      case 'strong':
      case 'leased':
        return { consistency };
      case 'eventual':
        return { freshness: consistency };
      case 'session':
        return { freshness: { session: [...this.#seen.values()] } };
      default:
        return { freshness: freshnessOf(consistency) };
    }
  }
}

function freshnessOf(consistency: Extract<Consistency, object>): RequestedFreshness {
  const { boundedMs, session } = consistency ?? {};
  if (typeof boundedMs === 'number' && session === undefined) {
    const isSound = Number.isSafeInteger(boundedMs) && boundedMs > 0;
    if (isSound) return { boundedMs };
    throw invalid(`consistency.boundedMs is ${boundedMs}, it must be a whole number above 0`);
  }
  if (typeof session === 'string' && boundedMs === undefined) {
    return { session: decodeSessionToken(session, 'consistency.session') };
  }
  const given = JSON.stringify(consistency);
  const forms = `${WORDS.join(', ')}, { boundedMs } and { session }`;
  throw invalid(`consistency is ${given}, it must be one of ${forms}`);
}

function invalid(message: string): FlotillaError {
  return new FlotillaError('INVALID_REQUEST', message, { field: 'consistency' });
}
