/**
 * What makes a retried write apply once (A7): the outcomes of each
 * client's requests by ordinal, as part of the replicated state. Everything here follows from the
 * log alone: who is forgotten, and when, is the same on all replicas.
 */
import { ByteReader, utf8Length } from '../shared/bytes.js';
import type { RequestKey } from '../shared/codec/command.js';
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
  readonly requests: Map<number, Chunk[]>;
}

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

  /** The outcomes that are recorded for ordinals of the request; empty for a new request. */
  recorded(key: RequestKey, ordinals: readonly number[]): Map<number, WriteOutcome> {
    const recorded = new Map<number, WriteOutcome>();
    const chunks = this.#clients.get(key.clientId)?.requests.get(key.sequence) ?? [];
    const wanted = new Set(chunks.length > 0 ? ordinals : []);
    const [min, max] = boundsOf(wanted);
    for (const chunk of chunks) {
      if (chunk.ordinalMax < min || chunk.ordinalMin > max) continue;
      for (const { ordinal, outcome } of decodeOutcomes(new ByteReader(chunk.encoded))) {
        if (wanted.has(ordinal)) recorded.set(ordinal, outcome);
      }
    }
    return recorded;
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
    const clientKey = sessionClientKey(key.clientId);
    batch.put(
      clientKey,
      sealValue(clientKey, (body) => writeClient(body, client)),
    );
  }

  /** The client, made the most recently used one. */
  #touch(key: RequestKey, index: number): Client {
    const known = this.#clients.get(key.clientId);
    if (known === undefined) {
      return this.#addClient(key.clientId, {
        stampMs: key.clientStampMs,
        lastUsedIndex: index,
        lowestKnown: 0,
        requests: new Map(),
      });
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

  /** Forgets clients, the least recently used first, while there is too much of anything. */
  #evictOthers(clientId: string, batch: WriteBatch): void {
    const { clientsMax, bytesMax } = this.#limits;
    for (const [otherId, other] of this.#clients) {
      if (this.#clients.size <= clientsMax && this.#bytes <= bytesMax) return;
      if (otherId === clientId) return;
      this.#forgetBelow(otherId, other, Number.POSITIVE_INFINITY, batch);
      this.#clients.delete(otherId);
      this.#bytes -= clientBytes(otherId);
      batch.delete(sessionClientKey(otherId));
      this.#watermarkMs = Math.max(this.#watermarkMs, other.stampMs);
      const value = sealValue(SESSION_WATERMARK_KEY, (body) => body.varint(this.#watermarkMs));
      batch.put(SESSION_WATERMARK_KEY, value);
    }
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
