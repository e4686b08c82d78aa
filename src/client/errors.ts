/** gRPC errors as `FlotillaError`, the way back of src/server/error-map.ts. */
import { type ServiceError, status as Status } from '@grpc/grpc-js';
import { decodeStatusDetails, STATUS_DETAILS_KEY } from '../shared/codec/status-details.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError } from '../shared/errors.js';
import { connectionFault } from '../shared/grpc/connection-fault.js';
import type { ErrorBody } from '../shared/types.js';
import type { CallError } from './call-stream.js';

/** What grpc-js says when it refuses a message for its size, on either side. */
const TOO_LARGE = /larger than/;

/**
 * Whether nobody has answered at all: the node may be gone, paused, or cut off. Not so where a node
 * tells that a shard is silent, or that time was up there; one that stops, or has joined no cluster
 * yet, is as good as gone.
 */
export function isSilence({ reason, cause }: FlotillaError): boolean {
  if (reason === 'NODE_NOT_READY') return true;
  if (reason !== 'OUTCOME_UNKNOWN' && reason !== 'DEADLINE_EXCEEDED') return false;
  return answeredBody(cause as Partial<ServiceError> | undefined) === undefined;
}

/** The shards of which a node tells that they do not answer, whoever asks them. */
export function silentShards({ code, body }: FlotillaError): number[] {
  const named = body.details?.shards ?? '';
  return code !== 'UNAVAILABLE' || named === '' ? [] : named.split(',').map(Number);
}

function answeredBody(error: Partial<ServiceError> | undefined): ErrorBody | undefined {
  const [details] = error?.metadata?.get(STATUS_DETAILS_KEY) ?? [];
  return details instanceof Buffer ? decodeStatusDetails(details) : undefined;
}

/** `writes` says whether the call can have changed anything. */
export function fromServiceError(
  error: ServiceError,
  writes: boolean,
  address: string,
): FlotillaError {
  const body = answeredBody(error);
  if (body !== undefined) return FlotillaError.fromBody(body, error);
  // No answer of ours: the connection, a proxy or grpc-js itself speaks.
  if (error.code === Status.RESOURCE_EXHAUSTED && TOO_LARGE.test(error.details)) {
    return new FlotillaError('LIMIT_EXCEEDED', `${error.details}, split the request`, {
      limit: 'requestBytesMax',
      cause: error,
    });
  }
  const fault = connectionFault(error.details);
  if (error.code === Status.UNAVAILABLE && fault !== undefined) {
    const message = `No node is reached at ${address} (${fault}), check the address and the node`;
    return new FlotillaError('NODE_NOT_READY', message, { cause: error });
  }
  return new FlotillaError(reasonOf(error, writes), messageOf(error, address), {
    cause: error,
    ...(isLost(error) && { details: { unanswered: 'true' } }),
  });
}

/** Whether the call may have been carried out all the same: to repeat it costs a token (D1). */
function isLost(error: CallError): boolean {
  return error.code === Status.UNAVAILABLE && error.notBegun !== true;
}

/** What was said, and what to do about it. */
function messageOf({ code, details }: ServiceError, address: string): string {
  if (code === Status.DEADLINE_EXCEEDED) {
    return `${details}; raise timeoutMs, or look at the status of the cluster`;
  }
  if (code === Status.UNIMPLEMENTED) {
    return (
      `What answers at ${address} does not take this call (${details}): check that it is the ` +
      "address where a node serves clients (listen.client), and the node's version"
    );
  }
  return details;
}

function reasonOf(error: ServiceError, writes: boolean): ErrorReason {
  switch (error.code) {
    case Status.CANCELLED:
      return 'CANCELLED';
    case Status.DEADLINE_EXCEEDED:
      return 'DEADLINE_EXCEEDED';
    case Status.UNAVAILABLE:
      return writes ? 'OUTCOME_UNKNOWN' : 'NODE_NOT_READY';
    case Status.RESOURCE_EXHAUSTED:
      return 'TOO_MANY_REQUESTS';
    case Status.UNAUTHENTICATED:
    case Status.PERMISSION_DENIED:
      return 'UNAUTHENTICATED';
    case Status.UNIMPLEMENTED:
      return 'UNIMPLEMENTED';
    case Status.INVALID_ARGUMENT:
      return 'INVALID_REQUEST';
    default:
      return 'INTERNAL';
  }
}
