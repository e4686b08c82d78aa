/** What every call of the client can be told. */

export interface CallOptions {
  /** The whole time that the call may take, retries included; at most 7 days. @default 10,000 */
  readonly timeoutMs?: number;
  /** Gives the call up when it is aborted: the call rejects with CANCELLED. */
  readonly signal?: AbortSignal;
}

/** When and how often a call that failed is sent again. All within its `timeoutMs`. */
export interface RetryOptions {
  /** How often a call is sent at most; 1 turns retries off. @default 10 */
  readonly attemptsMax?: number;
  /** Bound of the first wait; it doubles from one to the next. @default 25 */
  readonly waitMinMs?: number;
  /** Bound of any wait. @default 1,000 */
  readonly waitMaxMs?: number;
}

export interface FlotillaOptions {
  /** For calls that do not say otherwise. @default 10,000 */
  readonly timeoutMs?: number;
  readonly retry?: RetryOptions;
}

export const DEFAULT_TIMEOUT_MS = 10_000;
export const TIMEOUT_MAX_MS = 7 * 24 * 3_600_000;
