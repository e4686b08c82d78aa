/**
 * The frame of every value in the point store: `format u8 | crc32c u32 LE | body`. The checksum
 * covers the key as well, so that a value found in another's place does not pass.
 */
import { ByteReader, ByteWriter, MalformedBytesError } from '../shared/bytes.js';
import { crc32c } from '../shared/crc32c.js';
import { FlotillaError } from '../shared/errors.js';

/** The format that is written now, and the newest that is understood. */
const FORMAT = 1;
const CHECKSUM_AT = 1;
const BODY_AT = 5;

/** A value whose body is what `write` writes. */
export function sealValue(
  key: Uint8Array,
  write: (body: ByteWriter) => void,
  sizeHintBytes = 64,
): Uint8Array {
  const writer = new ByteWriter(BODY_AT + sizeHintBytes);
  writer.u8(FORMAT).u32(0);
  write(writer);
  const value = writer.finish();
  new DataView(value.buffer, value.byteOffset).setUint32(CHECKSUM_AT, checksumOf(key, value), true);
  return value;
}

/**
 * What `read` reads from the value's body. Byte fields may be views into `value`. Throws
 * LOG_DAMAGED when the value is not what was written, UNSUPPORTED_VERSION when a newer version of
 * Flotilla wrote it.
 */
export function openValue<T>(key: Uint8Array, value: Uint8Array, read: (body: ByteReader) => T): T {
  if (value.length < BODY_AT) throw damaged(key, 'is cut short');
  const stored = new DataView(value.buffer, value.byteOffset).getUint32(CHECKSUM_AT, true);
  if (stored !== checksumOf(key, value)) throw damaged(key, 'does not match its checksum');
  if (value[0] !== FORMAT) {
    throw new FlotillaError(
      'UNSUPPORTED_VERSION',
      `the point store has format ${value[0]}, this version reads up to ${FORMAT}`,
    );
  }
  try {
    return read(new ByteReader(value, BODY_AT));
  } catch (error) {
    if (error instanceof MalformedBytesError) throw damaged(key, error.message);
    throw error;
  }
}

function checksumOf(key: Uint8Array, value: Uint8Array): number {
  const before = crc32c(value.subarray(0, CHECKSUM_AT), crc32c(key));
  return crc32c(value.subarray(BODY_AT), before);
}

function damaged(key: Uint8Array, what: string): FlotillaError {
  const name = Buffer.from(key).toString('hex');
  return new FlotillaError('LOG_DAMAGED', `the value of ${name} in the point store ${what}`);
}
