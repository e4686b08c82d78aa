/** A TCP listener that knows its connections, so that closing it can drain, and then force. */
import { createServer, type Server, type Socket } from 'node:net';

export class Listener {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /**
   * Listens on `address` ("host:port"; an IPv6 host in brackets; port 0 for any free one) and hands
   * each connection over. Rejects with the system's error, such as EADDRINUSE.
   */
  static start(address: string, onConnection: (socket: Socket) => void): Promise<Listener> {
    const server = createServer({ noDelay: true }, onConnection);
    return Listener.of(server, address);
  }

  /** The same for a server that handles its connections itself, such as one of node:http. */
  static async of(server: Server, address: string): Promise<Listener> {
    const listener = new Listener(server);
    const { host, port } = splitAddress(address);
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ host, port }, () => {
        server.removeListener('error', reject);
        // An accept that fails, for want of file descriptors, costs a connection and not the node.
        server.on('error', () => undefined);
        resolve(listener);
      });
    });
  }

  /** Where it really listens, with the port filled in. */
  get address(): string {
    const bound = this.#server.address();
    if (bound === null || typeof bound === 'string') return String(bound);
    return bound.family === 'IPv6'
      ? `[${bound.address}]:${bound.port}`
      : `${bound.address}:${bound.port}`;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Accepts no more connections. Resolves when the last one has ended. */
  stop(): Promise<void> {
    return new Promise((resolve) => {
      // The only error is that it is closed already.
      this.#server.close(() => resolve());
    });
  }

  /** Cuts what is still connected. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

/** The host is needed: without one the system would listen on every interface. */
function splitAddress(address: string): { host: string; port: number } {
  const [, v6, host = v6, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(address) ?? [];
  if (host === undefined) throw new TypeError(`not host:port: ${address}`);
  return { host, port: Number(port) };
}
