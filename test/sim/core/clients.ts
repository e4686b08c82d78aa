import type { RegisterOperation } from '../../history/operation.js';
import type { SimRandom } from '../kit/sim-random.js';
import type { CoreCluster } from './cluster.js';
import { encodeOperation, type WriteKind, type WriteOperation } from './operation.js';
import type { Oracle } from './oracle.js';
import type { ReadOutcome } from './pending-reads.js';
import type { SimReplica } from './sim-replica.js';
import type { ProposalOutcome } from './waiters.js';

const NETWORK_MEAN_MS = 5;
/** Keys below this are recorded for the search over histories. */
const RECORDED_KEYS = 3;

type RecordedCall = Pick<RegisterOperation, 'client' | 'key' | 'start' | 'end' | 'outcome'>;

/**
 * Clients that write, swap, delete and read registers, each one call at a time. They go to the
 * replica that they believe to lead, or to any; who does not get an answer in time does not know
 * what became of the call, and never asks again.
 */
export class Clients {
  readonly #cluster: CoreCluster;
  readonly #oracle: Oracle;
  readonly #random: SimRandom;
  readonly #history: RegisterOperation[] = [];
  /** By key: a value that was seen, so that some swaps succeed. */
  readonly #seen = new Map<number, number>();
  /** By client: the replica that answered it last. */
  readonly #hints = new Map<number, number>();
  #timeoutMs: number;
  #lastSerial = 0;
  #isQuiet = false;
  #isStopped = false;

  constructor(cluster: CoreCluster, oracle: Oracle) {
    this.#cluster = cluster;
    this.#oracle = oracle;
    this.#random = cluster.world.fork('clients');
    this.#timeoutMs = cluster.swarm.workload.timeoutMs;
  }

  /** What the clients of a few keys saw, but for reads without an answer. By start. */
  get history(): readonly RegisterOperation[] {
    return this.#history.filter(({ op, outcome }) => op !== 'read' || outcome === 'ok');
  }

  start(): void {
    const { clients } = this.#cluster.swarm.workload;
    for (let client = 0; client < clients; client += 1) this.#thinkThenCall(client);
  }

  /** Nobody begins anything new. */
  set isQuiet(quiet: boolean) {
    this.#isQuiet = quiet;
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** They wait this long from now on. */
  set patienceMs(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** One call, to the leader where there is one; `done` is told whether it succeeded. */
  callOnce(client: number, isRead: boolean, done: (ok: boolean) => void): void {
    const replica = this.#cluster.leader() ?? this.#pickReplica(client, false);
    if (replica === undefined) done(false);
    else if (isRead) this.#read(client, replica, false, done);
    else this.#write(client, replica, done);
  }

  #thinkThenCall(client: number): void {
    const { world, swarm } = this.#cluster;
    world.schedule(this.#random.exponential(swarm.workload.thinkMeanMs), () => {
      if (this.#isStopped) return;
      const again = (): void => this.#thinkThenCall(client);
      if (this.#isQuiet) again();
      else this.#callAny(client, again);
    });
  }

  #callAny(client: number, done: () => void): void {
    const { readShare, leasedShare, followerShare } = this.#cluster.swarm.workload;
    const isRead = this.#random.chance(readShare);
    const byLease = this.#random.chance(leasedShare);
    const replica = this.#pickReplica(client, isRead && this.#random.chance(followerShare));
    if (replica === undefined) done();
    else if (isRead) this.#read(client, replica, byLease, done);
    else this.#write(client, replica, done);
  }

  #pickReplica(client: number, anyone: boolean): SimReplica | undefined {
    const running = this.#cluster.replicas.filter((replica) => replica.isRunning);
    if (running.length === 0) return undefined;
    const hint = anyone ? undefined : this.#hints.get(client);
    const hinted = running.find((replica) => replica.id === hint);
    return hinted ?? this.#random.pick(running);
  }

  #write(client: number, replica: SimReplica, done: (ok: boolean) => void): void {
    const write = this.#drawWrite();
    const floor = this.#oracle.floor;
    const record = this.#recorder(client, write.key, (outcome, changed) => {
      const { kind, serial, expected } = write;
      switch (kind) {
        case 'put':
          return { ...outcome, op: 'write', value: serial };
        case 'delete':
          return { ...outcome, op: 'delete' };
        case 'cas':
          return {
            ...outcome,
            op: 'cas',
            expected: expected === 0 ? undefined : expected,
            value: serial,
            swapped: changed,
          };
      }
    });
    const { seen } = this.#cluster;
    this.#call<ProposalOutcome>(
      replica,
      (settle) => replica.propose(encodeOperation(write), settle),
      (outcome) => {
        switch (outcome?.kind) {
          case 'applied':
            seen.acknowledged += 1;
            this.#oracle.writeAcknowledged(write, floor, outcome.index, outcome.result);
            this.#hints.set(client, replica.id);
            if (outcome.result.changed) this.#seen.set(write.key, write.serial);
            record('ok', outcome.result.changed);
            break;
          case 'lost':
          case 'refused':
            this.#hints.set(client, outcome.kind === 'refused' ? outcome.lead : 0);
            this.#oracle.writeFailed(write.serial);
            record('fail', false);
            break;
          default:
            seen.unknown += 1;
            this.#hints.delete(client);
            record('unknown', false);
        }
        done(outcome?.kind === 'applied');
      },
    );
  }

  #read(client: number, replica: SimReplica, byLease: boolean, done: (ok: boolean) => void): void {
    const key = this.#drawKey();
    const floor = this.#oracle.floor;
    let found: number | undefined;
    const record = this.#recorder(client, key, (outcome) => ({
      ...outcome,
      op: 'read',
      value: found,
    }));
    this.#call<ReadOutcome>(
      replica,
      (settle) => replica.read(key, byLease, settle),
      (outcome) => {
        if (outcome?.kind === 'ok') {
          this.#cluster.seen.reads += 1;
          this.#oracle.readAnswered(key, floor, outcome);
          const { serial } = outcome.value;
          this.#seen.set(key, serial);
          found = serial === 0 ? undefined : serial;
          record('ok', false);
        } else {
          this.#hints.delete(client);
        }
        done(outcome?.kind === 'ok');
      },
    );
  }

  /** The way there, the call, the way back; undefined when nothing came back in time. */
  #call<Outcome>(
    replica: SimReplica,
    begin: (settle: (outcome: Outcome) => void) => void,
    end: (outcome: Outcome | undefined) => void,
  ): void {
    const { world } = this.#cluster;
    let isOver = false;
    const finish = (outcome: Outcome | undefined): void => {
      if (isOver) return;
      isOver = true;
      timer.cancel();
      end(outcome);
    };
    const timer = world.after(this.#timeoutMs, () => finish(undefined));
    world.schedule(this.#random.exponential(NETWORK_MEAN_MS), () => {
      if (!replica.isRunning) return;
      begin((outcome) => {
        world.schedule(this.#random.exponential(NETWORK_MEAN_MS), () => finish(outcome));
      });
    });
  }

  #drawKey(): number {
    return this.#random.integer(0, this.#cluster.swarm.workload.keys - 1);
  }

  #drawWrite(): WriteOperation {
    this.#lastSerial += 1;
    const kind: WriteKind = this.#random.pick(['put', 'put', 'cas', 'delete'] as const);
    const key = this.#drawKey();
    const expected = kind === 'cas' ? (this.#seen.get(key) ?? 0) : 0;
    return { kind, key, serial: this.#lastSerial, expected };
  }

  /** Notes the call as open, and what became of it when the returned function is called. */
  #recorder(
    client: number,
    key: number,
    describe: (call: RecordedCall, changed: boolean) => RegisterOperation,
  ): (outcome: RegisterOperation['outcome'], changed: boolean) => void {
    if (key >= RECORDED_KEYS || !this.#cluster.recordsHistory) return () => undefined;
    const { world } = this.#cluster;
    // Steps, not milliseconds: much can happen at one moment, in a certain order.
    const call = { client: `c${client}`, key: `k${key}`, start: world.steps };
    const open: RecordedCall = { ...call, end: Number.MAX_SAFE_INTEGER, outcome: 'unknown' };
    const position = this.#history.push(describe(open, false)) - 1;
    return (outcome, changed) => {
      this.#history[position] = describe({ ...call, end: world.steps, outcome }, changed);
    };
  }
}
