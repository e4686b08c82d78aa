/**
 * Each node in a network namespace of its own, joined by a bridge in one more: packets are lost in
 * the kernel, as on a real network. Linux, root, and the tools `ip` and `iptables`.
 */
import { execFileSync } from 'node:child_process';
import {
  assertAble,
  type Disturbance,
  type Disturbing,
  type NodeNetwork,
  type NodePlace,
} from './node-network.js';

const PORTS = { client: 7700, peer: 7701, http: 7702 };
const HOST_ADDRESS = 254;

/** Two clusters of one process, and those of two processes, have different names and subnets. */
let opened = 0;

export class NamespaceNetwork implements NodeNetwork {
  readonly name = 'namespace';
  /** A delay needs `sch_netem`, which small kernels lack: the proxy network delays. */
  readonly abilities: ReadonlySet<Disturbing> = new Set(['isCut', 'lossShare']);
  readonly places: ReadonlyMap<number, NodePlace>;
  readonly #nodeIds: readonly number[];
  readonly #id: string;
  readonly #subnet: string;
  readonly #onExit = (): void => this.#remove();
  readonly #disturbed = new Map<string, Disturbance>();
  #isClosed = false;

  /** Whether namespaces can be made here; tried out, since rights and kernels differ. */
  static isAvailable(): boolean {
    const name = `fl-${process.pid}-probe`;
    try {
      run('ip', 'netns', 'add', name);
      run('ip', 'netns', 'exec', name, 'iptables', '-A', 'INPUT', '-j', 'DROP');
      return true;
    } catch {
      return false;
    } finally {
      quietly('ip', 'netns', 'del', name);
    }
  }

  constructor(nodeIds: readonly number[]) {
    const number = process.pid * 4 + (opened++ % 4);
    this.#id = `fl${number.toString(36)}`;
    this.#subnet = `10.${200 + (number % 50)}.${(number >> 6) % 250}`;
    this.#nodeIds = nodeIds;
    this.places = new Map(nodeIds.map((nodeId) => [nodeId, this.#placeOf(nodeId)]));
    process.once('exit', this.#onExit);
    try {
      this.#build();
    } catch (error) {
      this.#remove();
      throw error;
    }
  }

  noteProcess(): void {}

  disturb(fromNodeId: number, toNodeId: number, how: Disturbance): void {
    assertAble(this, how);
    this.#disturbed.set(`${fromNodeId}>${toNodeId}`, how);
    this.#writeRules(toNodeId);
  }

  heal(): void {
    this.#disturbed.clear();
    for (const nodeId of this.#nodeIds) this.#writeRules(nodeId);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    process.off('exit', this.#onExit);
    this.#remove();
  }

  #placeOf(nodeId: number): NodePlace {
    const address = this.#addressOf(nodeId);
    const listen = {
      client: `${address}:${PORTS.client}`,
      peer: `${address}:${PORTS.peer}`,
      http: `${address}:${PORTS.http}`,
    };
    // Only the network: the node sees the mounts that were made for it.
    const launcher = ['nsenter', `--net=/run/netns/${this.#nameOf(nodeId)}`];
    return { listen, peerAddress: listen.peer, launcher };
  }

  #build(): void {
    const hub = this.#hub;
    run('ip', 'netns', 'add', hub);
    run('ip', '-n', hub, 'link', 'add', 'bridge', 'type', 'bridge');
    run('ip', '-n', hub, 'link', 'set', 'bridge', 'up');
    run('ip', 'link', 'add', this.#id, 'type', 'veth', 'peer', 'name', 'host', 'netns', hub);
    run('ip', '-n', hub, 'link', 'set', 'host', 'master', 'bridge', 'up');
    run('ip', 'address', 'add', `${this.#subnet}.${HOST_ADDRESS}/24`, 'dev', this.#id);
    run('ip', 'link', 'set', this.#id, 'up');
    for (const nodeId of this.#nodeIds) {
      const name = this.#nameOf(nodeId);
      const port = `node${nodeId}`;
      run('ip', 'netns', 'add', name);
      run(
        'ip',
        '-n',
        name,
        'link',
        'add',
        'eth0',
        'type',
        'veth',
        'peer',
        'name',
        port,
        'netns',
        hub,
      );
      run('ip', '-n', name, 'address', 'add', `${this.#addressOf(nodeId)}/24`, 'dev', 'eth0');
      run('ip', '-n', name, 'link', 'set', 'eth0', 'up');
      run('ip', '-n', name, 'link', 'set', 'lo', 'up');
      run('ip', '-n', hub, 'link', 'set', port, 'master', 'bridge', 'up');
    }
  }

  #writeRules(toNodeId: number): void {
    const iptables = (...words: string[]): void =>
      run('ip', 'netns', 'exec', this.#nameOf(toNodeId), 'iptables', '-w', ...words);
    iptables('-F', 'INPUT');
    for (const fromNodeId of this.#nodeIds) {
      const { isCut, lossShare = 0 } = this.#disturbed.get(`${fromNodeId}>${toNodeId}`) ?? {};
      const rule = ['-A', 'INPUT', '-s', this.#addressOf(fromNodeId), '-j', 'DROP'];
      const chance = ['-m', 'statistic', '--mode', 'random', '--probability', `${lossShare}`];
      if (isCut) iptables(...rule);
      else if (lossShare > 0) iptables(...rule, ...chance);
    }
  }

  #remove(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    quietly('ip', 'link', 'del', this.#id);
    for (const nodeId of this.#nodeIds) quietly('ip', 'netns', 'del', this.#nameOf(nodeId));
    quietly('ip', 'netns', 'del', this.#hub);
  }

  get #hub(): string {
    return `${this.#id}-hub`;
  }

  #nameOf(nodeId: number): string {
    return `${this.#id}-${nodeId}`;
  }

  #addressOf(nodeId: number): string {
    return `${this.#subnet}.${nodeId}`;
  }
}

function run(command: string, ...words: string[]): void {
  execFileSync(command, words, { stdio: 'pipe' });
}

/** For what may be gone already. */
function quietly(command: string, ...words: string[]): void {
  try {
    run(command, ...words);
  } catch {
    // It is not there: all that was wanted.
  }
}
