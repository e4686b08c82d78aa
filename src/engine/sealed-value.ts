/** The values of the point store: sealed records whose context is their key. */
import { ByteReader, ByteWriter } from '../shared/bytes.js';
import {
  decodeBody,
  recordFailure,
  SEAL_SIZE_BYTES,
  sealInPlace,
  unseal,
} from '../shared/sealed-record.js';

const NO_SEAL_YET = new Uint8Array(SEAL_SIZE_BYTES);

/** A value whose body is what `write` writes. */
export function sealValue(
  key: Uint8Array,
  write: (body: ByteWriter) => void,
  sizeHintBytes = 64,
  version = 1,
): Uint8Array {
  const writer = new ByteWriter(SEAL_SIZE_BYTES + sizeHintBytes);
  writer.raw(NO_SEAL_YET);
  write(writer);
  const value = writer.finish();
  sealInPlace(value, key, version);
  return value;
}

/**
 * What `read` reads from the value's body, of any version up to `versionMax`. Byte fields may be
 * views into `value`. Throws LOG_DAMAGED when the value is not what was written,
 * UNSUPPORTED_VERSION when a newer version of Flotilla wrote it.
 */
export function openValue<T>(
  key: Uint8Array,
  value: Uint8Array,
  read: (body: ByteReader, version: number) => T,
  versionMax = 1,
): T {
  try {
    return decodeBody(
      value,
      key,
      (body, version) => read(new ByteReader(body), version),
      versionMax,
    );
  } catch (thrown) {
    throw valueFailure(key, thrown);
  }
}

/** Checks a value that is only passed on. Throws as `openValue` does. */
export function checkValue(key: Uint8Array, value: Uint8Array, versionMax = 1): void {
  try {
    unseal(value, key, versionMax);
  } catch (thrown) {
    throw valueFailure(key, thrown);
  }
}

function valueFailure(key: Uint8Array, thrown: unknown): unknown {
  const name = Buffer.from(key).toString('hex');
  return recordFailure(`the value of ${name} in the point store`, thrown);
}
