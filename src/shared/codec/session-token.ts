/**
 * Session tokens: what a session has seen of each shard, as text that means nothing to callers.
 * At most 30 characters a shard, so 8 KiB for a cluster of the largest size.
 */
import { ByteReader, ByteWriter, MalformedBytesError } from '../bytes.js';
import { type SeenShard, UNTOLD } from '../consistency.js';
import { crc32c } from '../crc32c.js';
import { FlotillaError } from '../errors.js';
import { LIMITS } from '../limits.js';
import type { ErrorBody } from '../types.js';

const TOKEN_FORMAT = 1;
/** The longest that a sound one can be: three varints a shard, the last two of up to 8 bytes. */
const TOKEN_CHARACTERS_MAX = 16 + 30 * LIMITS.shardsMax.value;

/** In base64url: a format byte, the shards in order, a checksum. Nothing for no shards. */
export function encodeSessionToken(seen: Iterable<SeenShard>): string {
  const shards = [...seen].sort((a, b) => a.shardId - b.shardId);
  if (shards.length === 0) return '';
  const writer = new ByteWriter(16 + 8 * shards.length).u8(TOKEN_FORMAT).varint(shards.length);
  for (const { shardId, ownershipVersion, appliedIndex } of shards) {
    writer.varint(shardId).varint(ownershipVersion).varint(appliedIndex);
  }
  const body = writer.finish().slice();
  const token = new ByteWriter(body.length + 4).raw(body).u32(crc32c(body)).finish();
  return Buffer.from(token).toString('base64url');
}

/**
 * Throws INVALID_REQUEST for a text that `encodeSessionToken` does not make; `field` is where it
 * is. The work is bounded, whatever the text.
 */
export function decodeSessionToken(text: string, field: string): readonly SeenShard[] {
  if (text === '') return [];
  try {
    if (text.length <= TOKEN_CHARACTERS_MAX) {
      const seen = readToken(Buffer.from(text, 'base64url'));
      // Decoding base64 skips what it does not know; nor is any other order made.
      if (encodeSessionToken(seen) === text) return seen;
    }
  } catch (error) {
    if (!(error instanceof MalformedBytesError)) throw error;
  }
  const message = `${field} is no session token: send one unchanged, as a session gave it`;
  throw new FlotillaError('INVALID_REQUEST', message, { field });
}

/** The error, which also tells what its caller's session has seen by it: in `details.session`. */
export function withSeen(error: FlotillaError, seen: readonly SeenShard[]): FlotillaError {
  if (seen.length === 0) return error;
  const details = { ...error.body.details, session: encodeSessionToken(seen) };
  return FlotillaError.fromBody({ ...error.body, details }, error.cause);
}

/** What `withSeen` has told. What this version cannot read stands for something unknown. */
export function seenBy({ details }: ErrorBody): readonly SeenShard[] {
  const { session = '' } = details ?? {};
  try {
    return decodeSessionToken(session, 'details.session');
  } catch {
    return [UNTOLD];
  }
}

function readToken(bytes: Uint8Array): SeenShard[] {
  const body = bytes.subarray(0, Math.max(0, bytes.length - 4));
  if (new ByteReader(bytes, body.length).u32() !== crc32c(body)) {
    throw new MalformedBytesError('a session token with another checksum');
  }
  const reader = new ByteReader(body);
  const format = reader.u8();
  if (format !== TOKEN_FORMAT) throw new MalformedBytesError(`session token format ${format}`);
  const seen: SeenShard[] = [];
  for (let left = reader.varint(); left > 0; left--) {
    const [shardId, ownershipVersion] = [reader.varint(), reader.varint()];
    seen.push({ shardId, ownershipVersion, appliedIndex: reader.varint() });
  }
  reader.end();
  const isEachOnce = new Set(seen.map(({ shardId }) => shardId)).size === seen.length;
  if (!isEachOnce) throw new MalformedBytesError('a session token names a shard twice');
  return seen;
}
