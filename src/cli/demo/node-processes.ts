/** The demo's three nodes: real processes of this same program, with their data in one folder. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { flagOf, type SettingKey } from '../../node/settings.js';
import { freePorts } from './free-ports.js';

const MAIN = new URL('../main.js', import.meta.url).pathname;

interface DemoNode {
  readonly nodeId: number;
  readonly client: string;
  readonly peer: string;
  readonly http: string;
  child: ChildProcess | undefined;
}

export class NodeProcesses {
  readonly #directory: string;
  readonly #shards: number;
  readonly #nodes: readonly DemoNode[];

  static async create(directory: string, count: number, shards: number): Promise<NodeProcesses> {
    const ports = await freePorts(3 * count);
    const address = (at: number): string => `127.0.0.1:${ports[at]}`;
    const nodes = Array.from({ length: count }, (_, at) => ({
      nodeId: at + 1,
      client: address(3 * at),
      peer: address(3 * at + 1),
      http: address(3 * at + 2),
      child: undefined,
    }));
    return new NodeProcesses(directory, shards, nodes);
  }

  private constructor(directory: string, shards: number, nodes: readonly DemoNode[]) {
    this.#directory = directory;
    this.#shards = shards;
    this.#nodes = nodes;
  }

  get clientAddresses(): string[] {
    return this.#nodes.map((node) => node.client);
  }

  get nodeIds(): number[] {
    return this.#nodes.map((node) => node.nodeId);
  }

  logPath(nodeId: number): string {
    return join(this.#directory, `node-${nodeId}.log`);
  }

  start(nodeId: number): void {
    const node = this.#node(nodeId);
    const settings: Partial<Record<SettingKey, string>> = {
      'node.id': String(nodeId),
      'node.dir': join(this.#directory, `node-${nodeId}`),
      'listen.client': node.client,
      'listen.peer': node.peer,
      'listen.http': node.http,
      'cluster.nodes': this.#nodes.map((other) => `${other.nodeId}=${other.peer}`).join(','),
      'cluster.bootstrap': String(nodeId === 1),
      'cluster.shards': String(this.#shards),
    };
    const args = Object.entries(settings).flatMap(([key, value]) => [
      flagOf(key as SettingKey),
      value,
    ]);
    const log = openSync(this.logPath(nodeId), 'a');
    const child = spawn(process.execPath, [MAIN, 'node', ...args], {
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.once('exit', () => {
      if (node.child === child) node.child = undefined;
    });
    node.child = child;
  }

  isRunning(nodeId: number): boolean {
    return this.#node(nodeId).child !== undefined;
  }

  /** Whether the node says that every shard serves. */
  async isReady(nodeId: number): Promise<boolean> {
    try {
      return (await fetch(`http://${this.#node(nodeId).http}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  processId(nodeId: number): number | undefined {
    return this.#node(nodeId).child?.pid;
  }

  /** `kill -9`: the process gets no chance to say goodbye. */
  kill(nodeId: number): Promise<void> {
    return this.#end(nodeId, 'SIGKILL');
  }

  /** Ends what still runs. */
  async stopAll(): Promise<void> {
    await Promise.all(this.nodeIds.map((nodeId) => this.#end(nodeId, 'SIGTERM')));
  }

  async #end(nodeId: number, signal: NodeJS.Signals): Promise<void> {
    const { child } = this.#node(nodeId);
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await gone;
  }

  #node(nodeId: number): DemoNode {
    const node = this.#nodes.find((one) => one.nodeId === nodeId);
    if (node === undefined) throw new Error(`there is no node ${nodeId}`);
    return node;
  }
}
