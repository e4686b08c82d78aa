/** Errors as gRPC statuses. src/client/errors.ts reads them back. */
import { Metadata, status as Status } from '@grpc/grpc-js';
import { MalformedBytesError } from '../shared/bytes.js';
import { encodeStatusDetails, STATUS_DETAILS_KEY } from '../shared/codec/status-details.js';
import type { ErrorCode } from '../shared/error-codes.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';

export interface GrpcStatus {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The status and its trailer. Header tables are small: a long message is cut in `details`. */
export function toGrpcStatus(error: FlotillaError): GrpcStatus {
  const { code, status } = toStreamedStatus(error);
  const metadata = new Metadata();
  metadata.set(STATUS_DETAILS_KEY, status);
  return { code, details: clipped(error.message), metadata };
}

/** The code and the encoded google.rpc.Status of a call on a stream: what the trailer holds. */
export function toStreamedStatus(error: FlotillaError): { code: number; status: Buffer } {
  const code = grpcCode(error.code);
  const body = { ...error.body, message: clipped(error.message) };
  return { code, status: encodeStatusDetails(code, body) };
}

/** Any thrown value as a `FlotillaError`; bytes that cannot be read are the caller's fault. */
export function toApiError(thrown: unknown): FlotillaError {
  if (isFlotillaError(thrown)) return thrown;
  if (thrown instanceof MalformedBytesError) {
    return new FlotillaError('INVALID_REQUEST', `The request is malformed: ${thrown.message}`, {
      cause: thrown,
    });
  }
  return toFlotillaError(thrown);
}

function grpcCode(code: ErrorCode): number {
  return Status[code];
}

const MESSAGE_LENGTH_MAX = 1_024;

/** Also mends half surrogate pairs, the cut's own included: grpc-js throws when it meets one. */
function clipped(message: string): string {
  const cut = message.length <= MESSAGE_LENGTH_MAX ? message : `${message.slice(0, 1_020)} ...`;
  return cut.replace(/\p{Surrogate}/gu, '\ufffd');
}
