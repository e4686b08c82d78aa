/** Goal: a whole cluster and its clients in one world. Method: parts drawn from the seed. */
import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import { SimDisk } from '../kit/sim-disk.js';
import { SimNetwork } from '../kit/sim-network.js';
import { World } from '../kit/world.js';
import { HOME, isClients, keyOf, type Space } from './address.js';
import { Administrator } from './administrator.js';
import { SimulatedClient } from './client.js';
import { ClientWire, type Work } from './client-wire.js';
import { Findings } from './findings.js';
import { StackHistory } from './history.js';
import { type CacheCounts, KeptAnswers } from './kept-answers.js';
import { Landlord } from './landlord.js';
import { Machine, type Process } from './machine.js';
import { Nemesis } from './nemesis.js';
import { Operator } from './operator.js';
import { configOf, drawParameters, hostOf, type StackParameters } from './parameters.js';
import { PartialAnswers } from './partial-answers.js';
import { authorsOf } from './record-content.js';
import { RegisterOracle } from './register-oracle.js';
import { Repairs } from './repairs.js';
import type { RecordChange } from './shard-replay.js';
import { ShardWatch } from './shard-watch.js';
import { StaleTopology } from './stale-topology.js';
import { Tenants } from './tenants.js';
import { StackWatch } from './watch.js';
import { onFewQuestions, onOneRecord, onOneTenant, type Workload } from './workload.js';

export interface StackParts {
  readonly seed: number;
  /** Faults that are left out, by index. */
  readonly without: readonly number[];
  /** Takes the place of what the seed draws. */
  readonly parameters: Partial<StackParameters>;
}

/** Clients that look at one record, where reads are relaxed. */
const WATCHERS: readonly string[] = ['watcher-1', 'watcher-2'];

/** Clients that look at one tenant, where tenants move. */
const VISITORS: readonly string[] = ['visitor-1', 'visitor-2'];

/** Clients that ask few questions, where nodes keep the answers. */
const REGULARS: readonly string[] = ['regular-1', 'regular-2', 'regular-3'];
const REGULAR_SPACES = 2;

/** How far back a loss in the middle of a database's write-ahead log goes. */
const JOURNAL_BATCHES = 64;

export class Stack {
  readonly world: World;
  readonly parameters: StackParameters;
  readonly findings: Findings;
  readonly watch: StackWatch;
  readonly shards: ShardWatch;
  readonly oracle: RegisterOracle;
  readonly partials: PartialAnswers;
  readonly history = new StackHistory();
  /** What these delete is no sweep. */
  readonly #clientNames = new Set<string>();
  /** Records that were deleted because their time was over, and by sweeps. */
  readonly removals = { expired: 0, swept: 0 };
  /** Of the searches that nodes may answer from what they keep. */
  readonly cacheCounts: CacheCounts = { hits: 0, misses: 0, evictions: 0 };
  readonly network: SimNetwork;
  readonly machines: readonly Machine[];
  readonly wire: ClientWire;
  readonly clients: readonly SimulatedClient[];
  /** Absent in runs without changes of collections. */
  readonly operator: Operator | undefined;
  readonly administrator: Administrator;
  readonly tenants: Tenants;
  /** Absent in runs without tenants. */
  readonly landlord: Landlord | undefined;
  readonly staleTopology = new StaleTopology();
  readonly repairs: Repairs;
  readonly nemesis: Nemesis;

  constructor({ seed, without, parameters }: StackParts) {
    const world = new World(seed);
    this.world = world;
    const nowMs = (): number => world.nowMs;
    this.parameters = { ...drawParameters(world.fork('parameters')), ...parameters };
    const { nodes, network, disk, clocks, faults, settings } = this.parameters;
    const { compaction, snapshotPieceBytes, checkpoints } = this.parameters;
    const { readDelayMaxMs, searchCacheBytes } = this.parameters;
    const keptAnswers = (): KeptAnswers => this.#keptAnswers();
    const journalBatches = faults.weights.damage > 0 ? JOURNAL_BATCHES : 0;
    this.findings = new Findings(nowMs);
    this.watch = new StackWatch(this.findings, nowMs);
    this.oracle = new RegisterOracle(this.findings, nowMs);
    this.partials = new PartialAnswers(this.findings);
    this.shards = new ShardWatch(this.findings, (change, shardId) => {
      this.#changed(change, shardId);
    });
    this.network = new SimNetwork(world, {
      ...network,
      filter: (toHost, frame) => this.staleTopology.filter(toHost, frame),
      onChangedFrame: (fromHost, toHost) => {
        const message = `a frame from ${fromHost} to ${toHost} was written over on its way`;
        this.findings.report('frames stay as they are sent', message);
      },
    });
    this.machines = Array.from(
      { length: nodes },
      (_, at) =>
        new Machine({
          world,
          network: this.network,
          disk: new SimDisk(world, hostOf(at + 1), { ...disk, journalBatches }),
          config: configOf(at + 1, this.parameters),
          clock: clocks[at] ?? {},
          compaction,
          snapshotPieceBytes,
          checkpoints,
          readDelayMaxMs,
          watch: this.watch,
          shards: this.shards,
          keptAnswers: searchCacheBytes > 0 ? keptAnswers : undefined,
        }),
    );
    this.wire = new ClientWire({
      scheduler: worldScheduler(world),
      random: world.fork('wire'),
      findings: this.findings,
      delayMaxMs: this.parameters.clientDelayMs,
      answerLoss: this.parameters.answerLoss,
    });
    const { workload, tenancy } = this.parameters;
    this.tenants = new Tenants(tenancy);
    const spaces = (): readonly Space[] => this.tenants.spaces;
    const drawn = Array.from({ length: workload.clients }, (_, at) =>
      this.client(`client-${at + 1}`, workload, spaces),
    );
    const watchers = workload.relaxed > 0 ? WATCHERS : [];
    const watching = watchers.map((name) => this.client(name, onOneRecord(workload)));
    const newest = (): readonly Space[] => this.tenants.residents.slice(-1);
    const visitors = tenancy === undefined ? [] : VISITORS;
    const visiting = visitors.map((name) => this.client(name, onOneTenant(workload), newest));
    const regulars = searchCacheBytes > 0 ? REGULARS : [];
    const asking = regulars.map((name) => this.#regular(name));
    this.clients = [...drawn, ...watching, ...visiting, ...asking];
    const { operatorPauseMs } = this.parameters.workload;
    if (operatorPauseMs !== undefined) {
      this.operator = new Operator({
        scheduler: worldScheduler(world),
        random: world.fork('operator'),
        wire: this.wire,
        findings: this.findings,
        nodes: () => this.processes,
        pauseMs: operatorPauseMs,
      });
    }
    if (tenancy !== undefined) {
      this.landlord = new Landlord({
        tenancy,
        tenants: this.tenants,
        bailiff: this.client('bailiff'),
        shards: settings.shards,
        scheduler: worldScheduler(world),
        random: world.fork('landlord'),
        wire: this.wire,
        findings: this.findings,
        nodes: () => this.processes,
      });
    }
    this.repairs = new Repairs(this, worldScheduler(world));
    const { churn, churnPauseMs } = this.parameters.workload;
    this.administrator = new Administrator({
      churn,
      pauseMs: churnPauseMs,
      scheduler: worldScheduler(world),
      random: world.fork('administrator'),
      wire: this.wire,
      findings: this.findings,
      machines: this.machines,
      shards: settings.shards,
      nodes: () => this.processes,
    });
    this.nemesis = new Nemesis({
      world,
      network: this.network,
      machines: this.machines,
      profile: faults,
      groups: settings.shards + 1,
      watch: this.watch,
      staleTopology: this.staleTopology,
      changeTopology: () => void this.landlord?.once(),
      without: new Set(without),
    });
  }

  /** The processes that run. */
  get processes(): readonly Process[] {
    return this.machines.flatMap(({ process }) => (process === undefined ? [] : [process]));
  }

  /** `spaces` are where it works by itself, `nodes` are those that it asks. */
  client(
    name: string,
    workload: Workload = this.parameters.workload,
    spaces = (): readonly Space[] => [HOME],
    nodes = (): readonly Process[] => this.processes,
  ): SimulatedClient {
    this.#clientNames.add(name);
    return new SimulatedClient({
      name,
      spaces,
      tenancy: this.parameters.tenancy,
      scheduler: worldScheduler(this.world),
      nowMs: () => this.world.nowMs,
      random: this.world.fork(name),
      wire: this.wire,
      workload,
      oracle: this.oracle,
      partials: this.partials,
      history: this.history,
      findings: this.findings,
      nodes,
    });
  }

  /** Asks one node about few tenants, whose answers that node then has. */
  #regular(name: string): SimulatedClient {
    const spaces = (): readonly Space[] => this.tenants.spaces.slice(0, REGULAR_SPACES);
    const nodes = (): readonly Process[] =>
      this.processes.filter(({ nodeId }) => nodeId === this.parameters.nodes);
    return this.client(name, onFewQuestions(this.parameters.workload), spaces, nodes);
  }

  /** What a node that runs offers to its clients; undefined while it does not listen. */
  endpointsOf(machine: Machine): EndpointsOptions | undefined {
    try {
      return machine.process?.endpoints();
    } catch {
      return undefined;
    }
  }

  /** The latest that any wall clock has ever shown. */
  get wallHighMs(): number {
    return Math.max(...this.machines.map((machine) => machine.wallHighMs));
  }

  /** Lets time pass until `isDone`, at most `limitMs`. False where it did not come to it. */
  async reaches(limitMs: number, isDone: () => boolean): Promise<boolean> {
    const untilMs = this.world.nowMs + limitMs;
    const isOver = (): boolean => isDone() || this.findings.first !== undefined;
    const why = await this.world.run({ untilMs, isDone: isOver });
    return why === 'done' && this.findings.first === undefined;
  }

  /** What a node answers; undefined where it does not in time. */
  async answerOf<T>(process: Process, timeoutMs: number, work: Work<T>): Promise<T | undefined> {
    let answer: T | undefined;
    let isOver = false;
    this.wire
      .call(process, timeoutMs, work)
      .then((answered) => {
        answer = answered;
      })
      .catch(() => undefined)
      .finally(() => {
        isOver = true;
      });
    await this.reaches(2 * timeoutMs, () => isOver);
    return answer;
  }

  #keptAnswers(): KeptAnswers {
    const { findings, oracle, world, cacheCounts: counts } = this;
    return new KeptAnswers({ findings, oracle, counts, nowMs: () => world.nowMs });
  }

  /** A log has changed a record: who reads it has to be told of that from here on. */
  #changed(change: RecordChange, shardId: number): void {
    const { collection, tenant, id, version, before, after, clientId } = change;
    const key = keyOf({ collection, tenant }, id);
    if (clientId === undefined && (before?.expiresAtMs ?? 0) > this.wallHighMs) {
      const message = `${key} of ${before?.version} expires at ${before?.expiresAtMs}`;
      this.findings.report('nothing expires early', `${message}, it is ${this.wallHighMs} at most`);
    }
    if (!isClients(collection)) return;
    const serial = after && authorsOf(after.vector, after.metadata).serial;
    this.oracle.logged(key, version, serial);
    if (serial !== undefined) {
      this.partials.logged(key, version, shardId);
      this.history.logged(serial);
    } else if (before !== undefined && !this.#clientNames.has(clientId ?? '')) {
      const { serial: removed } = authorsOf(before.vector, before.metadata);
      this.history.removed(key, removed);
      this.removals[clientId === undefined ? 'expired' : 'swept']++;
      if (clientId !== undefined) this.oracle.swept(key, removed);
    }
  }
}

/** The clients' time is the world's. */
function worldScheduler(world: World): {
  after: World['after'];
  every(periodMs: number, task: () => void): { cancel(): void };
  soon(task: () => void): void;
} {
  return {
    after: (delayMs, task) => world.after(delayMs, task),
    every: () => {
      throw new Error('clients have no periodic work');
    },
    soon: (task) => world.schedule(0, task),
  };
}
