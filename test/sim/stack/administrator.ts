/**
 * Goal: replicas and leaders change under load, and a machine loses its disk.
 *
 * Method: the calls that `flotilla replica` and `flotilla leader` make, at random. Most may be
 * refused, none may break anything, and what has begun must come to its end.
 */

import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import type { CallOptions, GroupName } from '../../../src/server/backend.js';
import type { ClusterStatus } from '../../../src/shared/codec/admin-messages.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import { type FlotillaError, isFlotillaError } from '../../../src/shared/errors.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Findings } from './findings.js';
import type { Machine } from './machine.js';

/**
 * What changes in a run. `members`: replicas are added, removed and replaced. `wipe`: one machine
 * loses its disk, once; nothing else may take replicas away then, for two losses can be too many.
 */
export type Churn = 'none' | 'leaders' | 'members' | 'wipe';

export interface AdministratorOptions {
  readonly churn: Churn;
  readonly pauseMs: number;
  readonly scheduler: Scheduler;
  readonly random: SimRandom;
  readonly wire: ClientWire;
  readonly findings: Findings;
  readonly machines: readonly Machine[];
  readonly shards: number;
  readonly nodes: () => readonly Callee[];
}

const CALL_MS = 5_000;
const RETRY_MS = 300;
const OUTAGE_MEAN_MS = 500;

export class Administrator {
  readonly #options: AdministratorOptions;
  #stopped = false;
  /** The machine whose disk was lost, until the cluster knows it again. */
  #wiped: Machine | undefined;
  /** Calls that were answered. */
  done = 0;
  wipes = 0;

  constructor(options: AdministratorOptions) {
    this.#options = options;
  }

  /** Whether a machine waits for its readmission. */
  get isBusy(): boolean {
    return this.#wiped !== undefined;
  }

  /** Works until `stop`; a readmission that has begun is brought to its end. Never rejects. */
  async run(): Promise<void> {
    const { scheduler, random, pauseMs, churn } = this.#options;
    if (churn === 'none') return;
    while (!this.#stopped) {
      await sleep(scheduler, random.exponential(pauseMs));
      if (this.#stopped) return;
      if (churn === 'wipe' && this.wipes === 0) await this.#wipe();
      else if (churn === 'members' && random.chance(0.6)) await this.#changeReplicas();
      else await this.#changeLeader();
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  async #changeLeader(): Promise<void> {
    const { random } = this.#options;
    const action = random.pick(['transfer', 'transfer', 'step-down', 'elect'] as const);
    const group = this.#someGroup();
    const nodeId = random.chance(0.3) ? 0 : this.#someNodeId();
    await this.#call(({ admin }, options) => admin.changeLeader(action, group, nodeId, options));
  }

  async #changeReplicas(): Promise<void> {
    const { random } = this.#options;
    const action = random.pick(['add', 'add', 'remove', 'reset', 'cancel'] as const);
    const group = this.#someGroup();
    const nodeId = this.#someNodeId();
    if (action === 'cancel') return this.#cancelReplicaChange(group);
    await this.#call(({ admin }, options) => admin.changeReplicas(action, group, nodeId, options));
  }

  /** Gives up the change that the status shows; it may be over by then. */
  async #cancelReplicaChange(name: GroupName): Promise<void> {
    const status = await this.#call(({ admin }, options) => admin.status(options));
    const group =
      name.kind === 'topology'
        ? status?.topology
        : status?.shards.find(({ shardId }) => shardId === name.shardId);
    const changeId = group?.change?.id ?? 0;
    if (changeId === 0) return;
    await this.#call(({ admin }, options) => admin.cancelReplicaChange(name, changeId, options));
  }

  /** Only while every replica is well: a second loss would be more than a group can bear. */
  async #wipe(): Promise<void> {
    const { random, machines, scheduler } = this.#options;
    const status = await this.#call(({ admin }, options) => admin.status(options));
    if (status === undefined || !isWhole(status)) return;
    const machine = random.pick(machines);
    this.wipes++;
    this.#wiped = machine;
    machine.crash('machine');
    machine.disk.loseAll();
    await sleep(scheduler, random.exponential(OUTAGE_MEAN_MS));
    machine.start();
    const { nodeId } = machine;
    for (;;) {
      const answer = await this.#call(({ admin }, options) => admin.readmitNode(nodeId, options));
      if (answer !== undefined) break;
      await sleep(scheduler, RETRY_MS);
    }
    this.#wiped = undefined;
  }

  async #call<T>(
    work: (endpoints: EndpointsOptions, options: CallOptions) => Promise<T>,
  ): Promise<T | undefined> {
    const { random, wire, nodes, findings } = this.#options;
    const others = nodes().filter(({ nodeId }) => nodeId !== this.#wiped?.nodeId);
    if (others.length === 0) return undefined;
    try {
      const answer = await wire.call(random.pick(others), CALL_MS, work);
      this.done++;
      return answer;
    } catch (thrown) {
      if (isUnexpected(thrown)) findings.report('errors are known', describe(thrown));
      return undefined;
    }
  }

  #someGroup(): GroupName {
    const { random, shards } = this.#options;
    const shardId = random.integer(-1, shards - 1);
    return shardId < 0 ? { kind: 'topology' } : { kind: 'shard', shardId };
  }

  #someNodeId(): number {
    return this.#options.random.pick(this.#options.machines).nodeId;
  }
}

/** Whether every replica of every group is well, and none is changing. */
export function isWhole({ topology, shards, healthy }: ClusterStatus): boolean {
  return healthy && [topology, ...shards].every(({ change }) => change === undefined);
}

function isUnexpected(thrown: unknown): thrown is Error {
  return !isFlotillaError(thrown) || thrown.reason === 'INTERNAL';
}

function describe(thrown: Error | FlotillaError): string {
  return thrown.stack ?? thrown.message;
}
