/** A cluster of real `flotilla node` processes on loopback, to be killed at will. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { freePorts } from '../../src/cli/demo/free-ports.js';
import { waitUntil } from './wait-until.js';

const MAIN = resolve('dist/cli/main.js');

export interface ProcessClusterOptions {
  /** @default 3 */
  readonly nodes?: number;
  /** @default 4 */
  readonly shards?: number;
  /** @default 3 */
  readonly replicationFactor?: number;
  /** Called with the cluster's directory before the first node starts. */
  readonly prepare?: (directory: string) => void;
}

interface NodeProcess {
  readonly nodeId: number;
  readonly client: string;
  readonly peer: string;
  readonly http: string;
  child: ChildProcess | undefined;
}

export class ProcessCluster {
  readonly directory: string;
  readonly #nodes: readonly NodeProcess[];
  readonly #options: Required<ProcessClusterOptions>;

  /** Starts all nodes and waits until every shard is led and serves. */
  static async start(options: ProcessClusterOptions = {}): Promise<ProcessCluster> {
    const { nodes = 3, shards = 4, replicationFactor = 3, prepare = () => undefined } = options;
    const ports = await freePorts(nodes * 3);
    const address = (at: number): string => `127.0.0.1:${ports[at]}`;
    const cluster = new ProcessCluster(
      Array.from({ length: nodes }, (_, at) => ({
        nodeId: at + 1,
        client: address(3 * at),
        peer: address(3 * at + 1),
        http: address(3 * at + 2),
        child: undefined,
      })),
      { nodes, shards, replicationFactor, prepare },
    );
    prepare(cluster.directory);
    await cluster.startAll();
    return cluster;
  }

  private constructor(nodes: readonly NodeProcess[], options: Required<ProcessClusterOptions>) {
    this.directory = mkdtempSync(join(tmpdir(), 'flotilla-process-'));
    this.#nodes = nodes;
    this.#options = options;
  }

  get addresses(): string[] {
    return this.#nodes.map((node) => node.client);
  }

  clientAddress(nodeId: number): string {
    return this.#node(nodeId).client;
  }

  httpAddress(nodeId: number): string {
    return this.#node(nodeId).http;
  }

  isRunning(nodeId: number): boolean {
    return this.#node(nodeId).child !== undefined;
  }

  /** The sum of a metric's samples, as the node reports them. */
  async metric(nodeId: number, name: string): Promise<number> {
    const response = await fetch(`http://${this.#node(nodeId).http}/metrics`);
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
    const flags = {
      'node-id': nodeId,
      'node-dir': join(this.directory, `node-${nodeId}`),
      'listen-client': node.client,
      'listen-peer': node.peer,
      'listen-http': node.http,
      'cluster-nodes': this.#nodes.map((other) => `${other.nodeId}=${other.peer}`).join(','),
      'cluster-bootstrap': nodeId === 1,
      'cluster-shards': this.#options.shards,
      'cluster-replication-factor': this.#options.replicationFactor,
    };
    const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const child = spawn(process.execPath, [MAIN, 'node', ...args], {
      stdio: ['ignore', log, log],
    });
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
          return (await fetch(`http://${node.http}/readyz`)).ok;
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
    rmSync(this.directory, { recursive: true, force: true });
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

  #logPath(nodeId: number): string {
    return join(this.directory, `node-${nodeId}.log`);
  }
}
