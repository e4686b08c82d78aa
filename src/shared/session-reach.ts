/**
 * How far requests may have come at a shard, for one that takes keys over from it: what is not in
 * here the other has never applied, and will not any more (O5). Plain data.
 */
import { compareText } from './filter-values.js';
import type { Version } from './types.js';

export interface SessionReach {
  /**
   * A client that is not in the list, and was made at this time or before, may have been forgotten;
   * -1 where nobody was. In milliseconds of wall clocks.
   */
  readonly watermarkMs: number;
  /** No record that the other wrote has a higher one: who takes over goes on above it (O6). */
  readonly lastVersion: Version;
  /** By client id, in the order of its UTF-8 bytes; each once. */
  readonly clients: readonly ClientReach[];
}

export interface ClientReach {
  readonly clientId: string;
  /** When the client id was made. */
  readonly clientStampMs: number;
  /** Any of the client's requests up to this one may have been applied. */
  readonly sequence: number;
}

/** What either of two shards may have applied. Linear in both. */
export function joinedReach(a: SessionReach, b: SessionReach): SessionReach {
  const clients = new Map(a.clients.map((client) => [client.clientId, client]));
  for (const client of b.clients) {
    const { sequence = 0 } = clients.get(client.clientId) ?? {};
    if (client.sequence > sequence) clients.set(client.clientId, client);
  }
  const { lastVersion } = a.lastVersion > b.lastVersion ? a : b;
  return {
    watermarkMs: Math.max(a.watermarkMs, b.watermarkMs),
    lastVersion,
    clients: [...clients.values()].sort((one, other) => compareText(one.clientId, other.clientId)),
  };
}
