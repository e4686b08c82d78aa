/** Where the nodes of a process cluster listen, and how the paths between them can be disturbed. */
import { freePorts } from '../../../src/cli/demo/free-ports.js';

/** host:port of each listener of a node. */
export interface Listeners {
  readonly client: string;
  readonly peer: string;
  readonly http: string;
}

export interface NodePlace {
  readonly listen: Listeners;
  /** What other nodes dial: the peer listener, or what stands in front of it. */
  readonly peerAddress: string;
  /** Words in front of the node's command line. */
  readonly launcher: readonly string[];
}

/** What happens to what one node sends to another, until the network heals. */
export interface Disturbance {
  /** The connection stands still: nothing is reset, nothing arrives. */
  readonly isCut?: boolean;
  /** Added to each way; jitter is drawn evenly from 0 to this, and never changes the order. */
  readonly delayMs?: number;
  readonly jitterMs?: number;
  /** Share of packets that are lost, 0 to 1. */
  readonly lossShare?: number;
}

export type Disturbing = keyof Disturbance;

/** Clients reach every node whatever happens between the nodes. */
export interface NodeNetwork {
  readonly name: string;
  /** What `disturb` can do here. */
  readonly abilities: ReadonlySet<Disturbing>;
  readonly places: ReadonlyMap<number, NodePlace>;
  /** Tells whose process has just been started. */
  noteProcess(nodeId: number, processId: number): void;
  /** Replaces what was set for this direction. Throws for what is no ability. */
  disturb(fromNodeId: number, toNodeId: number, how: Disturbance): void;
  /** All paths are as they were at first. */
  heal(): void;
  /** Idempotent. */
  close(): Promise<void>;
}

/** Loopback ports, which nothing disturbs. */
export class LoopbackNetwork implements NodeNetwork {
  readonly name = 'loopback';
  readonly abilities: ReadonlySet<Disturbing> = new Set();
  readonly places: ReadonlyMap<number, NodePlace>;

  static async open(nodeIds: readonly number[]): Promise<LoopbackNetwork> {
    const listeners = await loopbackListeners(nodeIds);
    const places = nodeIds.map((nodeId, at): [number, NodePlace] => {
      const listen = listeners[at] as Listeners;
      return [nodeId, { listen, peerAddress: listen.peer, launcher: [] }];
    });
    return new LoopbackNetwork(new Map(places));
  }

  private constructor(places: ReadonlyMap<number, NodePlace>) {
    this.places = places;
  }

  noteProcess(): void {}

  disturb(): void {
    throw new Error('nothing disturbs the loopback network');
  }

  heal(): void {}

  async close(): Promise<void> {}
}

/** Free loopback ports for each node, in order. */
export async function loopbackListeners(nodeIds: readonly number[]): Promise<Listeners[]> {
  const ports = await freePorts(nodeIds.length * 3);
  const address = (at: number): string => `127.0.0.1:${ports[at]}`;
  return nodeIds.map((_, at) => ({
    client: address(3 * at),
    peer: address(3 * at + 1),
    http: address(3 * at + 2),
  }));
}

/** Refuses what the network cannot do, so that no test passes for want of a fault. */
export function assertAble(network: NodeNetwork, how: Disturbance): void {
  for (const [key, value] of Object.entries(how)) {
    if (value === undefined || network.abilities.has(key as Disturbing)) continue;
    throw new Error(`the ${network.name} network has no ${key}`);
  }
}
