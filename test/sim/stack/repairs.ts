/**
 * Goal: what operators do when a replica stays out after everything has healed. Method: as the
 * status tells them: a replica whose log is gone is reset. Any other has to come back by itself.
 */

import type { GroupName } from '../../../src/server/backend.js';
import type { ClusterStatus, ShardStatus } from '../../../src/shared/codec/admin-messages.js';
import type { Machine } from './machine.js';
import type { Stack } from './stack.js';

/** Whoever looks after a cluster gives it time to help itself. */
const PATIENCE_MS = 10_000;
const CALL_MS = 5_000;
const LOG_IS_GONE = /flotilla replica reset/;

export class Repairs {
  readonly #stack: Stack;
  /** When something was last done for a machine. */
  readonly #doneMs = new Map<Machine, number>();

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** Does one thing where something is to be done. Whether it helps, the next status shows. */
  attend(status: ClusterStatus): void {
    const { machines, world } = this.#stack;
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
      const machine = machines.find(({ nodeId }) => nodeId === out?.nodeId);
      if (out === undefined || machine === undefined || !this.#hasTime(machine)) continue;
      if (out.fault !== '' && !LOG_IS_GONE.test(out.fault)) continue;
      this.#doneMs.set(machine, world.nowMs);
      this.#reset(name, group, machine);
      return;
    }
  }

  #hasTime(machine: Machine): boolean {
    const sinceMs = Math.max(machine.process?.startedMs ?? 0, this.#doneMs.get(machine) ?? 0);
    return this.#stack.world.nowMs - sinceMs > PATIENCE_MS;
  }

  #reset(name: GroupName, { change }: ShardStatus, { nodeId }: Machine): void {
    const { processes, wire } = this.#stack;
    const other = processes.find((process) => process.nodeId !== nodeId);
    if (change !== undefined || other === undefined) return;
    wire
      .call(other, CALL_MS, ({ admin }, options) =>
        admin.changeReplicas('reset', name, nodeId, options),
      )
      .catch(() => undefined);
  }
}
