/**
 * Whether this node may get traffic: it belongs to a cluster, and every shard has a leader that has
 * applied an entry of its term. Checked in the background by a read barrier per shard, so that a
 * probe of /readyz costs nothing.
 */
import type { Environment, Timer } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import type { ShardEntry } from '../topology/document.js';

export interface ReadinessOptions {
  readonly environment: Environment;
  readonly shards: () => readonly ShardEntry[] | undefined;
  /** Resolves when the shard's leader has proved itself. */
  readonly probe: (shardId: number, timeoutMs: number) => Promise<void>;
  readonly onChange: (ready: boolean) => void;
}

const PERIOD_MS = 1_000;
const FIRST_PERIOD_MS = 100;
const PROBE_TIMEOUT_MS = 1_000;

export class Readiness {
  readonly #options: ReadinessOptions;
  #missing: readonly string[] = ['the node has not joined a cluster yet'];
  #timer: Timer | undefined;
  #closed = false;
  #notifyReady: () => void = () => undefined;
  /** Resolves the first time that the node is ready. */
  readonly firstReady: Promise<void>;

  constructor(options: ReadinessOptions) {
    this.#options = options;
    this.firstReady = new Promise((resolve) => {
      this.#notifyReady = resolve;
    });
  }

  get ready(): boolean {
    return this.#missing.length === 0;
  }

  /** What is missing, a sentence each. */
  get missing(): readonly string[] {
    return this.#missing;
  }

  start(): void {
    void this.#check();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#set(['the node is stopping']);
  }

  async #check(): Promise<void> {
    const shards = this.#options.shards();
    if (shards !== undefined) {
      const missing = await Promise.all(shards.map((shard) => this.#probe(shard)));
      if (this.#closed) return;
      this.#set(missing.filter((sentence) => sentence !== undefined));
    }
    const periodMs = this.ready ? PERIOD_MS : FIRST_PERIOD_MS;
    this.#timer = this.#options.environment.scheduler.after(periodMs, () => void this.#check());
  }

  async #probe({ shardId }: ShardEntry): Promise<string | undefined> {
    try {
      await this.#options.probe(shardId, PROBE_TIMEOUT_MS);
      return undefined;
    } catch (error) {
      return `shard ${shardId} does not serve: ${toFlotillaError(error).message}`;
    }
  }

  #set(missing: readonly string[]): void {
    const before = this.ready;
    this.#missing = missing;
    if (this.ready) this.#notifyReady();
    if (this.ready !== before) this.#options.onChange(this.ready);
  }
}
