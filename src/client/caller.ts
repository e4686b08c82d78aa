/** Every call of the client goes through here: deadline, retries, idempotency keys. */
import { invalidField } from '../shared/checks.js';
import type { WriteResponse } from '../shared/codec/api-messages.js';
import type { CallHeaders } from '../shared/codec/call-stream-messages.js';
import type { RequestKey } from '../shared/codec/command.js';
import { API, type ApiMethod, RETRIES_HEADER } from '../shared/codec/public-api.js';
import { isTooSlow } from '../shared/consistency.js';
import { ERRORS, isConditionReason } from '../shared/error-codes.js';
import { FlotillaError, isFlotillaError } from '../shared/errors.js';
import { type Logger, silentLogger } from '../shared/logger.js';
import { RetryBudget } from '../shared/retry-budget.js';
import type { WriteOutcome } from '../shared/types.js';
import type { AttemptOptions, Connections } from './connections.js';
import { isSilence, silentShards } from './errors.js';
import {
  CALL_ROUTINGS,
  type CallOptions,
  type CallRouting,
  DEFAULT_TIMEOUT_MS,
  type FlotillaOptions,
  type RetryOptions,
  TIMEOUT_MAX_MS,
} from './options.js';
import { ReadSession } from './read-session.js';
import { attemptDeadlineMs, checkedRetry, type RetryPlan, withRetries } from './retry.js';
import { type Destination, type RouteSource, Routing } from './routing.js';
import { Session } from './session.js';
import { oneOf, wellFormed } from './values.js';

/** What a call does decides when it may be sent again. */
export type CallKind =
  /** Changes nothing, or does the same thing however often it is sent. */
  | 'repeatable'
  /** Sent again only while it certainly has not happened. */
  | 'once';

export interface CallManner {
  readonly kind: CallKind;
  readonly writes: boolean;
  /** What the call is about, where that matters to where it goes. @default any node will do */
  readonly destination?: Destination | undefined;
  /** See `AttemptOptions`. @default false */
  readonly isKeyedDelete?: boolean;
}

export const READ = { kind: 'repeatable', writes: false } as const;
/** Of changes that have the same end however often they are sent. */
export const REPEATABLE = { kind: 'repeatable', writes: true } as const;
/** Sent twice it could undo or redo what somebody else has done in between. */
export const CHANGE = { kind: 'once', writes: true } as const;

/** How long a node may take to say where shards are led. */
const ROUTES_TIMEOUT_MS = 2_000;

const RETRY_HEADERS: CallHeaders = [[RETRIES_HEADER.name, RETRIES_HEADER.value]];

export class Caller {
  readonly #connections: Connections;
  readonly #timeoutMs: number;
  readonly #retry: Required<RetryOptions>;
  readonly #retryBudget: RetryBudget;
  /** What all calls through here have written and read. */
  readonly readSession = new ReadSession();
  /** Absent where calls are to go through any node. */
  readonly routing: Routing | undefined;
  readonly #logger: Logger;
  #session = new Session();

  constructor(connections: Connections, options: FlotillaOptions) {
    this.#connections = connections;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#retry = checkedRetry(options.retry);
    const { budgetShare: share, budgetPerSecond: perSecond } = this.#retry;
    this.#retryBudget = new RetryBudget(() => performance.now(), { share, perSecond });
    this.#logger = options.logger ?? silentLogger;
    const zone = checkedZone(options);
    this.routing = checkedRouting(options) === 'proxy' ? undefined : this.#openRouting(zone);
  }

  /** Reads and administration. */
  async call<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    options: CallOptions,
    { kind, writes, destination, isKeyedDelete }: CallManner,
  ): Promise<Response> {
    const plan = this.#plan(options);
    return withRetries(
      plan,
      (error) => {
        if (!error.retryable || isTooSlow(error.body)) return 'give-up';
        return kind === 'repeatable' || error.outcome === 'not-applied' ? 'again' : 'give-up';
      },
      (made) => {
        // A call that must not be repeated after its deadline has only this attempt.
        const endMs = kind === 'once' ? plan.deadlineMs : attemptDeadlineMs(plan, made);
        const attempt = {
          signal: plan.signal,
          deadlineMs: endMs,
          writes,
          isKeyedDelete,
          headers: this.#headers(kind),
        };
        return this.#attempt(method, request, attempt, { destination, made });
      },
    );
  }

  /**
   * A write of several records under one idempotency key. Sent again, with the same key, as long
   * as any record failed in a way that may pass: each shard applies only what it has not yet
   * applied. Resolves when at least one record is applied, with all outcomes in order.
   */
  async write<Request>(
    method: ApiMethod<Request, WriteResponse>,
    requestOf: (key: RequestKey) => Request,
    options: CallOptions,
    destination: Destination,
  ): Promise<readonly WriteOutcome[]> {
    const plan = this.#plan(options);
    if (this.#session.isFull) this.#renew(this.#session);
    const session = this.#session;
    let sent = 0;
    const send = async (key: RequestKey, made: number): Promise<WriteResponse> => {
      sent++;
      const deadlineMs = attemptDeadlineMs(plan, made);
      const attempt = { signal: plan.signal, deadlineMs, writes: true, headers: RETRY_HEADERS };
      const target = { destination, made };
      const answer = await this.#attempt(method, requestOf(key), attempt, target);
      this.readSession.note(answer.written);
      this.routing?.noteTenant(destination, answer.written ?? []);
      return answer;
    };
    try {
      const outcomes = await writeInSession(session, plan, send);
      if (outcomes.some(isExpired)) this.#renew(session);
      return outcomes;
    } catch (error) {
      if (!isFlotillaError(error) || error.reason !== 'SESSION_EXPIRED') throw error;
      this.#renew(session);
      if (sent > 1) throw error;
    }
    // Sent only once, and refused: under a new key nothing of it can be applied twice.
    return writeInSession(this.#session, plan, send);
  }

  /** Sends a call once: at first to where the destination says, then to the next address. */
  async #attempt<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    options: Omit<AttemptOptions, 'prefer' | 'isScoped'>,
    { destination, made }: { destination: Destination | undefined; made: number },
  ): Promise<Response> {
    const prefer = destination && made === 1 ? this.routing?.addressFor(destination) : undefined;
    const isScoped = destination !== undefined && hasScope(destination);
    try {
      const attempt = { prefer, isScoped, ...options };
      const answer = await this.#connections.attempt(method, request, attempt);
      this.routing?.noteAnswered();
      return answer;
    } catch (error) {
      if (isFlotillaError(error)) this.#noteFailure(method.path, error, prefer);
      throw error;
    }
  }

  #noteFailure(path: string, error: FlotillaError, prefer: string | undefined): void {
    this.readSession.noteError(error);
    if (!isSilence(error)) this.routing?.noteUnled(silentShards(error));
    else if (prefer !== undefined) this.routing?.noteFailed(prefer);
    try {
      this.#logger.debug({ method: path, reason: error.reason }, 'a call has failed');
    } catch {
      // The call is to fail with its own error, not with that of the user's logger.
    }
  }

  #openRouting(zone: string | undefined): Routing {
    const connections = this.#connections;
    const source: RouteSource = {
      given: connections.given,
      ask: (address, request) => {
        const deadlineMs = Date.now() + ROUTES_TIMEOUT_MS;
        const attempt = { deadlineMs, writes: false };
        return connections.attemptAt(address, API.getRoutes, request, attempt);
      },
      isTrusted: (address) => connections.isTrusted(address),
      isReached: (address) => connections.isReached(address),
      setFound: (addresses, clusterId) => connections.setFound(addresses, clusterId),
    };
    return new Routing({
      source,
      zone,
      logger: this.#logger,
      nowMs: () => performance.now(),
      random: () => Math.random(),
    });
  }

  /** Shards have forgotten the session, or would before it ends: writes go on under a new name. */
  #renew(old: Session): void {
    if (this.#session === old) this.#session = new Session();
  }

  /** With one address only, the node that has it is left to try for as long as it may. */
  #headers(kind: CallKind): CallHeaders {
    const goesElsewhere = kind === 'repeatable' && this.#connections.count > 1;
    return goesElsewhere ? RETRY_HEADERS : [];
  }

  #plan(options: CallOptions): RetryPlan {
    return {
      budget: this.#retryBudget,
      addresses: this.#connections.count,
      deadlineMs: Date.now() + checkedTimeoutMs(options.timeoutMs ?? this.#timeoutMs),
      signal: options.signal,
      ...this.#retry,
    };
  }
}

/** Whether a version that knows neither tenants nor shard keys would do something else. */
function hasScope({ tenant, records }: Destination): boolean {
  if (tenant !== '') return true;
  return records !== 'all' && records.some(({ shardKey }) => shardKey !== undefined);
}

function checkedRouting({ routing = 'direct' }: FlotillaOptions): CallRouting {
  return oneOf(routing, CALL_ROUTINGS, 'routing');
}

function checkedZone({ zone }: FlotillaOptions): string | undefined {
  if (zone === '') throw invalidField('zone', 'is empty, leave it out');
  return zone === undefined ? undefined : wellFormed(zone, 'zone');
}

/** Longer ones would overflow a timer on the way, and end at once. */
function checkedTimeoutMs(timeoutMs: number): number {
  if (timeoutMs > 0) return Math.min(timeoutMs, TIMEOUT_MAX_MS);
  const message = `timeoutMs is ${timeoutMs}, it must be a number above 0`;
  throw new FlotillaError('INVALID_REQUEST', message, { field: 'timeoutMs' });
}

async function writeInSession(
  session: Session,
  plan: RetryPlan,
  send: (key: RequestKey, made: number) => Promise<WriteResponse>,
): Promise<readonly WriteOutcome[]> {
  const key = session.take();
  let known: readonly WriteOutcome[] | undefined;
  let lost = false;
  const attempt = async (made: number): Promise<readonly WriteOutcome[]> => {
    try {
      const { outcomes } = await send(key, made);
      return lost ? outcomes.map(doubted) : outcomes;
    } catch (error) {
      lost ||= isFlotillaError(error) && error.outcome === 'unknown';
      throw error;
    }
  };
  try {
    return await withRetries(
      plan,
      (error) => (error.retryable ? 'again' : 'give-up'),
      async (made) => {
        known = mergeOutcomes(known, await attempt(made));
        const open = known.find(isWorthRetrying);
        if (open !== undefined) throw FlotillaError.fromBody(open.error);
        return known;
      },
    );
  } catch (error) {
    // Some records are written: the caller gets the outcomes, not an error.
    if (known !== undefined) return known;
    throw error;
  } finally {
    session.release(key);
  }
}

type FailedOutcome = Exclude<WriteOutcome, { readonly kind: 'applied' }>;

function isWorthRetrying(outcome: WriteOutcome): outcome is FailedOutcome {
  return outcome.kind !== 'applied' && ERRORS[outcome.error.reason].retryable;
}

function isExpired(outcome: WriteOutcome): boolean {
  return outcome.kind !== 'applied' && outcome.error.reason === 'SESSION_EXPIRED';
}

/**
 * After a lost answer, what this attempt has not applied the lost one may have. Not so where a
 * condition did not hold: that was decided under this key, whichever attempt was the first.
 */
function doubted(outcome: WriteOutcome): WriteOutcome {
  if (outcome.kind !== 'not-applied' || isConditionReason(outcome.error.reason)) return outcome;
  return { kind: 'unknown', error: outcome.error };
}

/** What is known after one more answer: applied stays applied, and unknown is never unlearnt. */
function mergeOutcomes(
  before: readonly WriteOutcome[] | undefined,
  latest: readonly WriteOutcome[],
): readonly WriteOutcome[] {
  if (before === undefined) return latest;
  return before.map((old, index) => {
    const now = latest[index] ?? old;
    if (old.kind === 'applied' || now.kind === 'applied') return old.kind === 'applied' ? old : now;
    return old.kind === 'unknown' ? old : now;
  });
}
