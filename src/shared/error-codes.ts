/**
 * The table of all errors that leave Flotilla. Reasons are stable: they are never renamed and never
 * reused. docs/errors.md is generated from this table.
 */

/** Canonical codes, the same names as gRPC's. */
export type ErrorCode =
  | 'CANCELLED'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'PERMISSION_DENIED'
  | 'RESOURCE_EXHAUSTED'
  | 'FAILED_PRECONDITION'
  | 'ABORTED'
  | 'UNIMPLEMENTED'
  | 'INTERNAL'
  | 'UNAVAILABLE'
  | 'DATA_LOSS'
  | 'UNAUTHENTICATED';

/** What an error says about the write that it answers. */
export type ErrorOutcome =
  /** Nothing has happened on any replica, and nothing will. */
  | 'not-applied'
  /** It may have happened. Sending the same idempotency key again is safe. */
  | 'unknown';

export interface ErrorSpec {
  readonly code: ErrorCode;
  /** Whether the same request may succeed when sent again unchanged. */
  readonly retryable: boolean;
  readonly outcome: ErrorOutcome;
  /** What it means and what to do next; one or two sentences, for docs/errors.md. */
  readonly summary: string;
}

const spec = (
  code: ErrorCode,
  summary: string,
  options: { retryable?: boolean; outcome?: ErrorOutcome } = {},
): ErrorSpec => ({
  code,
  retryable: options.retryable ?? false,
  outcome: options.outcome ?? 'not-applied',
  summary,
});

export const ERRORS = {
  // What the caller sent.
  INVALID_REQUEST: spec(
    'INVALID_ARGUMENT',
    'A field is missing, malformed or of the wrong type. The error names the field.',
  ),
  LIMIT_EXCEEDED: spec(
    'INVALID_ARGUMENT',
    'A field is outside its limit. The error names the field, the limit and its value.',
  ),
  DIMENSION_MISMATCH: spec(
    'INVALID_ARGUMENT',
    'A vector has another length than the collection. Check the embedding model in use.',
  ),
  NOT_FINITE: spec(
    'INVALID_ARGUMENT',
    'A vector holds NaN or an infinity. Check the step that made the vector.',
  ),
  ZERO_VECTOR: spec(
    'INVALID_ARGUMENT',
    'A vector of zeros has no direction and cannot be stored or searched under `cosine`.',
  ),
  DUPLICATE_ID: spec(
    'INVALID_ARGUMENT',
    'One request writes the same id twice. Send each id once per request.',
  ),
  FILTER_UNSUPPORTED: spec(
    'UNIMPLEMENTED',
    'A node of an earlier version, which evaluates no filters, has answered. Upgrade it.',
  ),
  COLLECTION_NOT_FOUND: spec('NOT_FOUND', 'There is no collection of this name. Create it first.'),
  RECORD_NOT_FOUND: spec('NOT_FOUND', 'There is no record of this id in the collection.'),
  COLLECTION_EXISTS: spec(
    'ALREADY_EXISTS',
    'A collection of this name exists with other settings. Drop it or choose another name.',
  ),
  COLLECTION_NOT_READY: spec(
    'UNAVAILABLE',
    'The collection is still being created or dropped on some shard. Try again shortly.',
    { retryable: true },
  ),
  SHARD_NOT_FOUND: spec('NOT_FOUND', 'The cluster has no shard of this number.'),
  NODE_NOT_FOUND: spec('NOT_FOUND', 'The cluster has no node of this id.'),
  REPLICA_NOT_FOUND: spec('NOT_FOUND', 'The shard has no replica on this node.'),
  CHANGE_IN_PROGRESS: spec(
    'FAILED_PRECONDITION',
    'The replicas of the shard are being changed already. Wait until `flotilla status` shows no ' +
      'change, or give it up with `flotilla replica cancel`.',
  ),
  CHANGE_NOT_FOUND: spec(
    'NOT_FOUND',
    'The shard, or the tenant directory, has no change of this id that could be given up: it is ' +
      'through, or it never was. `flotilla status` shows the change of a shard that is under ' +
      'way, `flotilla tenant stats` that of the directory, with its id.',
  ),
  TENANT_HAS_DATA: spec(
    'FAILED_PRECONDITION',
    'The shard holds records of the tenant, so that it cannot be assigned to another one: ' +
      'records are not moved yet. Assign tenants before they write, or delete their records first.',
  ),
  TENANT_CHANGE_IN_PROGRESS: spec(
    'UNAVAILABLE',
    'The tenant directory is being changed, or a collection that uses it is being created. ' +
      'Changes are made one at a time; try again shortly.',
    { retryable: true },
  ),
  TENANT_CHANGE_CANCELLED: spec(
    'ABORTED',
    'The change of the tenant directory was given up with `flotilla tenant cancel` before it was ' +
      'decided: everything is as before.',
  ),
  QUORUM_AT_RISK: spec(
    'FAILED_PRECONDITION',
    'The change would leave the shard without a majority of replicas that answer. Bring replicas ' +
      'back or add one first; the error names those that are missing.',
  ),

  // Conditions of writes, which the shard's log decides: a retry gets the same answer.
  VERSION_CONFLICT: spec(
    'ABORTED',
    'The record does not have the version that the write demands. The error has its ' +
      '`currentVersion`, or `record: missing`. Read the record again and decide.',
  ),
  RECORD_EXISTS: spec(
    'ABORTED',
    'The write only inserts, and there is a record of this id. The error has its `currentVersion`.',
  ),
  UNAUTHENTICATED: spec('UNAUTHENTICATED', 'The request carries no valid credentials.'),

  // Exactly-once.
  SESSION_EXPIRED: spec(
    'FAILED_PRECONDITION',
    'The idempotency key is older than what the shard remembers, or than the assignment of the ' +
      'tenant to it, so it cannot tell whether the write was applied. Read the records and decide.',
    { outcome: 'unknown' },
  ),

  // The cluster's state.
  REPLICA_BEHIND: spec(
    'UNAVAILABLE',
    'The replica could not come up to the freshness that the read asks for, or takes no part in ' +
      'reads now. Another replica is asked; allow a greater age, or read `strong`.',
    { retryable: true },
  ),
  NOT_LEADER: spec(
    'UNAVAILABLE',
    'This replica does not lead its shard. Routers follow the hint; callers rarely see this.',
    { retryable: true },
  ),
  NO_LEADER: spec(
    'UNAVAILABLE',
    'A shard has no leader now, mostly for a second or two after a failure. Try again.',
    { retryable: true },
  ),
  SHARD_UNAVAILABLE: spec(
    'UNAVAILABLE',
    'A shard did not answer within the deadline. See `flotilla status` for its replicas.',
    { retryable: true },
  ),
  STALE_TOPOLOGY: spec(
    'UNAVAILABLE',
    'The router used an older topology than the replica. It refreshes and tries again by itself.',
    { retryable: true },
  ),
  NODE_NOT_READY: spec(
    'UNAVAILABLE',
    'The node has not joined a cluster yet, or is stopping. Ask another node or wait.',
    { retryable: true },
  ),
  PROPOSAL_DROPPED: spec(
    'RESOURCE_EXHAUSTED',
    'The shard has too many bytes that are not committed yet. Slow down and try again.',
    { retryable: true },
  ),
  DISK_FULL: spec(
    'RESOURCE_EXHAUSTED',
    "The disk of the shard's leader is nearly full: it takes deletes, and no other writes. Free " +
      'space on it, or delete records; another replica takes over if it has room.',
    { retryable: true },
  ),
  TOO_MANY_REQUESTS: spec(
    'RESOURCE_EXHAUSTED',
    'The node or shard works on as many requests as it may. Slow down and try again.',
    { retryable: true },
  ),
  OUTCOME_UNKNOWN: spec(
    'UNAVAILABLE',
    'The write was handed to the shard, and the answer was lost (leader change, cut connection ' +
      'or stop). Send it again with the same idempotency key: it is applied once.',
    { retryable: true, outcome: 'unknown' },
  ),
  DEADLINE_EXCEEDED: spec(
    'DEADLINE_EXCEEDED',
    'The deadline passed first. A write may still happen: send it again with the same key.',
    { retryable: true, outcome: 'unknown' },
  ),
  CANCELLED: spec('CANCELLED', 'The caller gave up. A write may still happen.', {
    outcome: 'unknown',
  }),

  // Nodes and storage.
  WRONG_CLUSTER: spec(
    'FAILED_PRECONDITION',
    'The two nodes belong to different clusters, or the call is meant for another one than the ' +
      "node's. Check the configured addresses.",
  ),
  WRONG_STORE: spec(
    'FAILED_PRECONDITION',
    'The node has another data directory than the one the cluster knows. A wiped node must be ' +
      'replaced, it cannot come back under its old identity.',
  ),
  ALREADY_BOOTSTRAPPED: spec(
    'FAILED_PRECONDITION',
    'The node belongs to a cluster already. Start it without bootstrapping.',
  ),
  SETTINGS_MISMATCH: spec(
    'FAILED_PRECONDITION',
    'The data directory was made with other cluster settings. The error names the setting.',
  ),
  STORE_POISONED: spec(
    'UNAVAILABLE',
    'The log store met a write error and takes no more writes. The node restarts its storage ' +
      'or stops; see its log.',
    { retryable: true, outcome: 'unknown' },
  ),
  LOG_DAMAGED: spec(
    'DATA_LOSS',
    "A replica's log on disk is damaged. It does not vote; the other replicas serve the shard.",
  ),
  UNSUPPORTED_VERSION: spec(
    'FAILED_PRECONDITION',
    'The bytes were written by a newer version of Flotilla. Upgrade this node.',
  ),
  UNSUPPORTED_PROCESSOR: spec(
    'FAILED_PRECONDITION',
    'The index library was compiled for another processor than the one of this node. Compile it ' +
      'here: `npm run build:addon`.',
  ),
  NATIVE_LIBRARY_MISSING: spec(
    'FAILED_PRECONDITION',
    'A library with native code, `hnswlib-node` or `level`, is not installed, or not for this ' +
      'system: npm was told to omit it, or had no compiler. Nodes and embedded clusters need ' +
      'them, clients do not; the error has the command that mends it.',
  ),
  UNIMPLEMENTED: spec('UNIMPLEMENTED', 'This version does not offer the call or option.'),
  INTERNAL: spec('INTERNAL', 'A bug in Flotilla. Please report it with the log of the node.', {
    outcome: 'unknown',
  }),
} as const satisfies Record<string, ErrorSpec>;

export type ErrorReason = keyof typeof ERRORS;

/**
 * Why a condition of a write did not hold. The shard's log has decided so, and every retry under
 * the same key is told the same.
 */
const CONDITION_REASONS: readonly ErrorReason[] = [
  'VERSION_CONFLICT',
  'RECORD_EXISTS',
  'RECORD_NOT_FOUND',
];

export function isConditionReason(reason: ErrorReason): boolean {
  return CONDITION_REASONS.includes(reason);
}
