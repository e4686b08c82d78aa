import type { Clients } from './clients.js';
import type { CoreCluster } from './cluster.js';
import { membersOf } from './invariants/quorums.js';
import type { Membership } from './membership.js';
import type { Nemesis } from './nemesis.js';
import { InvariantViolation } from './observer.js';
import { ELECTION_TIMEOUT_MS } from './sim-replica.js';

const NAME = 'Liveness';
const CONVERGE_WITHIN_MS = 120 * ELECTION_TIMEOUT_MS;
const SERVE_WITHIN_MS = 30 * ELECTION_TIMEOUT_MS;
const REPAIR_EVERY_MS = 500;
const CALLS = 10;

/**
 * The second half of a run: nothing goes wrong any more, and nobody writes at first, since a write
 * would free what a quiet group leaves stuck. Within a bound everyone has the same log under one
 * leader, in a configuration that is not joint; then writes and reads succeed.
 */
export class Liveness {
  readonly #cluster: CoreCluster;
  readonly #membership: Membership;
  readonly #clients: Clients;

  constructor(cluster: CoreCluster, membership: Membership, clients: Clients) {
    this.#cluster = cluster;
    this.#membership = membership;
    this.#clients = clients;
  }

  run(nemesis: Nemesis): void {
    this.#clients.stop();
    nemesis.stop();
    this.#repairAgain();
    this.#until(CONVERGE_WITHIN_MS, () => this.#whatIsMissing());
    this.#serve();
    this.#until(CONVERGE_WITHIN_MS, () => this.#whatIsMissing());
  }

  #repairAgain(): void {
    this.#membership.repair();
    this.#membership.reap();
    this.#cluster.world.schedule(REPAIR_EVERY_MS, () => this.#repairAgain());
  }

  /** Undefined when the group is as it should be. */
  #whatIsMissing(): string | undefined {
    const leader = this.#cluster.leader();
    const status = leader?.node?.basicStatus();
    if (leader === undefined || status === undefined) return 'nobody leads';
    const { confState, lastIndex, hardState } = status;
    if (confState.votersOutgoing.length > 0) return 'the configuration is joint';
    if (this.#membership.isDegraded) return 'a lost replica still counts';
    for (const id of membersOf(confState)) {
      const member = this.#cluster.replica(id)?.node?.basicStatus();
      if (member === undefined) return `replica ${id} does not run`;
      const differs =
        member.hardState.term !== hardState.term ||
        member.hardState.commit !== lastIndex ||
        member.lastIndex !== lastIndex ||
        this.#cluster.replica(id)?.registers?.applied !== lastIndex;
      if (differs) {
        return (
          `replica ${id} is at term ${member.hardState.term}, commit ${member.hardState.commit}, ` +
          `last ${member.lastIndex}; leader ${leader.id} at term ${hardState.term}, ` +
          `commit ${hardState.commit}, last ${lastIndex}`
        );
      }
    }
    return undefined;
  }

  #serve(): void {
    this.#clients.patienceMs = 4 * ELECTION_TIMEOUT_MS;
    let answered = 0;
    const callUntilAnswered = (isRead: boolean): void =>
      this.#clients.callOnce(0, isRead, (ok) => {
        if (ok) answered += 1;
        else
          this.#cluster.world.schedule(ELECTION_TIMEOUT_MS / 10, () => callUntilAnswered(isRead));
      });
    for (let call = 0; call < 2 * CALLS; call += 1) callUntilAnswered(call % 2 === 1);
    this.#until(SERVE_WITHIN_MS, () =>
      answered === 2 * CALLS ? undefined : `${answered} of ${2 * CALLS} calls are answered`,
    );
  }

  #until(limitMs: number, whatIsMissing: () => string | undefined): void {
    const { world } = this.#cluster;
    const endMs = world.nowMs + limitMs;
    let missing = whatIsMissing();
    // Looked at now and then: looking costs more than a step.
    for (let step = 0; missing !== undefined; step += 1) {
      if (world.nowMs > endMs || !world.step()) {
        throw new InvariantViolation(NAME, `after ${limitMs} ms of peace ${missing}`);
      }
      if (step % 50 === 0) missing = whatIsMissing();
    }
  }
}
