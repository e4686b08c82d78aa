/** Asking for the table that a replica has and this node has not, in place of waiting for it. */
import type { Clock } from '../shared/environment.js';
import type { FlotillaError } from '../shared/errors.js';
import { ownershipVersions } from '../topology/routes.js';
import type { TopologyView } from '../topology/view.js';

/** From the beginning of one refresh to that of the next, at least: four a second. */
export const REFRESH_PAUSE_MS = 250;

export interface TopologyRefreshOptions {
  readonly view: Pick<TopologyView, 'current'>;
  readonly clock: Clock;
  /** See `RouterOptions.refreshTopology`. */
  readonly refresh: (() => Promise<void>) | undefined;
}

/**
 * Changes of the topology are pushed, and most calls that meet one are refused for a moment only.
 * Where a push does not come, calls would be refused until it does, though other nodes know better.
 */
export class TopologyRefresh {
  readonly #options: TopologyRefreshOptions;
  #isUnderWay = false;
  #begunMs = Number.NEGATIVE_INFINITY;

  constructor(options: TopologyRefreshOptions) {
    this.#options = options;
  }

  /**
   * A replica has refused a call for its table (STALE_TOPOLOGY). Where the replica's is newer than
   * all that this node knows a refresh is begun, one at a time for however many calls; what that
   * brings comes to the view, as pushes do, and ends their pauses. Where this node has the newer
   * one the replica has to learn, and nobody is asked; nor where it does not say which it has.
   */
  noteRefused(refusal: FlotillaError): void {
    const { clock, refresh } = this.#options;
    if (refresh === undefined || this.#isUnderWay || !this.#isNews(refusal)) return;
    const nowMs = clock.monotonicMs();
    if (nowMs - this.#begunMs < REFRESH_PAUSE_MS) return;
    this.#begunMs = nowMs;
    this.#isUnderWay = true;
    void refresh()
      // The calls go on as they would have without it.
      .catch(() => undefined)
      .finally(() => {
        this.#isUnderWay = false;
      });
  }

  #isNews({ body: { details } }: FlotillaError): boolean {
    const document = this.#options.view.current();
    const known = document && ownershipVersions(document).get(Number(details?.shardId));
    return known !== undefined && Number(details?.ownershipVersion) > known;
  }
}
