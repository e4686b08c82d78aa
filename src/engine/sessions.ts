/**
 * What makes a retried write apply once (A7): the outcomes of each
 * client's requests by ordinal, as part of the replicated state. Everything here follows from the
 * log alone: who is forgotten, and when, is the same on all replicas.
 */
import { ByteReader, utf8Length } from '../shared/bytes.js';
import type { RequestKey, WriteOperation } from '../shared/codec/command.js';
import { compareText } from '../shared/filter-values.js';
import type { SessionReach } from '../shared/session-reach.js';
import type { Version, WriteOutcome } from '../shared/types.js';
import type { PointStore } from './point-store.js';
import { openValue, sealValue } from './sealed-value.js';
import {
  decodeOutcomes,
  encodeOutcomes,
  type RecordedOutcome,
  readClient,
  writeClient,
} from './session-codec.js';
import {
  SESSION_CLIENTS_RANGE,
  SESSION_OUTCOMES_RANGE,
  SESSION_WATERMARK_KEY,
  sessionClientKey,
  sessionClientOfKey,
  sessionOutcomesKey,
  sessionOutcomesOfKey,
} from './store-keys.js';
import type { WriteBatch } from './write-batch.js';

export interface SessionLimits {
  /** Clients remembered; the one whose last entry is the oldest is forgotten first. */
  readonly clientsMax: number;
  /** Requests remembered of one client; the lowest sequence is forgotten first. */
  readonly requestsMax: number;
  /**
   * Size of all that is remembered, as `bytes` counts it. Clients are forgotten as above; the one
   * that wrote last stays, and forgets its lowest sequences where it alone is too much.
   */
  readonly bytesMax: number;
}

/** What one entry did for a request. Kept encoded: only a retry ever reads it. */
interface Chunk {
  /** Log index of the entry. */
  readonly index: number;
  readonly ordinalMin: number;
  readonly ordinalMax: number;
  readonly encoded: Uint8Array;
}

interface Client {
  readonly stampMs: number;
  lastUsedIndex: number;
  lowestKnown: number;
  /** See `StoredClient`. */
  reach: number;
  readonly requests: Map<number, Chunk[]>;
}

/** What recorded outcomes are looked up by, beside the key of the request. */
export type OutcomeOwner = Pick<WriteOperation, 'ordinal' | 'tenant'>;

/**
 * What a client, and what one entry did for a request, weighs besides its name and its bytes: about
 * what both take in memory. Part of what replicas agree on; never to be changed.
 */
const CLIENT_BYTES = 64;
const CHUNK_BYTES = 64;

/** Nobody was forgotten yet. */
const NO_WATERMARK = -1;

export class Sessions {
  readonly #limits: SessionLimits;
  /** The least recently used client first. */
  readonly #clients = new Map<string, Client>();
  /** The highest creation stamp of a client that was forgotten. */
  #watermarkMs = NO_WATERMARK;
  #bytes = 0;

  constructor(limits: SessionLimits) {
    this.#limits = limits;
  }

  /** Clients remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** What is remembered weighs: follows from the state alone, whichever way it came about. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Reads all sessions from the store, once, into an object that is new. */
  async load(store: PointStore): Promise<void> {
    const watermark = store.get(SESSION_WATERMARK_KEY);
    if (watermark !== undefined) {
      this.#watermarkMs = openValue(SESSION_WATERMARK_KEY, watermark, (body) => body.varint());
    }
    const clients: [string, Client][] = [];
    for await (const page of store.pages(SESSION_CLIENTS_RANGE)) {
      for (const { key, value } of page) {
        const stored = openValue(key, value, readClient);
        clients.push([sessionClientOfKey(key), { ...stored, requests: new Map() }]);
      }
    }
    clients.sort(([, a], [, b]) => a.lastUsedIndex - b.lastUsedIndex);
    for (const [clientId, client] of clients) this.#addClient(clientId, client);
    for await (const page of store.pages(SESSION_OUTCOMES_RANGE)) {
      for (const { key, value } of page) {
        const { clientId, sequence, index } = sessionOutcomesOfKey(key);
        const encoded = openValue(key, value, (body) => body.raw(body.remaining));
        const client = this.#clients.get(clientId);
        if (client !== undefined) this.#addChunk(client, sequence, chunkOf(index, encoded));
      }
    }
  }

  /** Whether the shard can no longer tell if the request was applied. */
  isExpired(key: RequestKey): boolean {
    const client = this.#clients.get(key.clientId);
    if (client === undefined) return key.clientStampMs <= this.#watermarkMs;
    return key.sequence < client.lowestKnown;
  }

  /** Whether a shard that has given keys to this one may have applied the request (O5). */
  mayBeElsewhere({ clientId, sequence }: RequestKey): boolean {
    return sequence <= (this.#clients.get(clientId)?.reach ?? 0);
  }

  /**
   * The outcomes that are recorded for records of the request, by ordinal; empty for a new request.
   * A tenant is not told those of another, whoever chose the key (U1).
   */
  recorded(
    key: RequestKey,
    collectionId: number,
    operations: readonly OutcomeOwner[],
  ): Map<number, WriteOutcome> {
    const recorded = new Map<number, WriteOutcome>();
    const chunks = this.#clients.get(key.clientId)?.requests.get(key.sequence) ?? [];
    const wanted = new Map(
      chunks.length > 0 ? operations.map(({ ordinal, tenant }) => [ordinal, tenant]) : [],
    );
    const [min, max] = boundsOf(wanted.keys());
    for (const chunk of chunks) {
      if (chunk.ordinalMax < min || chunk.ordinalMin > max) continue;
      for (const { ordinal, outcome, owner } of decodeOutcomes(new ByteReader(chunk.encoded))) {
        const tenant = wanted.get(ordinal);
        if (tenant !== (owner?.tenant ?? '')) continue;
        if (owner === undefined || owner.collectionId === collectionId) {
          recorded.set(ordinal, outcome);
        }
      }
    }
    return recorded;
  }

  /**
   * What this shard may have applied, or one that has given keys to it, as of an entry of this
   * version. Costs all requests.
   */
  reach(lastVersion: Version): SessionReach {
    const clients = [...this.#clients].map(([clientId, client]) => {
      const { stampMs: clientStampMs, lowestKnown, reach, requests } = client;
      let sequence = Math.max(lowestKnown - 1, reach, 0);
      for (const known of requests.keys()) sequence = Math.max(sequence, known);
      return { clientId, clientStampMs, sequence };
    });
    clients.sort((a, b) => compareText(a.clientId, b.clientId));
    return { watermarkMs: this.#watermarkMs, lastVersion, clients };
  }

  /**
   * Learns, by the entry at `index`, what another shard may have applied of which this one has the
   * keys from now on. Its clients count as used by that entry, for who is forgotten first.
   */
  absorb({ watermarkMs, clients }: SessionReach, index: number, batch: WriteBatch): void {
    if (watermarkMs > this.#watermarkMs) this.#raiseWatermark(watermarkMs, batch);
    const told = new Set(clients.map(({ clientId }) => clientId));
    for (const [clientId, client] of this.#clients) {
      if (told.has(clientId) || client.stampMs > watermarkMs) continue;
      // The other may have forgotten it, and with it how far it had come.
      client.reach = Number.MAX_SAFE_INTEGER;
      putClient(clientId, client, batch);
    }
    for (const { clientId, clientStampMs: stampMs, sequence } of clients) {
      const known = this.#clients.get(clientId);
      // Of one that is not known and may have been forgotten nothing is believed anyway.
      if (known === undefined && stampMs <= this.#watermarkMs) continue;
      if (known !== undefined && sequence <= Math.max(known.reach, known.lowestKnown - 1)) continue;
      const client = known ?? this.#addClient(clientId, newClient(stampMs, index));
      client.reach = sequence;
      putClient(clientId, client, batch);
    }
    this.#evictOthers(undefined, batch);
  }

  /**
   * Records what the entry at `index` did for a request that is not expired, and forgets what the
   * request's key, and the limits, allow to forget. `outcomes` may be empty: a pure retry.
   */
  record(
    key: RequestKey,
    index: number,
    version: Version,
    outcomes: readonly RecordedOutcome[],
    batch: WriteBatch,
  ): void {
    const client = this.#touch(key, index);
    if (outcomes.length > 0) {
      const chunk = chunkOf(index, encodeOutcomes(version, outcomes));
      this.#addChunk(client, key.sequence, chunk);
      const chunkKey = sessionOutcomesKey(key.clientId, key.sequence, index);
      batch.put(
        chunkKey,
        sealValue(chunkKey, (body) => body.raw(chunk.encoded), chunk.encoded.length),
      );
    }
    if (key.lowestUnanswered > client.lowestKnown) {
      this.#forgetBelow(key.clientId, client, key.lowestUnanswered, batch);
    }
    while (client.requests.size > this.#limits.requestsMax) {
      this.#forgetLowest(key.clientId, client, batch);
    }
    this.#evictOthers(key.clientId, batch);
    while (client.requests.size > 0 && this.#bytes > this.#limits.bytesMax) {
      this.#forgetLowest(key.clientId, client, batch);
    }
    putClient(key.clientId, client, batch);
  }

  /** The client, made the most recently used one. */
  #touch(key: RequestKey, index: number): Client {
    const known = this.#clients.get(key.clientId);
    if (known === undefined) {
      return this.#addClient(key.clientId, newClient(key.clientStampMs, index));
    }
    known.lastUsedIndex = index;
    this.#clients.delete(key.clientId);
    this.#clients.set(key.clientId, known);
    return known;
  }

  #addClient(clientId: string, client: Client): Client {
    this.#clients.set(clientId, client);
    this.#bytes += clientBytes(clientId);
    return client;
  }

  #addChunk(client: Client, sequence: number, chunk: Chunk): void {
    const chunks = client.requests.get(sequence);
    if (chunks === undefined) client.requests.set(sequence, [chunk]);
    else chunks.push(chunk);
    this.#bytes += chunkBytes(chunk);
  }

  /** Forgets clients, the least recently used first, while there is too much; never that one. */
  #evictOthers(clientId: string | undefined, batch: WriteBatch): void {
    const { clientsMax, bytesMax } = this.#limits;
    for (const [otherId, other] of this.#clients) {
      if (this.#clients.size <= clientsMax && this.#bytes <= bytesMax) return;
      if (otherId === clientId) return;
      this.#forgetBelow(otherId, other, Number.POSITIVE_INFINITY, batch);
      this.#clients.delete(otherId);
      this.#bytes -= clientBytes(otherId);
      batch.delete(sessionClientKey(otherId));
      this.#raiseWatermark(Math.max(this.#watermarkMs, other.stampMs), batch);
    }
  }

  #raiseWatermark(watermarkMs: number, batch: WriteBatch): void {
    this.#watermarkMs = watermarkMs;
    const value = sealValue(SESSION_WATERMARK_KEY, (body) => body.varint(watermarkMs));
    batch.put(SESSION_WATERMARK_KEY, value);
  }

  #forgetLowest(clientId: string, client: Client, batch: WriteBatch): void {
    this.#forgetBelow(clientId, client, Math.min(...client.requests.keys()) + 1, batch);
  }

  #forgetBelow(clientId: string, client: Client, sequence: number, batch: WriteBatch): void {
    client.lowestKnown = sequence;
    for (const [requestSequence, chunks] of client.requests) {
      if (requestSequence >= sequence) continue;
      client.requests.delete(requestSequence);
      for (const chunk of chunks) {
        this.#bytes -= chunkBytes(chunk);
        batch.delete(sessionOutcomesKey(clientId, requestSequence, chunk.index));
      }
    }
  }
}

function newClient(stampMs: number, lastUsedIndex: number): Client {
  return { stampMs, lastUsedIndex, lowestKnown: 0, reach: 0, requests: new Map() };
}

function putClient(clientId: string, client: Client, batch: WriteBatch): void {
  const key = sessionClientKey(clientId);
  batch.put(
    key,
    sealValue(key, (body) => writeClient(body, client)),
  );
}

function clientBytes(clientId: string): number {
  return CLIENT_BYTES + utf8Length(clientId);
}

function chunkBytes({ encoded }: Chunk): number {
  return CHUNK_BYTES + encoded.length;
}

function chunkOf(index: number, encoded: Uint8Array): Chunk {
  const outcomes = decodeOutcomes(new ByteReader(encoded));
  const [ordinalMin, ordinalMax] = boundsOf(outcomes.map(({ ordinal }) => ordinal));
  return { index, ordinalMin, ordinalMax, encoded };
}

function boundsOf(ordinals: Iterable<number>): [min: number, max: number] {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const ordinal of ordinals) {
    min = Math.min(min, ordinal);
    max = Math.max(max, ordinal);
  }
  return [min, max];
}
