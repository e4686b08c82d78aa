import type { World } from '../kit/world.js';
import { NO_CONFIGURATION } from './cluster.js';
import { BoundedMemory } from './invariants/bounded-memory.js';
import { CampaignSafety } from './invariants/campaign-safety.js';
import { CommittedImmutable } from './invariants/committed-immutable.js';
import { CommittedLog } from './invariants/committed-log.js';
import { CommittedOnQuorum } from './invariants/committed-on-quorum.js';
import { ConfigSafety } from './invariants/config-safety.js';
import { DurablePromise } from './invariants/durable-promise.js';
import { ElectionSafety } from './invariants/election-safety.js';
import { IndexOrder } from './invariants/index-order.js';
import { LeaderAppendOnly } from './invariants/leader-append-only.js';
import { LeaderCompleteness } from './invariants/leader-completeness.js';
import { LeaseSafety } from './invariants/lease-safety.js';
import { LogMatching } from './invariants/log-matching.js';
import { MonotonicState } from './invariants/monotonic-state.js';
import { ProgressSanity } from './invariants/progress-sanity.js';
import { StateMachineSafety } from './invariants/state-machine-safety.js';
import type { Observer } from './observer.js';
import { Oracle } from './oracle.js';
import type { SimReplica } from './sim-replica.js';
import type { Swarm } from './swarm.js';

/** Reads that were confirmed wait for what is applied; no core bounds those. */
const CONFIRMED_READS_MAX = 1_000;

/** Everything that watches a run, one class per invariant. Some share what they know. */
export class Checks {
  readonly configurations: ConfigSafety;
  readonly oracle: Oracle;
  readonly all: readonly Observer[];
  readonly #elections = new ElectionSafety();
  readonly #leases: LeaseSafety;

  constructor(world: World, swarm: Swarm, replicaOf: (id: number) => SimReplica | undefined) {
    const committed = new CommittedLog();
    const matching = new LogMatching();
    const voters = Array.from({ length: swarm.voters }, (_, at) => at + 1);
    this.configurations = new ConfigSafety({ ...NO_CONFIGURATION, voters });
    this.oracle = new Oracle(swarm.workload.keys);
    this.#leases = new LeaseSafety(committed);
    const readsMax = 3 * swarm.maxPendingReads + CONFIRMED_READS_MAX;
    this.all = [
      matching,
      this.#elections,
      new LeaderCompleteness(committed),
      new CommittedOnQuorum(committed, matching, replicaOf),
      new CommittedImmutable(committed),
      new StateMachineSafety(committed),
      new LeaderAppendOnly(),
      new MonotonicState(),
      new IndexOrder(),
      new DurablePromise(),
      this.configurations,
      new CampaignSafety(),
      new ProgressSanity(swarm.maxInflightMessages, replicaOf),
      this.#leases,
      new BoundedMemory(readsMax, () => world.pendingEvents),
      this.oracle,
    ];
  }

  /** What only they have counted. */
  get seen(): { leaders: number; configurations: number; leasedReads: number } {
    return {
      leaders: this.#elections.ledTerms,
      configurations: this.configurations.count,
      leasedReads: this.#leases.reads,
    };
  }
}
