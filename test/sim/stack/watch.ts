/**
 * Goal: what must hold between nodes at every moment, seen without asking them.
 *
 * Method: every node logs to here and applies its entries under this eye, so each new fact meets
 * what is known of the others, in O(1).
 */

import type { CommandResult } from '../../../src/engine/engine.js';
import { crc32c } from '../../../src/shared/crc32c.js';
import type { Logger } from '../../../src/shared/logger.js';
import type { CommittedEntry } from '../../../src/shared/state-machine.js';
import type { Findings } from './findings.js';

export interface LogLine {
  readonly atMs: number;
  readonly nodeId: number;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: object;
}

interface Leader {
  readonly term: number;
  readonly replicaId: number;
  readonly nodeId: number;
}

/** One entry of a shard, as the first replica applied it. */
interface AppliedEntry {
  readonly term: number;
  readonly checksum: number;
  readonly result: string;
}

const LINES_MAX = 400;
const INSTALLED = 'a snapshot is installed';
const BECAME_LEADER = /^(\d+) became leader at term (\d+)$/;
/** Reasons for a replica to stop that no simulated fault explains. */
const UNEXPLAINED = new Set(['INTERNAL', 'LOG_DAMAGED', 'UNSUPPORTED_VERSION']);

export class StackWatch {
  readonly #findings: Findings;
  readonly #nowMs: () => number;
  readonly #lines: LogLine[] = [];
  /** The leaders of all terms by group. */
  readonly #leaders = new Map<number, Map<number, Leader>>();
  readonly #newest = new Map<number, Leader>();
  readonly #applied = new Map<number, AppliedEntry[]>();
  elections = 0;
  installs = 0;

  constructor(findings: Findings, nowMs: () => number) {
    this.#findings = findings;
    this.#nowMs = nowMs;
  }

  /** The last lines that the nodes logged, oldest first. */
  get lines(): readonly LogLine[] {
    return this.#lines;
  }

  /** Groups that ever had a leader. */
  get groups(): readonly number[] {
    return [...this.#leaders.keys()];
  }

  /** The node that was the last to become the group's leader. */
  leaderOf(groupId: number): number | undefined {
    return this.#newest.get(groupId)?.nodeId;
  }

  /** A logger for one run of a node's process; `isAlive` says whether it still runs. */
  logger(nodeId: number, isAlive: () => boolean, bound: object = {}): Logger {
    const write = (level: LogLine['level']) => (fields: object, message: string) => {
      if (isAlive()) this.#note(nodeId, level, { ...bound, ...fields }, message);
    };
    return {
      debug: write('debug'),
      info: write('info'),
      warn: write('warn'),
      error: write('error'),
      child: (fields) => this.logger(nodeId, isAlive, { ...bound, ...fields }),
    };
  }

  /** A replica has applied entries; all replicas must apply the same ones with the same results. */
  applied(
    shard: { readonly shardId: number; readonly nodeId: number },
    entries: readonly CommittedEntry[],
    results: readonly CommandResult[],
  ): void {
    const { shardId, nodeId } = shard;
    const known = this.#applied.get(shardId) ?? [];
    this.#applied.set(shardId, known);
    entries.forEach(({ index, term, data }, at) => {
      const now = { term, checksum: crc32c(data), result: textOf(results[at]) };
      const before = known[index];
      known[index] = before ?? now;
      if (before === undefined) return;
      const isSame = before.term === term && before.checksum === now.checksum;
      const where = `entry ${index} of shard ${shardId} on node ${nodeId}`;
      if (!isSame) {
        this.#findings.report('state machine safety', `${where} is another one than elsewhere`);
      } else if (before.result !== now.result) {
        const message = `${where} gives ${now.result}, elsewhere ${before.result}`;
        this.#findings.report('deterministic apply', message);
      }
    });
  }

  #note(nodeId: number, level: LogLine['level'], fields: object, message: string): void {
    const line = { atMs: this.#nowMs(), nodeId, level, message, fields };
    this.#lines.push(line);
    if (this.#lines.length > 2 * LINES_MAX) this.#lines.splice(0, LINES_MAX);
    if (message === INSTALLED) this.installs++;
    const leader = BECAME_LEADER.exec(message);
    const groupId = fieldOf(fields, 'groupId');
    if (leader !== null && typeof groupId === 'number') {
      this.#newLeader(groupId, {
        term: Number(leader[2]),
        replicaId: Number(leader[1]),
        nodeId,
      });
    }
    const reason = fieldOf(fields, 'reason');
    if (level === 'error' && typeof reason === 'string' && UNEXPLAINED.has(reason)) {
      const stack = fieldOf(fields, 'stack');
      this.#findings.report('no broken invariants', `node ${nodeId}: ${message}\n${stack ?? ''}`);
    }
  }

  #newLeader(groupId: number, leader: Leader): void {
    this.elections++;
    const terms = this.#leaders.get(groupId) ?? new Map<number, Leader>();
    this.#leaders.set(groupId, terms);
    const before = terms.get(leader.term);
    if (before !== undefined && before.replicaId !== leader.replicaId) {
      const both = `replicas ${before.replicaId} and ${leader.replicaId}`;
      const message = `${both} both lead group ${groupId} in term ${leader.term}`;
      this.#findings.report('one leader per term', message);
    }
    terms.set(leader.term, leader);
    const newest = this.#newest.get(groupId);
    if (newest === undefined || newest.term <= leader.term) this.#newest.set(groupId, leader);
  }
}

function fieldOf(fields: object, name: string): unknown {
  return (fields as Readonly<Record<string, unknown>>)[name];
}

function textOf(result: CommandResult | undefined): string {
  return JSON.stringify(result, (_name, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
}
