import type { RegisterOperation } from '../../history/operation.js';
import { checkRegister } from '../../history/register.js';
import { World } from '../kit/world.js';
import { Checks } from './checks.js';
import { Clients } from './clients.js';
import { CoreCluster } from './cluster.js';
import { membersOf } from './invariants/quorums.js';
import { Liveness } from './liveness.js';
import { Membership } from './membership.js';
import { Nemesis } from './nemesis.js';
import { InvariantViolation } from './observer.js';
import type { Seen } from './replica-context.js';
import { drawSwarm, type Fault, type Swarm } from './swarm.js';

export interface CoreRunOptions {
  /** Events of the safety phase; the liveness phase takes what it takes. */
  readonly steps: number;
  /** Faults that are left out, to see what a failure needs. @default none */
  readonly without?: readonly Fault[];
  /** Takes the place of what the seed says, to make the run about something. @default nothing */
  readonly swarm?: Partial<Swarm>;
  /** Told of every message that arrives. */
  readonly log?: (line: string) => void;
}

export interface Failure {
  /** The invariant, or the name of the error that stopped a replica. */
  readonly invariant: string;
  readonly message: string;
  readonly step: number;
}

export interface CoreReport {
  readonly seed: number;
  readonly steps: number;
  readonly virtualMs: number;
  /** Equal for equal runs. */
  readonly trace: string;
  readonly failure: Failure | undefined;
  readonly seen: Seen & Checks['seen'];
}

/** One run in this many is checked by the search over histories as well; it costs more. */
const SEARCHED_RUNS = 8;
const SEARCHED_OPERATIONS_MAX = 2_000;

/**
 * Runs a group from a seed: first with everything that can go wrong, then in peace (raft.md C.4).
 * What went wrong is in the report, with the step at which it did.
 */
export function runCore(seed: number, options: CoreRunOptions): CoreReport {
  const world = new World(seed);
  const swarm = { ...drawSwarm(seed, new Set(options.without)), ...options.swarm };
  const checks = new Checks(world, swarm, (id) => cluster?.replica(id));
  let cluster: CoreCluster | undefined;
  let failure: Failure | undefined;
  try {
    cluster = new CoreCluster(world, swarm, checks.all, {
      recordsHistory: seed % SEARCHED_RUNS === 0,
      log: options.log,
    });
    goThrough(cluster, checks, options.steps);
  } catch (error) {
    failure = failureOf(error, world.steps);
  }
  if (cluster === undefined) throw new Error(`seed ${seed} cannot begin: ${failure?.message}`);
  return {
    seed,
    steps: world.steps,
    virtualMs: world.nowMs,
    trace: world.trace.digest(),
    failure,
    seen: { ...cluster.seen, ...checks.seen },
  };
}

/** Trouble, then peace, then what is left in the end. */
function goThrough(cluster: CoreCluster, checks: Checks, steps: number): void {
  const { world } = cluster;
  const { oracle, configurations } = checks;
  const clients = new Clients(cluster, oracle);
  const membership = new Membership(cluster, configurations);
  const nemesis = new Nemesis(cluster, membership, clients);
  clients.start();
  nemesis.start();
  while (world.steps < steps && world.step()) {
    // Everything happens inside of the step.
  }
  new Liveness(cluster, membership, clients).run(nemesis);
  const members = membersOf(configurations.latest.confState);
  oracle.checkFinal(cluster.replicas.filter(({ id }) => members.has(id)));
  checkHistory(clients);
}

/** What the clients of a few keys saw, against any order that one copy could have given (P-4). */
function checkHistory(clients: Clients): void {
  const [fault] = checkRegister(beginningOf(clients.history));
  if (fault !== undefined) throw new InvariantViolation('Linearizability', fault.message);
}

/**
 * The first operations. What had not ended when the last of them began may have to do with later
 * ones: such writes may have happened or not, such reads say nothing.
 */
function beginningOf(history: readonly RegisterOperation[]): readonly RegisterOperation[] {
  const cutoff = history[SEARCHED_OPERATIONS_MAX]?.start;
  if (cutoff === undefined) return history;
  return history.slice(0, SEARCHED_OPERATIONS_MAX).flatMap((operation): RegisterOperation[] => {
    if (operation.end < cutoff) return [operation];
    return operation.op === 'read' ? [] : [{ ...operation, outcome: 'unknown' }];
  });
}

function failureOf(error: unknown, step: number): Failure {
  if (error instanceof InvariantViolation) {
    return { invariant: error.invariant, message: error.message, step };
  }
  if (error instanceof Error) {
    return { invariant: error.name, message: error.stack ?? error.message, step };
  }
  return { invariant: 'Unknown', message: String(error), step };
}
