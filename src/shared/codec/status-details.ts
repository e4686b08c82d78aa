/**
 * Errors in the trailer `grpc-status-details-bin`, the standard way:
 *
 *   google.rpc.Status    { int32 code = 1; string message = 2; repeated Any details = 3; }
 *   google.protobuf.Any  { string type_url = 1; bytes value = 2; }
 *   google.rpc.ErrorInfo { string reason = 1; string domain = 2;
 *                          map<string, string> metadata = 3; }
 *
 * The head of proto/flotilla/v1/flotilla.proto says what the ErrorInfo holds. Further details of
 * an error travel in its metadata under their own names, behind `detail.`.
 */
import { MalformedBytesError } from '../bytes.js';
import { ERRORS, type ErrorReason } from '../error-codes.js';
import type { ErrorBody } from '../types.js';
import { ProtobufReader, ProtobufWriter, readTextPair } from './protobuf-wire.js';

export const STATUS_DETAILS_KEY = 'grpc-status-details-bin';

const DOMAIN = 'flotilla';
const ERROR_INFO_URL = 'type.googleapis.com/google.rpc.ErrorInfo';
const DETAIL_PREFIX = 'detail.';

/** `code` is the number of the gRPC status that the error travels with. */
export function encodeStatusDetails(code: number, error: ErrorBody): Buffer {
  const writer = new ProtobufWriter(512).uint(1, code).string(2, error.message);
  writer.open(3, 256).string(1, ERROR_INFO_URL).open(2, 200);
  writer.string(1, error.reason).string(2, DOMAIN);
  for (const [name, value] of Object.entries(infoMetadata(error))) {
    writer.open(3).string(1, name).string(2, value).close();
  }
  return writer.close().close().finish();
}

/** The error, or `undefined` where the bytes hold none of ours. */
export function decodeStatusDetails(bytes: Uint8Array): ErrorBody | undefined {
  try {
    return readStatus(new ProtobufReader(bytes));
  } catch (error) {
    if (error instanceof MalformedBytesError) return undefined;
    throw error;
  }
}

function infoMetadata(error: ErrorBody): Record<string, string> {
  const { retryable, outcome } = ERRORS[error.reason];
  const metadata: Record<string, string> = { retryable: String(retryable), outcome };
  if (error.field !== undefined) metadata.field = error.field;
  if (error.limit !== undefined) {
    metadata.limit = error.limit.name;
    metadata.limit_value = String(error.limit.value);
  }
  for (const [name, value] of Object.entries(error.details ?? {})) {
    metadata[`${DETAIL_PREFIX}${name}`] = value;
  }
  return metadata;
}

function readStatus(reader: ProtobufReader): ErrorBody | undefined {
  let message = '';
  let info: { reason: string; metadata: Map<string, string> } | undefined;
  while (reader.next()) {
    if (reader.field === 2) message = reader.string();
    else if (reader.field === 3) info = readDetail(reader) ?? info;
    else reader.skip();
  }
  return info === undefined ? undefined : bodyOf(info.reason, message, info.metadata);
}

function readDetail(reader: ProtobufReader): ReturnType<typeof readErrorInfo> {
  const outer = reader.open();
  let url = '';
  let value: Uint8Array | undefined;
  while (reader.next()) {
    if (reader.field === 1) url = reader.string();
    else if (reader.field === 2) value = reader.bytes();
    else reader.skip();
  }
  reader.close(outer);
  if (url !== ERROR_INFO_URL || value === undefined) return undefined;
  return readErrorInfo(new ProtobufReader(value));
}

function readErrorInfo(
  reader: ProtobufReader,
): { reason: string; metadata: Map<string, string> } | undefined {
  let reason = '';
  let domain = '';
  const metadata = new Map<string, string>();
  while (reader.next()) {
    if (reader.field === 1) reason = reader.string();
    else if (reader.field === 2) domain = reader.string();
    else if (reader.field === 3) metadata.set(...readTextPair(reader));
    else reader.skip();
  }
  return domain === DOMAIN ? { reason, metadata } : undefined;
}

/** A reason from a newer server becomes the known one that demands the same of the caller. */
function bodyOf(reason: string, message: string, metadata: Map<string, string>): ErrorBody {
  const details: Record<string, string> = {};
  for (const [name, value] of metadata) {
    if (name.startsWith(DETAIL_PREFIX)) details[name.slice(DETAIL_PREFIX.length)] = value;
  }
  const known = Object.hasOwn(ERRORS, reason);
  if (!known) details.reason = reason;
  const field = metadata.get('field');
  const limit = metadata.get('limit');
  return {
    reason: known ? (reason as ErrorReason) : nearestReason(metadata),
    message,
    ...(field !== undefined && { field }),
    ...(limit !== undefined && {
      limit: { name: limit, value: Number(metadata.get('limit_value')) },
    }),
    ...(Object.keys(details).length > 0 && { details }),
  };
}

function nearestReason(metadata: Map<string, string>): ErrorReason {
  const retryable = metadata.get('retryable') === 'true';
  const applied = metadata.get('outcome') !== 'not-applied';
  if (retryable) return applied ? 'OUTCOME_UNKNOWN' : 'SHARD_UNAVAILABLE';
  return applied ? 'INTERNAL' : 'INVALID_REQUEST';
}
