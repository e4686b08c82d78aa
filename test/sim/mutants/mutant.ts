import type { SimulatorName } from '../simulators.js';

/**
 * A bug that an implementation of Raft really had, or that what is around it could have, as a
 * change of our source. Production code knows nothing of it: the runner patches a copy.
 */
export interface Mutant {
  /** X-1 and so on; docs/rules.md lists them. */
  readonly id: string;
  readonly name: string;
  /** Below the root of the repository. */
  readonly file: string;
  /** Occurs exactly once in the file; a test holds that. */
  readonly find: string;
  readonly replace: string;
  /** A safety mutant breaks an invariant; a liveness mutant keeps the group from getting well. */
  readonly kind: 'safety' | 'liveness';
  readonly simulator: SimulatorName;
}
