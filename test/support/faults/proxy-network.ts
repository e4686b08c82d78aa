/**
 * Loopback ports with a proxy in front of each node's peer port: needs no rights. Nodes are told
 * apart by the process that holds the dialling socket (Linux).
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { type Direction, FaultProxy, type Treatment } from './fault-proxy.js';
import {
  assertAble,
  type Disturbance,
  type Disturbing,
  type Listeners,
  loopbackListeners,
  type NodeNetwork,
  type NodePlace,
} from './node-network.js';

export class ProxyNetwork implements NodeNetwork {
  readonly name = 'proxy';
  readonly abilities: ReadonlySet<Disturbing> = new Set(['isCut', 'delayMs', 'jitterMs']);
  readonly #places = new Map<number, NodePlace>();
  readonly #proxies: FaultProxy[] = [];
  readonly #processIds = new Map<number, number>();
  readonly #disturbed = new Map<string, Disturbance>();

  static async open(nodeIds: readonly number[]): Promise<ProxyNetwork> {
    const network = new ProxyNetwork();
    const listeners = await loopbackListeners(nodeIds);
    for (const [at, nodeId] of nodeIds.entries()) {
      const listen = listeners[at] as Listeners;
      const proxy = await FaultProxy.open({
        target: listen.peer,
        onConnection: (dialerPort) => network.#treatmentOf(nodeId, dialerPort),
      });
      network.#proxies.push(proxy);
      network.#places.set(nodeId, { listen, peerAddress: proxy.address, launcher: [] });
    }
    return network;
  }

  private constructor() {}

  get places(): ReadonlyMap<number, NodePlace> {
    return this.#places;
  }

  noteProcess(nodeId: number, processId: number): void {
    this.#processIds.set(nodeId, processId);
  }

  disturb(fromNodeId: number, toNodeId: number, how: Disturbance): void {
    assertAble(this, how);
    this.#disturbed.set(`${fromNodeId}>${toNodeId}`, how);
    for (const proxy of this.#proxies) proxy.treatAgain();
  }

  heal(): void {
    this.#disturbed.clear();
    for (const proxy of this.#proxies) proxy.treatAgain();
  }

  async close(): Promise<void> {
    await Promise.all(this.#proxies.splice(0).map((proxy) => proxy.close()));
  }

  #treatmentOf(listenerNodeId: number, dialerPort: number): (way: Direction) => Treatment {
    let dialerNodeId: number | undefined;
    return (direction) => {
      if (this.#disturbed.size === 0) return {};
      dialerNodeId ??= this.#dialerOf(dialerPort);
      if (dialerNodeId === undefined) return {};
      const path =
        direction === 'forth'
          ? `${dialerNodeId}>${listenerNodeId}`
          : `${listenerNodeId}>${dialerNodeId}`;
      const { isCut, delayMs = 0, jitterMs = 0 } = this.#disturbed.get(path) ?? {};
      return { isCut, delayMs: delayMs + Math.random() * jitterMs };
    };
  }

  /** Undefined for who is no node of ours, and once the socket is gone. */
  #dialerOf(port: number): number | undefined {
    const socket = socketOf(port);
    if (socket === undefined) return undefined;
    return [...this.#processIds].find(([, processId]) => holdsSocket(processId, socket))?.[0];
  }
}

/** The kernel's name of the loopback socket with this local port. */
function socketOf(port: number): string | undefined {
  const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  const inode = lines
    .map((line) => line.trim().split(/\s+/))
    .find((columns) => columns[1] === local)?.[9];
  return inode === undefined ? undefined : `socket:[${inode}]`;
}

function holdsSocket(processId: number, socket: string): boolean {
  const directory = `/proc/${processId}/fd`;
  try {
    return readdirSync(directory).some((name) => readlinkSync(`${directory}/${name}`) === socket);
  } catch {
    // The process has ended, or closed a file while we looked.
    return false;
  }
}
