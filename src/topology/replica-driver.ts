/**
 * Drives changes of replicas to their end, as `CollectionDriver` does for collections:
 *
 *     adding       the node opens a blank replica by itself; the group takes it in as a learner
 *     catching-up  it gets the log, or a snapshot and the rest of the log
 *     switching    one change of the configuration lets it vote and removes the old one (M1)
 *                  and a majority of those who vote then has that synced (M12)
 *     over         the document lists the new replica; nodes drop what they hold of the old one
 *
 * A blank replica starts from the group's first configuration, of which it is no part: it cannot
 * campaign, and what it answers counts for nothing before the group's own log says that it is a
 * member (M8).
 *
 * The state is in the topology document, each step may be taken twice, and only the topology's
 * leader takes them. A leader that was replaced without knowing may still have a step on its way:
 * before it changes a group it reads the group's configuration, then proves that it leads, and its
 * order is void as soon as the configuration is another than the one that was read (M10).
 */
import { type Environment, sleep } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import type { GroupMember } from '../storage/log-store.js';
import type { ReplicaChange } from './document.js';
import {
  type GroupControl,
  type GroupState,
  survivalRisk,
  unsyncedVoters,
} from './group-control.js';
import { checkAgainAndAgain } from './recurring-check.js';
import { groupName, type ReplicaGroup, replicaGroup, replicaGroups } from './replica-group.js';
import { nextReplicaStep, type ReplicaStep } from './replica-steps.js';
import { isSameChange } from './replica-transitions.js';
import type { TopologyGroup } from './topology-group.js';
import type { TopologyView } from './view.js';

export interface ReplicaDriverOptions {
  readonly view: TopologyView;
  readonly topology: Pick<TopologyGroup, 'isLeader' | 'propose' | 'refresh'>;
  readonly control: GroupControl;
  readonly environment: Environment;
  readonly logger: Logger;
}

const STEP_TIMEOUT_MS = 5_000;
const CHECK_PERIOD_MS = 250;
const DURABLE_CHECKS_MAX = 10;
const DURABLE_CHECK_PAUSE_MS = 50;

export class ReplicaDriver {
  readonly #options: ReplicaDriverOptions;
  readonly #driving = new Set<number>();
  /** What was last said of a group, so that it is said once. */
  readonly #said = new Map<number, string>();
  readonly #stopChecks: () => void;
  #closed = false;

  constructor(options: ReplicaDriverOptions) {
    this.#options = options;
    const { view, environment } = options;
    const when = { view, scheduler: environment.scheduler, periodMs: CHECK_PERIOD_MS };
    this.#stopChecks = checkAgainAndAgain(when, () => this.#check());
  }

  close(): void {
    this.#closed = true;
    this.#stopChecks();
  }

  #check(): void {
    const document = this.#options.view.current();
    if (document === undefined || !this.#options.topology.isLeader) return;
    for (const { groupId, change } of replicaGroups(document)) {
      if (change === undefined || this.#driving.has(groupId)) continue;
      this.#driving.add(groupId);
      this.#drive(groupId)
        .catch((error: unknown) => this.#say(groupId, String(error)))
        .finally(() => this.#driving.delete(groupId));
    }
  }

  /** Takes one step after the other until there is nothing to do but wait. */
  async #drive(groupId: number): Promise<void> {
    const { control, topology } = this.#options;
    while (!this.#closed && topology.isLeader) {
      const group = this.#groupNow(groupId);
      if (group?.change === undefined) break;
      const { change } = group;
      const state = await control.state(groupId, { timeoutMs: STEP_TIMEOUT_MS });
      const step = nextReplicaStep(group, change, state);
      if (step.kind === 'wait') {
        if (step.problem !== undefined) this.#say(groupId, step.problem);
        return;
      }
      if (step.kind === 'advance' && step.onceDurable && !(await this.#isDurable(state, groupId))) {
        return;
      }
      await this.#take(step, group, change, state);
    }
    this.#said.delete(groupId);
  }

  async #take(
    step: Exclude<ReplicaStep, { kind: 'wait' }>,
    group: ReplicaGroup,
    change: ReplicaChange,
    state: GroupState,
  ): Promise<void> {
    if (step.kind === 'advance') return this.#advance(group, change);
    const { control } = this.#options;
    const { groupId } = group;
    const deadline = { timeoutMs: STEP_TIMEOUT_MS };
    if (step.handOverFirst && (await this.#handOver(groupId))) return;
    if (!(await this.#isStillOurs(groupId, change))) return;
    const { configurationIndex: expectedIndex } = state;
    const members = this.#membersOf(change);
    await control.reconfigure(groupId, { expectedIndex, steps: step.steps, members }, deadline);
    if (step.thenAdvance) await this.#advance(group, change);
  }

  /**
   * Gives all voters a moment, an append and a sync, then is content with a majority: the others
   * may be down. One that is behind with the longer log could still be missed by a majority that
   * loses one of its own for good later.
   */
  async #isDurable(state: GroupState, groupId: number): Promise<boolean> {
    const { control, environment } = this.#options;
    for (let asked = 1; ; asked++) {
      const durable = await control.durableVoters(groupId, { timeoutMs: STEP_TIMEOUT_MS });
      if (unsyncedVoters(state, durable).length === 0) return true;
      if (asked === DURABLE_CHECKS_MAX || this.#closed) {
        const risk = survivalRisk(state, durable);
        if (risk !== undefined) this.#say(groupId, risk);
        return risk === undefined;
      }
      await sleep(environment.scheduler, DURABLE_CHECK_PAUSE_MS);
    }
  }

  /** Saves the time of an election. A leader that finds no heir is removed all the same (M7). */
  async #handOver(groupId: number): Promise<boolean> {
    try {
      await this.#options.control.transfer(groupId, undefined, { timeoutMs: STEP_TIMEOUT_MS });
      return true;
    } catch (error) {
      this.#say(groupId, `the leader that goes could not hand over first: ${String(error)}`);
      return false;
    }
  }

  /** Whether this node led the topology, and the change was the same, after the call had begun. */
  async #isStillOurs(groupId: number, change: ReplicaChange): Promise<boolean> {
    const { topology } = this.#options;
    await topology.refresh({ timeoutMs: STEP_TIMEOUT_MS });
    return topology.isLeader && isSameChange(this.#groupNow(groupId)?.change, change);
  }

  async #advance(group: ReplicaGroup, change: ReplicaChange): Promise<void> {
    const { topology, logger } = this.#options;
    const { groupId } = group;
    const deadline = { timeoutMs: STEP_TIMEOUT_MS };
    await topology.propose({ kind: 'advanceReplicaChange', groupId, change }, deadline);
    await topology.refresh(deadline);
    const stage = this.#groupNow(groupId)?.change?.stage ?? 'over';
    logger.info({ groupId, change, stage }, `the replicas of ${groupName(group)} change`);
  }

  #membersOf({ add }: ReplicaChange): GroupMember[] {
    const nodes = this.#options.view.current()?.nodes ?? [];
    return nodes
      .filter(({ nodeId }) => nodeId === add?.nodeId)
      .map(({ nodeId, storeId }) => ({ replicaId: add?.replicaId ?? 0, nodeId, storeId }));
  }

  #groupNow(groupId: number): ReplicaGroup | undefined {
    const document = this.#options.view.current();
    return document && replicaGroup(document, groupId);
  }

  #say(groupId: number, problem: string): void {
    if (this.#closed || this.#said.get(groupId) === problem) return;
    this.#said.set(groupId, problem);
    this.#options.logger.warn(
      { groupId, problem },
      'a change of replicas is not through yet; it is tried again',
    );
  }
}
