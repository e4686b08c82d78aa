/**
 * Tells the topology where this node is. A machine that was carried to another rack starts again
 * with another zone: its configuration is right, and what the topology says is old. So the node has
 * that changed and says so in its log; replicas stay where they are.
 */
import { type Environment, sleep } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { NodeEntry } from '../topology/document.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';

export interface ZoneAnnouncerOptions {
  readonly nodeId: number;
  /** What this node is configured with; undefined for none. */
  readonly zone: string | undefined;
  readonly view: Pick<TopologyView, 'current' | 'onChange'>;
  readonly topology: Pick<TopologyGroup, 'propose' | 'refresh'>;
  readonly environment: Environment;
  readonly logger: Logger;
}

const ATTEMPT_TIMEOUT_MS = 5_000;
const RETRY_DELAY_MS = 1_000;

/** Costs nothing but a look at each new document while both say the same. */
export class ZoneAnnouncer {
  readonly #options: ZoneAnnouncerOptions;
  readonly #stopping = new AbortController();
  readonly #stopWatching: () => void;
  #isAnnouncing = false;

  constructor(options: ZoneAnnouncerOptions) {
    this.#options = options;
    this.#stopWatching = options.view.onChange(() => this.#check());
    this.#check();
  }

  close(): void {
    this.#stopping.abort();
    this.#stopWatching();
  }

  #check(): void {
    const outdated = this.#outdated();
    if (outdated === undefined || this.#isAnnouncing) return;
    this.#isAnnouncing = true;
    const { logger, nodeId, zone } = this.#options;
    logger.warn(
      { nodeId, zone, zoneBefore: outdated.zone },
      'this node was in another zone before: the topology is told, replicas stay where they are',
    );
    void this.#announce().finally(() => {
      this.#isAnnouncing = false;
    });
  }

  /** What the topology has of this node, where that is not what it is configured with. */
  #outdated(): NodeEntry | undefined {
    const { view, nodeId, zone } = this.#options;
    const entry = view.current()?.nodes.find((node) => node.nodeId === nodeId);
    return entry?.zone === zone ? undefined : entry;
  }

  /** Again and again until this node sees it: the topology may have no leader for a while. */
  async #announce(): Promise<void> {
    const { environment, logger } = this.#options;
    const { signal } = this.#stopping;
    while (this.#outdated() !== undefined && !signal.aborted) {
      try {
        await this.#propose();
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error: String(error) }, 'the topology cannot be told the zone of this node');
        await sleep(environment.scheduler, RETRY_DELAY_MS, signal);
      }
    }
  }

  async #propose(): Promise<void> {
    const { topology, nodeId, zone } = this.#options;
    const deadline = { timeoutMs: ATTEMPT_TIMEOUT_MS, signal: this.#stopping.signal };
    const command = { kind: 'setNodeZone', nodeId, ...(zone !== undefined && { zone }) } as const;
    const result = await topology.propose(command, deadline);
    if (result.kind === 'refused') throw FlotillaError.fromBody(result.error);
    await topology.refresh(deadline);
  }
}
