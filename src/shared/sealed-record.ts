/**
 * The frame around everything that a node keeps on disk: in databases and in files.
 *
 *     version u8 | crc32c u32 LE | body
 *
 * The checksum covers the version, the record's context (the key or file name that it belongs
 * to, which is not stored) and the body: a record found in another's place does not pass.
 */
import { MalformedBytesError } from './bytes.js';
import { crc32c } from './crc32c.js';
import { FlotillaError } from './errors.js';

/** Version of a format that has not changed since it was first written. */
const VERSION = 1;
const CHECKSUM_AT = 1;

/** Bytes before the body. */
export const SEAL_SIZE_BYTES = 5;

const VERSION_CHECKSUM = crc32c(Uint8Array.of(VERSION));

/** Why a record cannot be read. */
export class RecordError extends Error {
  override readonly name = 'RecordError';
  readonly reason: 'checksum' | 'unsupported-version';

  constructor(reason: 'checksum' | 'unsupported-version', message: string) {
    super(message);
    this.reason = reason;
  }
}

function viewOf(record: Uint8Array): DataView {
  return new DataView(record.buffer, record.byteOffset, record.byteLength);
}

/** Fills the first `SEAL_SIZE_BYTES` of `record`, whose body is written already. */
export function sealInPlace(record: Uint8Array, context: Uint8Array, version = VERSION): void {
  const seed = version === VERSION ? VERSION_CHECKSUM : crc32c(Uint8Array.of(version));
  const checksum = crc32c(record.subarray(SEAL_SIZE_BYTES), crc32c(context, seed));
  record[0] = version;
  viewOf(record).setUint32(CHECKSUM_AT, checksum, true);
}

/** A record with a copy of `body`. */
export function seal(body: Uint8Array, context: Uint8Array, version = VERSION): Uint8Array {
  const record = new Uint8Array(SEAL_SIZE_BYTES + body.length);
  record.set(body, SEAL_SIZE_BYTES);
  sealInPlace(record, context, version);
  return record;
}

/** The body, a view of `record`, of any version up to `versionMax`. Throws a `RecordError`. */
export function unseal(record: Uint8Array, context: Uint8Array, versionMax = VERSION): Uint8Array {
  if (record.length < SEAL_SIZE_BYTES) {
    throw new RecordError('checksum', `a record of ${record.length} bytes is cut short`);
  }
  const body = record.subarray(SEAL_SIZE_BYTES);
  const checksum = crc32c(body, crc32c(context, crc32c(record.subarray(0, CHECKSUM_AT))));
  if (viewOf(record).getUint32(CHECKSUM_AT, true) !== checksum) {
    throw new RecordError('checksum', 'the checksum does not match');
  }
  const version = record[0] as number;
  if (version < VERSION || version > versionMax) {
    const message = `version ${version}, this node reads up to ${versionMax}`;
    throw new RecordError('unsupported-version', message);
  }
  return body;
}

/**
 * Reads an unsealed body, of any version up to `versionMax`; one that does not have the form of its
 * version counts as damage.
 */
export function decodeBody<T>(
  record: Uint8Array,
  context: Uint8Array,
  decode: (body: Uint8Array, version: number) => T,
  versionMax = VERSION,
): T {
  const body = unseal(record, context, versionMax);
  try {
    return decode(body, record[0] as number);
  } catch (thrown) {
    if (!(thrown instanceof MalformedBytesError)) throw thrown;
    throw new RecordError('checksum', `the record is malformed: ${thrown.message}`);
  }
}

/** What a caller is told when `what` cannot be read. Errors but `RecordError` pass through. */
export function recordFailure(what: string, thrown: unknown): unknown {
  if (!(thrown instanceof RecordError)) return thrown;
  const reason = thrown.reason === 'checksum' ? 'LOG_DAMAGED' : 'UNSUPPORTED_VERSION';
  return new FlotillaError(reason, `${what}: ${thrown.message}`, { cause: thrown });
}
