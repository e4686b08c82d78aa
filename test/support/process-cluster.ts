/** A cluster of real `flotilla node` processes on loopback, to be killed at will. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { defined } from '../../src/shared/assert.js';
import { FakeClocks } from './faults/fake-clocks.js';
import { ForgetfulDisks, type Forgotten } from './faults/forgetful-disks.js';
import { LoopbackNetwork, type NodeNetwork, type NodePlace } from './faults/node-network.js';
import { SmallDisk } from './faults/small-disk.js';
import { waitUntil } from './wait-until.js';

const MAIN = resolve('dist/cli/main.js');

export interface ProcessClusterOptions {
  /** @default 3 */
  readonly nodes?: number;
  /** @default 4 */
  readonly shards?: number;
  /** @default 3 */
  readonly replicationFactor?: number;
  /** Puts the directory of one node on a file system of its own; see `SmallDisk.isAvailable`. */
  readonly smallDisk?: { readonly nodeId: number; readonly sizeMebibytes: number };
  /** Opens what the nodes talk over; closed with the cluster. @default loopback, undisturbed */
  readonly network?: (nodeIds: readonly number[]) => NodeNetwork | Promise<NodeNetwork>;
  /** Whether `forget` can be called; see `ForgetfulDisks.isAvailable`. @default false */
  readonly forgetfulDisks?: boolean;
  /**
   * Wall clocks that jump, or how fast the clocks of a node run; see `FakeClocks.isAvailable`.
   * @default right clocks
   */
  readonly clocks?: 'jumping' | Readonly<Record<number, number>>;
  /** More flags for every node, without the dashes. */
  readonly flags?: Readonly<Record<string, string | number | boolean>>;
}

interface NodeProcess {
  readonly nodeId: number;
  child: ChildProcess | undefined;
}

export class ProcessCluster {
  readonly directory: string;
  readonly network: NodeNetwork;
  #smallDisk: SmallDisk | undefined;
  #disks: ForgetfulDisks | undefined;
  #clocks: FakeClocks | undefined;
  readonly #nodes: readonly NodeProcess[];
  readonly #options: ProcessClusterOptions;

  /** Starts all nodes and waits until every shard is led and serves. */
  static async start(options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
    const nodeIds = Array.from({ length: options.nodes ?? 3 }, (_, at) => at + 1);
    const open = options.network ?? ((ids) => LoopbackNetwork.open(ids));
    const cluster = new ProcessCluster(await open(nodeIds), options);
    try {
      cluster.#mountSmallDisk();
      cluster.#openFakes();
      await cluster.startAll();
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
    return cluster;
  }

  private constructor(network: NodeNetwork, options: ProcessClusterOptions) {
    this.directory = mkdtempSync(join(tmpdir(), 'flotilla-process-'));
    this.network = network;
    this.#nodes = [...network.places.keys()].map((nodeId) => ({ nodeId, child: undefined }));
    this.#options = options;
  }

  get nodeIds(): number[] {
    return this.#nodes.map(({ nodeId }) => nodeId);
  }

  /** Of the nodes whose process runs (or stands still). */
  get runningNodeIds(): number[] {
    return this.nodeIds.filter((nodeId) => this.isRunning(nodeId));
  }

  get addresses(): string[] {
    return this.nodeIds.map((nodeId) => this.clientAddress(nodeId));
  }

  /** The file system of the node that has one of its own. */
  get smallDisk(): SmallDisk | undefined {
    return this.#smallDisk;
  }

  /** What makes the nodes' clocks wrong, where that was asked for. */
  get clocks(): FakeClocks | undefined {
    return this.#clocks;
  }

  get canForget(): boolean {
    return this.#disks !== undefined;
  }

  clientAddress(nodeId: number): string {
    return this.#place(nodeId).listen.client;
  }

  httpAddress(nodeId: number): string {
    return this.#place(nodeId).listen.http;
  }

  isRunning(nodeId: number): boolean {
    return this.#node(nodeId).child !== undefined;
  }

  /** The sum of a metric's samples, as the node reports them. */
  async metric(nodeId: number, name: string): Promise<number> {
    const response = await fetch(`http://${this.httpAddress(nodeId)}/metrics`);
    const samples = (await response.text())
      .split('\n')
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    if (samples.length === 0) throw new Error(`node ${nodeId} has no metric ${name}`);
    return samples.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  }

  async startAll(): Promise<void> {
    for (const node of this.#nodes) this.startNode(node.nodeId);
    await this.ready();
  }

  startNode(nodeId: number): void {
    const node = this.#node(nodeId);
    if (node.child !== undefined) throw new Error(`node ${nodeId} is running`);
    const log = openSync(this.#logPath(nodeId), 'a');
    const { listen, launcher } = this.#place(nodeId);
    const { shards = 4, replicationFactor = 3, flags: more = {} } = this.#options;
    const flags = {
      'node-id': nodeId,
      'node-dir': this.directoryOf(nodeId),
      'listen-client': listen.client,
      'listen-peer': listen.peer,
      'listen-http': listen.http,
      'cluster-nodes': this.nodeIds
        .map((other) => `${other}=${this.#place(other).peerAddress}`)
        .join(','),
      'cluster-bootstrap': nodeId === 1,
      'cluster-shards': shards,
      'cluster-replication-factor': replicationFactor,
      ...more,
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const [command = '', ...words] = [...launcher, process.execPath, MAIN, 'node', ...args];
    const env = { ...process.env, ...this.#environmentOf(nodeId) };
    const child = spawn(command, words, { env, stdio: ['ignore', log, log] });
    closeSync(log);
    if (child.pid !== undefined) this.network.noteProcess(nodeId, child.pid);
    child.once('exit', () => {
      if (node.child === child) node.child = undefined;
    });
    node.child = child;
  }

  /** Waits until the running nodes say that every shard serves. */
  async ready(): Promise<void> {
    for (const node of this.#nodes) {
      if (node.child === undefined) continue;
      await waitUntil(
        `node ${node.nodeId} is ready; its log: ${this.#logPath(node.nodeId)}`,
        async () => {
          if (node.child === undefined) throw new Error(this.logOf(node.nodeId).slice(-2_000));
          return (await fetch(`http://${this.httpAddress(node.nodeId)}/readyz`)).ok;
        },
      );
    }
  }

  /** SIGKILL: no goodbye, nothing flushed by the process. Resolves when it is gone. */
  async kill(nodeId: number): Promise<void> {
    await this.#end(this.#node(nodeId), 'SIGKILL');
  }

  /** SIGSTOP: the process stands still, its sockets stay open. */
  pause(nodeId: number): void {
    this.#node(nodeId).child?.kill('SIGSTOP');
  }

  resume(nodeId: number): void {
    this.#node(nodeId).child?.kill('SIGCONT');
  }

  /** SIGTERM: an orderly stop. Resolves with the exit code, null if there was none. */
  terminate(nodeId: number): Promise<number | null | undefined> {
    return this.#end(this.#node(nodeId), 'SIGTERM');
  }

  logOf(nodeId: number): string {
    return readFileSync(this.#logPath(nodeId), 'utf8');
  }

  /** Ends all processes and removes their data. */
  async destroy(): Promise<void> {
    await Promise.all(this.#nodes.map((node) => this.#end(node, 'SIGKILL')));
    await this.network.close();
    this.#smallDisk?.unmount();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** The node, whose process must have ended, loses all that it has stored. */
  wipe(nodeId: number): void {
    if (this.isRunning(nodeId)) throw new Error(`node ${nodeId} is running`);
    const directory = this.directoryOf(nodeId);
    for (const name of readdirSync(directory)) {
      rmSync(join(directory, name), { recursive: true });
    }
  }

  /** The disk of the node, whose process must have ended, loses what was not synced. */
  forget(nodeId: number, random: () => number): Forgotten {
    if (this.isRunning(nodeId)) throw new Error(`node ${nodeId} is running`);
    const disks = defined(this.#disks, 'disks that forget');
    return disks.forget(nodeId, this.directoryOf(nodeId), random);
  }

  directoryOf(nodeId: number): string {
    return join(this.directory, `node-${nodeId}`);
  }

  /** Where the newest of a node's replicas of a shard has its records; undefined for none. */
  shardDirectoryOf(nodeId: number, shardId: number): string | undefined {
    const shards = join(this.directoryOf(nodeId), 'shards');
    // A wiped node has none as long as it holds no replica.
    if (!existsSync(shards)) return undefined;
    const isOfShard = (name: string): boolean => name.split('.')[0] === String(shardId);
    const replicaOf = (name: string): number => Number(name.split('.')[1] ?? 0);
    const [newest] = readdirSync(shards)
      .filter(isOfShard)
      .sort((a, b) => replicaOf(b) - replicaOf(a));
    return newest === undefined ? undefined : join(shards, newest);
  }

  #mountSmallDisk(): void {
    const { smallDisk } = this.#options;
    if (smallDisk === undefined) return;
    const { nodeId, sizeMebibytes } = smallDisk;
    this.#smallDisk = SmallDisk.mount({ nodeId, sizeMebibytes, path: this.directoryOf(nodeId) });
  }

  #openFakes(): void {
    const { forgetfulDisks = false, clocks } = this.#options;
    if (forgetfulDisks) this.#disks = ForgetfulDisks.open(this.directory);
    if (clocks === undefined) return;
    const rates = clocks === 'jumping' ? {} : { rates: clocks };
    this.#clocks = new FakeClocks({ directory: this.directory, ...rates });
  }

  /** For a process that is about to start. */
  #environmentOf(nodeId: number): Record<string, string> {
    const fakes = [
      this.#disks?.environmentOf(nodeId, this.directoryOf(nodeId)) ?? {},
      this.#clocks?.environmentOf(nodeId) ?? {},
    ];
    const preload = fakes.flatMap(({ LD_PRELOAD }) => LD_PRELOAD ?? []);
    return {
      ...Object.assign({}, ...fakes),
      ...(preload.length > 0 && { LD_PRELOAD: preload.join(':') }),
    };
  }

  /** The exit code; null for an end by signal, undefined where there was no process. */
  async #end(node: NodeProcess, signal: NodeJS.Signals): Promise<number | null | undefined> {
    const { child } = node;
    if (child === undefined) return undefined;
    const gone = new Promise<number | null>((done) => child.once('exit', (code) => done(code)));
    child.kill(signal);
    return gone;
  }

  #node(nodeId: number): NodeProcess {
    const node = this.#nodes.find((one) => one.nodeId === nodeId);
    if (node === undefined) throw new Error(`no node ${nodeId}`);
    return node;
  }

  #place(nodeId: number): NodePlace {
    return defined(this.network.places.get(nodeId), `place of node ${nodeId}`);
  }

  #logPath(nodeId: number): string {
    return join(this.directory, `node-${nodeId}.log`);
  }
}
