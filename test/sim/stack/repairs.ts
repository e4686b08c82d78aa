/**
 * Goal: what operators do when a replica stays out, while things go wrong and after everything has
 * healed. Method: as the status tells them: a replica whose log is gone is reset. Any other has to
 * come back by itself.
 */

import type { GroupName } from '../../../src/server/backend.js';
import type { ClusterStatus, ShardStatus } from '../../../src/shared/codec/admin-messages.js';
import { type Scheduler, sleep } from '../../../src/shared/environment.js';
import type { Callee, ClientWire } from './client-wire.js';
import type { Machine } from './machine.js';
import type { Stack } from './stack.js';

/** Whoever looks after a cluster gives it time to help itself. */
const PATIENCE_MS = 10_000;
/** How often somebody looks while things go wrong. */
const ROUND_MS = 500;
const CALL_MS = 5_000;
const STOP_LIMIT_MS = 8_000;
const LOG_IS_GONE = /flotilla replica reset/;

export class Repairs {
  readonly #stack: Stack;
  readonly #scheduler: Scheduler;
  /** When something was last done for a group's replica on a machine. */
  readonly #doneMs = new Map<string, number>();
  #stopped = false;
  /** Calls that were accepted. */
  done = 0;

  constructor(stack: Stack, scheduler: Scheduler) {
    this.#stack = stack;
    this.#scheduler = scheduler;
  }

  /** Resets whatever the status says is to be reset, until `stop`. Never rejects. */
  async run(): Promise<void> {
    const { wire } = this.#stack;
    while (!this.#stopped) {
      await sleep(this.#scheduler, ROUND_MS);
      const [someone] = this.#stack.processes;
      if (this.#stopped || someone === undefined) continue;
      const status = await wire
        .call(someone, CALL_MS, ({ admin }, options) => admin.status(options))
        .catch(() => undefined);
      if (status !== undefined && !this.#stopped) this.#attendLost(status);
    }
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Does one thing where something is to be done. Whether it helps, the next status shows. */
  attend(status: ClusterStatus): void {
    for (const out of this.#outIn(status)) {
      if (!this.#hasTime(out, PATIENCE_MS)) continue;
      if (out.fault !== '' && !LOG_IS_GONE.test(out.fault)) continue;
      this.#reset(out);
      return;
    }
  }

  /** A log that is gone does not come back: nobody waits for it. */
  #attendLost(status: ClusterStatus): void {
    for (const out of this.#outIn(status)) {
      if (LOG_IS_GONE.test(out.fault) && this.#hasTime(out, ROUND_MS)) this.#reset(out);
    }
  }

  *#outIn(status: ClusterStatus): Iterable<OutReplica> {
    const groups = [
      { name: { kind: 'topology' } as const, group: status.topology },
      ...status.shards.map((group) => ({
        name: { kind: 'shard', shardId: group.shardId } as const,
        group,
      })),
    ];
    for (const { name, group } of groups) {
      const out = group.replicas.find(
        ({ state, fault }) => state === 'unreachable' || fault !== '',
      );
      const machine = this.#stack.machines.find(({ nodeId }) => nodeId === out?.nodeId);
      if (out === undefined || machine === undefined) continue;
      const { replicaId, fault } = out;
      yield { name, group, machine, replicaId, fault };
    }
  }

  #hasTime({ name, machine }: OutReplica, patienceMs: number): boolean {
    const doneMs = this.#doneMs.get(keyOf(name, machine)) ?? 0;
    const sinceMs = Math.max(machine.process?.startedMs ?? 0, doneMs);
    return this.#stack.world.nowMs - sinceMs > patienceMs;
  }

  /** A change that brings the very replica that is lost has to be given up first. */
  #reset({ name, group, machine, replicaId }: OutReplica): void {
    const { processes, world } = this.#stack;
    const { nodeId } = machine;
    this.#doneMs.set(keyOf(name, machine), world.nowMs);
    const other = processes.find((process) => process.nodeId !== nodeId);
    if (other === undefined) return;
    const { change } = group;
    if (change === undefined) {
      void this.#call(other, ({ admin }, options) =>
        admin.changeReplicas('reset', name, nodeId, options),
      );
    } else if (change.addReplicaId === replicaId && change.id > 0) {
      void this.#giveUp(machine, other, name, change.id);
    }
  }

  /** As the refusal to cancel says: of a node that answers, the new replica is waited for. */
  async #giveUp(machine: Machine, other: Callee, name: GroupName, changeId: number): Promise<void> {
    await machine.stop(STOP_LIMIT_MS);
    await this.#call(other, ({ admin }, options) =>
      admin.cancelReplicaChange(name, changeId, options),
    );
    machine.start();
  }

  async #call(callee: Callee, work: Parameters<ClientWire['call']>[2]): Promise<void> {
    try {
      await this.#stack.wire.call(callee, CALL_MS, work);
      this.done++;
    } catch {
      // Refused or lost: the next status shows whether it has to be done again.
    }
  }
}

/** A replica that takes no part, as a status tells. */
interface OutReplica {
  readonly name: GroupName;
  readonly group: ShardStatus;
  readonly machine: Machine;
  readonly replicaId: number;
  /** Empty where the node cannot be asked. */
  readonly fault: string;
}

function keyOf(name: GroupName, { nodeId }: Machine): string {
  return name.kind === 'topology' ? `topology on ${nodeId}` : `shard ${name.shardId} on ${nodeId}`;
}
