/** Why links end, as far as it tells of the process at the other side. */
import type { PeerDownEvidence } from './transport.js';

/** The kernel of the peer's machine refused the connection: nobody listens. */
export class ConnectionRefusedError extends Error {
  override readonly name = 'ConnectionRefusedError';
}

/** The connection ended, and not because one of the two sides closed it. */
export class LinkResetError extends Error {
  override readonly name = 'LinkResetError';
}

/** What the end of a link, or of the attempt to open one, says; absent after an orderly close. */
export function evidenceOf(error: Error | undefined): PeerDownEvidence {
  if (error instanceof ConnectionRefusedError) return 'refused';
  return error instanceof LinkResetError ? 'reset' : 'other';
}
