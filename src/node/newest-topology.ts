/**
 * What this node has not heard of may have been made a moment ago through another one: before that
 * is said to be missing the topology is refreshed, and where that cannot be done nothing definite
 * is said.
 */
import type { Deadline } from '../shared/deadline.js';
import { FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import type { TopologyGroup } from '../topology/topology-group.js';
import type { TopologyView } from '../topology/view.js';

export interface NewestTopologyOptions {
  readonly view: TopologyView;
  /** `undefined` while this node has no replica of the topology. */
  readonly topology: () => Pick<TopologyGroup, 'refresh'> | undefined;
}

/** A refresh that takes longer than this says more about the cluster than about the collection. */
const REFRESH_TIMEOUT_MAX_MS = 2_000;

export class NewestTopology {
  readonly #options: NewestTopologyOptions;

  constructor(options: NewestTopologyOptions) {
    this.#options = options;
  }

  /**
   * Rejects with NODE_NOT_READY where this node cannot learn what is newest: what it knows may be
   * as old as the cluster, and another node may know better.
   */
  async refresh({ timeoutMs, signal }: Deadline): Promise<void> {
    const topology = this.#options.topology();
    if (topology === undefined) throw outOfDate('its replica of the topology does not run');
    const patience = { timeoutMs: Math.min(timeoutMs / 2, REFRESH_TIMEOUT_MAX_MS), signal };
    await topology.refresh(patience).catch((thrown: unknown) => {
      const error = toFlotillaError(thrown);
      throw error.reason === 'CANCELLED' ? error : outOfDate(error.message, error);
    });
  }

  /** Tries again, once, where a newer topology may tell something else of a collection. */
  async tried<T>(deadline: Deadline, work: () => Promise<T>): Promise<T> {
    const epoch = this.#options.view.current()?.epoch;
    try {
      return await work();
    } catch (error) {
      if (!isFlotillaError(error)) throw error;
      if (!isAboutCollections(error) && !isAboutRouting(error)) throw error;
      await this.refresh(deadline);
      if (this.#options.view.current()?.epoch === epoch) throw error;
      return work();
    }
  }
}

/** Whether a collection of the name was not there, or not yet, or not any more. */
export function isAboutCollections({ reason }: FlotillaError): boolean {
  return reason === 'COLLECTION_NOT_FOUND' || reason === 'COLLECTION_NOT_READY';
}

const ROUTED_FIELDS: ReadonlySet<string | undefined> = new Set(['tenant', 'shardKey', 'shardKeys']);

/** Whether the request could be right for a collection of the name that is routed otherwise. */
function isAboutRouting({ reason, field }: FlotillaError): boolean {
  return reason === 'INVALID_REQUEST' && ROUTED_FIELDS.has(field);
}

function outOfDate(why: string, cause?: FlotillaError): FlotillaError {
  const message = `This node cannot tell what collections there are now: ${why}`;
  return new FlotillaError('NODE_NOT_READY', message, { cause });
}
