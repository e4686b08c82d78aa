/** How often each store is known to have been opened, so that no older process of it comes back. */
import { FlotillaError } from '../shared/errors.js';
import type { PeerIdentity } from './transport.js';

/**
 * The newest incarnation that greeted, by store. A data directory counts its opens durably: a
 * smaller number can only come from a copy of it, whose votes and acknowledgements are older than
 * those that were given since (M8). Forgotten with the process, since the copy may be all there is.
 */
export class Incarnations {
  readonly #newest = new Map<string, number>();

  /** 0 before the store's first greeting. */
  newestOf(storeId: string): number {
    return this.#newest.get(storeId) ?? 0;
  }

  /** A greeting of this process was accepted; `refusalOf` had nothing against it. */
  note({ storeId, incarnation }: PeerIdentity): void {
    this.#newest.set(storeId, incarnation);
  }

  /** WRONG_STORE where a newer process of the store has greeted; `undefined` where none has. */
  refusalOf({ nodeId, storeId, incarnation }: PeerIdentity): FlotillaError | undefined {
    const newest = this.newestOf(storeId);
    if (incarnation >= newest) return undefined;
    const message =
      `another process with a newer incarnation of node ${nodeId} has been seen (${newest}, this ` +
      `one is ${incarnation}): two processes run on copies of one data directory, or a directory ` +
      'was restored from a copy. Stop this process; where no other is left, start the node on an ' +
      `empty directory and run: flotilla node readmit --node ${nodeId}`;
    return new FlotillaError('WRONG_STORE', message);
  }
}
