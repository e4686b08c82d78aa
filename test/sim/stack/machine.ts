/**
 * Goal: one machine of the cluster, with a disk that outlives its processes. Method: the production
 * `Node` over a simulated environment; a supervisor starts it again whenever it ends by itself.
 */
import type { CheckpointPolicy } from '../../../src/engine/checkpoint/checkpoint-policy.js';
import type { Engine, ShardGenesis } from '../../../src/engine/engine.js';
import type { NodeConfig } from '../../../src/node/config.js';
import type { EndpointsOptions } from '../../../src/node/endpoints.js';
import { Node } from '../../../src/node/node.js';
import type { CompactionPolicy } from '../../../src/replica/log-compaction.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import type { Logger } from '../../../src/shared/logger.js';
import type { SimClockOptions } from '../kit/sim-clock.js';
import type { CrashKind, SimDisk } from '../kit/sim-disk.js';
import { SimEnvironment } from '../kit/sim-environment.js';
import type { SimNetwork } from '../kit/sim-network.js';
import type { World } from '../kit/world.js';
import type { Callee } from './client-wire.js';
import type { KeptAnswers } from './kept-answers.js';
import type { ShardWatch } from './shard-watch.js';
import { withSlowReads } from './slow-reads.js';
import type { StackWatch } from './watch.js';
import { WatchedEngine } from './watched-engine.js';
import { watchedEndpoints } from './watched-records.js';

export interface MachineOptions {
  readonly world: World;
  readonly network: SimNetwork;
  readonly disk: SimDisk;
  readonly config: NodeConfig;
  readonly clock: SimClockOptions;
  readonly compaction: CompactionPolicy;
  readonly snapshotPieceBytes: number;
  readonly checkpoints: CheckpointPolicy;
  /** How long what an engine has read may take from its thread. */
  readonly readDelayMaxMs: number;
  readonly watch: StackWatch;
  readonly shards: ShardWatch;
  /** Judges what one process keeps of its answers; absent where none keeps any. */
  readonly keptAnswers: (() => KeptAnswers) | undefined;
}

/** Frames are small here: the memory of all of them is used again. */
const FRAME_ROOM_BYTES_MIN = 1;
/** How long the supervisor waits before it starts a node again. */
const RESTART_MS = 250;

export class Machine {
  readonly nodeId: number;
  readonly disk: SimDisk;
  readonly #options: MachineOptions;
  #wallJumpMs = 0;
  #wallHighMs = 0;
  #process: Process | undefined;
  #incarnation = 0;
  /** Whether the supervisor keeps a process running. */
  #isWanted = false;

  constructor(options: MachineOptions) {
    this.#options = options;
    this.nodeId = options.config.nodeId;
    this.disk = options.disk;
  }

  get host(): string {
    return this.#options.config.listen.peer;
  }

  /** The process that runs, if there is one. */
  get process(): Process | undefined {
    return this.#process?.isGone === false ? this.#process : undefined;
  }

  /** The latest that a wall clock of this machine has ever shown. */
  get wallHighMs(): number {
    this.#noteWall();
    return this.#wallHighMs;
  }

  start(): void {
    this.#isWanted = true;
    if (this.process === undefined) this.#spawn();
  }

  crash(kind: CrashKind): void {
    this.#isWanted = false;
    this.process?.crash(kind);
  }

  /** Stops the process in order; it is killed where it takes longer than `limitMs`. */
  stop(limitMs: number): Promise<void> {
    this.#isWanted = false;
    const process = this.process;
    if (process === undefined) return Promise.resolve();
    const { world } = this.#options;
    return new Promise((resolve) => {
      const limit = world.after(limitMs, () => process.crash('process'));
      process.onGone(() => {
        limit.cancel();
        resolve();
      });
      process.stop();
    });
  }

  jumpWall(byMs: number): void {
    this.#noteWall();
    this.#wallJumpMs += byMs;
    this.process?.environment.clock.jumpWall(byMs);
  }

  /** The wall clock shows what it would have without jumps. */
  mendWall(): void {
    this.jumpWall(-this.#wallJumpMs);
  }

  #noteWall(): void {
    const wallMs = this.#process?.environment.clock.wallMs() ?? 0;
    this.#wallHighMs = Math.max(this.#wallHighMs, wallMs);
  }

  #spawn(): void {
    const { world, network, disk, clock } = this.#options;
    this.#incarnation++;
    this.#noteWall();
    const previous = this.#process;
    // A machine that comes back answers what is still sent to its old connections with a reset.
    previous?.environment.network.end('reset');
    for (const other of this.#options.config.nodes)
      network.breakLinks(this.host, other.peerAddress);
    const wallOffsetMs = (clock.wallOffsetMs ?? 0) + this.#wallJumpMs;
    const environment = new SimEnvironment({
      world,
      network,
      disk,
      host: this.host,
      incarnation: this.#incarnation,
      clock: { ...clock, wallOffsetMs },
    });
    const process = new Process(environment, this.#options);
    this.#process = process;
    process.onGone(() => {
      world.schedule(RESTART_MS, () => {
        if (this.#isWanted && this.process === undefined) this.#spawn();
      });
    });
  }
}

/** One run of a node, from its start to its end, whichever way that comes. */
export class Process implements Callee {
  readonly nodeId: number;
  readonly environment: SimEnvironment;
  readonly startedMs: number;
  readonly #options: MachineOptions;
  readonly #listeners = new Set<() => void>();
  #endpoints: EndpointsOptions | undefined;
  #node: Node | undefined;
  #isGone = false;
  #isReady = false;
  #stopping = false;

  constructor(environment: SimEnvironment, options: MachineOptions) {
    this.nodeId = options.config.nodeId;
    this.environment = environment;
    this.startedMs = options.world.nowMs;
    this.#options = options;
    this.#run().then(
      () => this.#gone(),
      () => this.#gone(),
    );
  }

  get scheduler(): SimEnvironment['scheduler'] {
    return this.environment.scheduler;
  }

  get isGone(): boolean {
    return this.#isGone;
  }

  /** Whether every shard has served, as this node saw it, since it started. */
  get isReady(): boolean {
    return this.#isReady && !this.#isGone;
  }

  get isPaused(): boolean {
    return !this.#isGone && !this.environment.clock.isRunning;
  }

  endpoints(): EndpointsOptions {
    if (this.#endpoints !== undefined && !this.#isGone && !this.#stopping) return this.#endpoints;
    throw new FlotillaError('NODE_NOT_READY', 'the node does not listen');
  }

  onGone(task: () => void): () => void {
    this.#listeners.add(task);
    return () => this.#listeners.delete(task);
  }

  crash(kind: CrashKind): void {
    if (this.#isGone) return;
    this.environment.crash(kind);
    this.#gone();
  }

  stop(): void {
    this.#stopping = true;
    // A node that is still opening its directory is stopped as soon as it can be.
    void this.#node?.stop();
  }

  /** Ends when the node does; what is left of its process then dies with it. */
  async #run(): Promise<void> {
    const { config, compaction, snapshotPieceBytes, keptAnswers } = this.#options;
    const { environment } = this;
    const kept = keptAnswers?.();
    const node = await Node.start({
      config,
      logger: this.#logger,
      environment,
      compaction,
      snapshotSender: { chunkSizeBytes: snapshotPieceBytes },
      transport: { frameRoomBytesMin: FRAME_ROOM_BYTES_MIN },
      createEngine: (genesis, path) => this.#createEngine(genesis, path),
      openEndpoints: async (options) => {
        this.#endpoints = kept === undefined ? options : watchedEndpoints(options, kept);
        const { client, http } = config.listen;
        return { clientAddress: client, httpAddress: http, setServing: () => undefined };
      },
    });
    this.#node = node;
    node.ready.then(
      () => {
        this.#isReady = true;
      },
      () => undefined,
    );
    if (this.#stopping) void node.stop();
    await node.closed;
  }

  get #logger(): Logger {
    return this.#options.watch.logger(this.nodeId, () => !this.#isGone);
  }

  #createEngine(genesis: ShardGenesis, path: string): Engine {
    const { config, checkpoints, watch, shards, disk, readDelayMaxMs: delayMaxMs } = this.#options;
    const { environment, nodeId } = this;
    const { scheduler, random } = environment;
    const logger = this.#logger;
    const engine = new WatchedEngine(
      { environment, genesis, path, checkpoints, logger, ...config.engine },
      {
        nodeId,
        watch,
        shards,
        isAlive: () => !this.#isGone && !this.isPaused,
        canRead: () => !disk.isToFail('read'),
      },
    );
    return withSlowReads(engine, { scheduler, random, delayMaxMs });
  }

  #gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    if (!this.environment.clock.isStopped) this.environment.crash('process');
    for (const listener of [...this.#listeners]) listener();
  }
}
