/**
 * Cursors of scrolls: the position of the last record that was looked at, as text that means
 * nothing to callers. A cursor outlives its record, any change of shards, and the process.
 */
import { ByteReader, ByteWriter, MalformedBytesError } from '../bytes.js';
import { invalidField } from '../checks.js';
import type { ScrollPosition } from '../scroll-position.js';

const CURSOR_FORMAT = 1;

/** In base64url: a format byte, the id, the tenant. */
export function encodeCursor({ id, tenant }: ScrollPosition): string {
  const bytes = new ByteWriter(64).u8(CURSOR_FORMAT).string(id).string(tenant).finish();
  return Buffer.from(bytes).toString('base64url');
}

/** Throws INVALID_REQUEST for a text that `encodeCursor` does not make; `field` is where it is. */
export function decodeCursor(text: string, field: string): ScrollPosition {
  try {
    const position = readCursor(Buffer.from(text, 'base64url'));
    // Decoding base64 skips what it does not know.
    if (encodeCursor(position) === text) return position;
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
  }
  throw invalidField(field, 'is none that an answer had, send that of the page before unchanged');
}

function readCursor(bytes: Uint8Array): ScrollPosition {
  const reader = new ByteReader(bytes);
  const format = reader.u8();
  if (format !== CURSOR_FORMAT) throw new MalformedBytesError(`cursor format ${format}`);
  const position = { id: reader.string(), tenant: reader.string() };
  reader.end();
  return position;
}
