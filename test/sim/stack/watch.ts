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
import { GRAPH_PATHS } from './graph-damage.js';

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

/** What became of the checkpoints of graphs. */
export interface GraphCounts {
  saved: number;
  /** Attempts that did not work. */
  unsaved: number;
  loaded: number;
  /** Damaged, foreign, or not to be read. */
  unusable: number;
}

const LINES_MAX = 400;
const INSTALLED = 'a snapshot is installed';
const QUARANTINED = 'a log is damaged: its replica stays out';
const STATE_LOST = 'the state of a replica is lost: its log is whole';
const POISONED = 'the log store failed: no more writes';
/** What engines say of their checkpoints. */
const GRAPH_EVENTS: ReadonlyMap<string, keyof GraphCounts> = new Map([
  ['a graph is checkpointed', 'saved'],
  ['a graph could not be checkpointed', 'unsaved'],
  ['a graph is loaded', 'loaded'],
  ['the checkpoint of a graph cannot be used: it is removed', 'unusable'],
]);
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
  /** Logs whose damage nobody has noticed yet, by node. */
  readonly #unnoticed = new Map<number, Set<number>>();
  elections = 0;
  installs = 0;
  /** Logs that were found damaged, states that were found lost, log stores that failed. */
  readonly found = { quarantined: 0, statesLost: 0, poisoned: 0 };
  readonly graphs: GraphCounts = { saved: 0, unsaved: 0, loaded: 0, unusable: 0 };

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

  /** The disk of a node is damaged: it has to notice that the logs of these groups are. */
  damaged(nodeId: number, groups: readonly number[]): void {
    const unnoticed = this.#unnoticed.get(nodeId) ?? new Set<number>();
    this.#unnoticed.set(nodeId, unnoticed);
    for (const groupId of groups) unnoticed.add(groupId);
  }

  /** Every damaged log must have been noticed: all nodes have opened their stores since (P-8). */
  assertNoticed(): void {
    for (const [nodeId, groups] of this.#unnoticed) {
      if (groups.size === 0) continue;
      const message = `node ${nodeId} opened its damaged logs of groups ${[...groups].join(', ')}`;
      this.#findings.report('damage is found', message);
    }
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
    this.#count(nodeId, fields, message);
    const leader = BECAME_LEADER.exec(message);
    const groupId = fieldOf(fields, 'groupId');
    if (leader !== null && typeof groupId === 'number') {
      this.#newLeader(groupId, {
        term: Number(leader[2]),
        replicaId: Number(leader[1]),
        nodeId,
      });
    }
    if (level === 'error') this.#judgeError(nodeId, fields, message);
  }

  #judgeError(nodeId: number, fields: object, message: string): void {
    if (JSON.stringify({ ...fields, message }, withoutBigints).includes(GRAPH_PATHS)) {
      const said = `node ${nodeId}: ${message} ${JSON.stringify(fields, withoutBigints)}`;
      this.#findings.report('graphs stop nobody', said);
    }
    const reason = fieldOf(fields, 'reason');
    const isExplained = reason === 'LOG_DAMAGED' && this.#unnoticed.has(nodeId);
    if (!isExplained && UNEXPLAINED.has(String(reason))) {
      const stack = fieldOf(fields, 'stack');
      this.#findings.report('no broken invariants', `node ${nodeId}: ${message}\n${stack ?? ''}`);
    }
  }

  #count(nodeId: number, fields: object, message: string): void {
    const graphEvent = GRAPH_EVENTS.get(message);
    if (graphEvent !== undefined) this.graphs[graphEvent]++;
    else if (message === INSTALLED) this.installs++;
    else if (message === STATE_LOST) this.found.statesLost++;
    else if (message === POISONED) this.found.poisoned++;
    else if (message === QUARANTINED) {
      this.found.quarantined++;
      this.#unnoticed.get(nodeId)?.delete(Number(fieldOf(fields, 'groupId')));
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
  return JSON.stringify(result, withoutBigints);
}

/** For JSON, which knows no such numbers. */
export function withoutBigints(_name: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
