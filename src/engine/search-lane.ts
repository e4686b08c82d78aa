/**
 * The short way of plain searches to the engine's thread and back. Such a search takes as long as
 * two messages between threads do, so it goes as a frame of a ring, and its hits come as one. What
 * finds no room, or no answer in one turn, goes the way of all other calls.
 */
import type { ReadScope, SearchQuery } from './engine.js';
import { isPlain, type NamedHit, type PlainHit } from './plain-search.js';
import { readHits, readSearch, type SearchFrame, writeHits, writeSearch } from './search-frames.js';
import { SLICE_MS, type SliceEnvironment } from './slices.js';
import { newRing, RingReader, RingWriter } from './thread-ring.js';

/** Fifteen queries of the largest dimension, eighty of 768. */
const QUERIES_BYTES = 2 ** 18;
/** Some hundred answers of ten hits; answers of thousands of hits go as messages. */
const HITS_BYTES = 2 ** 17;

/**
 * The caller is woken after so many answers, or so long after the first of them, or when no more
 * searches wait than have been answered. A wake costs a tenth of a search; but with more than half
 * of what callers have under way the threads would take turns, each idle until the other has
 * finished a whole batch.
 */
const ANSWERS_PER_WAKE_MAX = 8;
const WAKE_AFTER_MS = 2;

/** A search or some, beside a graph insert or the apply of a batch, which take about as long. */
const GO_FIRST_MS = 0.5;

/** The memory that both threads see. */
export interface SearchLane {
  readonly queries: SharedArrayBuffer;
  readonly hits: SharedArrayBuffer;
}

export function newSearchLane(): SearchLane {
  return { queries: newRing(QUERIES_BYTES), hits: newRing(HITS_BYTES) };
}

/** The end of the thread that asks. */
export class SearchCaller {
  readonly #queries: RingWriter;
  readonly #hits: RingReader;
  readonly #wakeServer: () => void;

  /** `wakeServer` is to make the other end's `serve` be called, in any later turn. */
  constructor(lane: SearchLane, wakeServer: () => void) {
    this.#queries = new RingWriter(lane.queries);
    this.#hits = new RingReader(lane.hits);
    this.#wakeServer = wakeServer;
  }

  /** Sends the queries of a call, where they can go this way; returns whether they do. */
  send(id: number, scope: ReadScope, queries: readonly SearchQuery[]): boolean {
    const [query] = queries;
    if (query === undefined || queries.length > 1 || !isPlain(query)) return false;
    // Frames have no place for them.
    if (query.shardKeys !== undefined) return false;
    if (!writeSearch(this.#queries, id, scope, query)) return false;
    if (this.#queries.takeWake()) this.#wakeServer();
    return true;
  }

  /** Hands out all that has come. To be called whenever the other end wakes this one. */
  receive(take: (id: number, hits: PlainHit[]) => void): void {
    do {
      this.#hits.look();
      for (let place = this.#hits.next(); place !== undefined; place = this.#hits.next()) {
        const { id, hits } = readHits(this.#hits, place);
        this.#hits.release();
        take(id, hits);
      }
    } while (!this.#hits.sleep());
  }
}

export interface SearchServerOptions {
  readonly environment: SliceEnvironment;
  /** Answers a search at once, with the hits or by another way than the lane. */
  readonly search: (frame: SearchFrame) => readonly NamedHit[] | undefined;
  /** Answers a search by another way, whose hits find no room in the lane. */
  readonly answer: (frame: SearchFrame, hits: readonly NamedHit[]) => void;
  /** To make the other end's `receive` be called. */
  readonly wakeCaller: () => void;
}

/** The end of the engine's thread. */
export class SearchServer {
  readonly #queries: RingReader;
  readonly #hits: RingWriter;
  readonly #options: SearchServerOptions;
  /** Whether it is awake: a turn is scheduled, or under way. */
  #isServing = false;

  constructor(lane: SearchLane, options: SearchServerOptions) {
    this.#queries = new RingReader(lane.queries);
    this.#hits = new RingWriter(lane.hits);
    this.#options = options;
  }

  /** Whether searches wait. */
  get hasSearches(): boolean {
    return this.#queries.hasFrames;
  }

  /** To be called whenever the other end wakes this one. */
  serve(): void {
    if (!this.#isServing) this.#turn();
  }

  /**
   * Answers some of what waits by now: to be called before what they would wait for. Where there
   * are always some, that takes a part of the thread only, and what is to be done gets done.
   */
  goFirst(): void {
    if (this.hasSearches) this.#answerAll(GO_FIRST_MS);
  }

  /** Answers all that waits, whatever else does. */
  finish(): void {
    while (this.hasSearches) this.#answerAll(Number.POSITIVE_INFINITY);
  }

  /** Answers what waits by now, for a slice, then lets all else go first that came meanwhile. */
  #turn(): void {
    this.#answerAll(SLICE_MS);
    this.#isServing = !this.#queries.sleep();
    if (this.#isServing) this.#options.environment.scheduler.soon(() => this.#turn());
  }

  /** Up to the end of the search during which the time is over. */
  #answerAll(durationMs: number): void {
    const { clock } = this.#options.environment;
    this.#queries.look();
    const startMs = clock.monotonicMs();
    let wokenMs = startMs;
    let unannounced = 0;
    let unannouncedBytes = 0;
    for (let place = this.#queries.next(); place !== undefined; place = this.#queries.next()) {
      const frame = readSearch(this.#queries, place);
      unannouncedBytes += this.#queries.release();
      const hits = this.#options.search(frame);
      if (hits !== undefined && !writeHits(this.#hits, frame.id, hits)) {
        this.#options.answer(frame, hits);
      }
      unannounced++;
      const nowMs = clock.monotonicMs();
      const isWakeDue =
        unannounced === ANSWERS_PER_WAKE_MAX ||
        unannouncedBytes >= this.#queries.waitingBytes ||
        nowMs - wokenMs >= WAKE_AFTER_MS;
      if (isWakeDue) {
        this.#announce();
        unannounced = 0;
        unannouncedBytes = 0;
        wokenMs = nowMs;
      }
      if (nowMs - startMs >= durationMs) break;
    }
    if (unannounced > 0) this.#announce();
  }

  #announce(): void {
    if (this.#hits.takeWake()) this.#options.wakeCaller();
  }
}
