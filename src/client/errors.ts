/** gRPC errors as `FlotillaError`, the way back of src/server/error-map.ts. */
import { type ServiceError, status as Status } from '@grpc/grpc-js';
import { decodeStatusDetails, STATUS_DETAILS_KEY } from '../shared/codec/status-details.js';
import type { ErrorReason } from '../shared/error-codes.js';
import { FlotillaError } from '../shared/errors.js';

/** What grpc-js says when it refuses a message for its size, on either side. */
const TOO_LARGE = /larger than/;

/** What grpc-js says when a call never left for lack of a connection, and why in the middle. */
const NOT_CONNECTED =
  /^No connection established(?:\. Last error: (.*?)\. Resolution)?|^Name resolution failed/;

/** `writes` says whether the call can have changed anything. */
export function fromServiceError(
  error: ServiceError,
  writes: boolean,
  address: string,
): FlotillaError {
  const [details] = error.metadata?.get(STATUS_DETAILS_KEY) ?? [];
  const body = details instanceof Buffer ? decodeStatusDetails(details) : undefined;
  if (body !== undefined) return FlotillaError.fromBody(body, error);
  // No answer of ours: the connection, a proxy or grpc-js itself speaks.
  if (error.code === Status.RESOURCE_EXHAUSTED && TOO_LARGE.test(error.details)) {
    return new FlotillaError('LIMIT_EXCEEDED', `${error.details}, split the request`, {
      limit: 'requestBytesMax',
      cause: error,
    });
  }
  const [said, why] = NOT_CONNECTED.exec(error.details) ?? [];
  if (error.code === Status.UNAVAILABLE && said !== undefined) {
    const fault = why?.replace(/^Error: /, '') ?? error.details;
    const message = `No node is reached at ${address} (${fault}), check the address and the node`;
    return new FlotillaError('NODE_NOT_READY', message, { cause: error });
  }
  const reason = reasonOf(error, writes);
  const isLate = reason === 'DEADLINE_EXCEEDED';
  const advice = isLate ? '; raise timeoutMs, or look at the status of the cluster' : '';
  return new FlotillaError(reason, `${error.details}${advice}`, { cause: error });
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
