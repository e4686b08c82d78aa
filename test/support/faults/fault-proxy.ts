/** A TCP proxy whose two directions can be held up, delayed, or whose links can be reset. */
import { once } from 'node:events';
import net from 'node:net';

/** 'forth': from who connected to the proxy to the target. */
export type Direction = 'forth' | 'back';

export interface Treatment {
  readonly isCut?: boolean | undefined;
  readonly delayMs?: number | undefined;
}

export interface FaultProxyOptions {
  /** "host:port" that connections are passed on to. */
  readonly target: string;
  /**
   * Called once for each connection, with the local port of who dialled; what it returns is asked
   * for each chunk of bytes. @default nothing is done to them
   */
  readonly onConnection?: (dialerPort: number) => (direction: Direction) => Treatment;
}

/** Bytes that wait for their time, beyond which a sender is held back. */
const WAITING_BYTES_MAX = 4 * 1024 * 1024;

export class FaultProxy {
  readonly #options: FaultProxyOptions;
  readonly #server: net.Server;
  readonly #pipes = new Set<Pipe>();

  static async open(options: FaultProxyOptions): Promise<FaultProxy> {
    const proxy = new FaultProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  private constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#server = net.createServer({ allowHalfOpen: true }, (near) => this.#onConnection(near));
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  /** To be called when connections are to be treated otherwise than before. */
  treatAgain(): void {
    for (const pipe of this.#pipes) pipe.flow();
  }

  /** Breaks all connections, as a process that ends does; new ones are welcome. */
  reset(): void {
    for (const pipe of this.#pipes) pipe.reset();
  }

  async close(): Promise<void> {
    this.reset();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #onConnection(near: net.Socket): void {
    const { target, onConnection = () => () => ({}) } = this.#options;
    const [host = '', port = ''] = target.split(':');
    const far = net.connect({ port: Number(port), host, allowHalfOpen: true });
    const treat = onConnection(near.remotePort ?? 0);
    const pipes = [
      new Pipe(near, far, () => treat('forth')),
      new Pipe(far, near, () => treat('back')),
    ];
    for (const pipe of pipes) this.#pipes.add(pipe);
    for (const socket of [near, far]) {
      socket.on('error', () => {
        for (const pipe of pipes) pipe.reset();
      });
      socket.on('close', () => {
        for (const pipe of pipes) this.#pipes.delete(pipe);
      });
    }
  }
}

/** Carries the bytes of one direction, in order, each chunk when its time has come. */
class Pipe {
  readonly #from: net.Socket;
  readonly #to: net.Socket;
  readonly #treat: () => Treatment;
  readonly #waiting: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  #waitingBytes = 0;
  #hasEnded = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: net.Socket, to: net.Socket, treat: () => Treatment) {
    this.#from = from;
    this.#to = to;
    this.#treat = treat;
    from.setNoDelay(true);
    from.on('data', (chunk) => this.#take(chunk));
    from.on('end', () => {
      this.#hasEnded = true;
      this.flow();
    });
    to.on('drain', () => this.flow());
  }

  /** Passes on what may go now, and holds the sender back while too much waits. */
  flow(): void {
    clearTimeout(this.#timer);
    const isCut = this.#treat().isCut ?? false;
    const nowMs = performance.now();
    while (!isCut) {
      const [first] = this.#waiting;
      if (first === undefined || this.#to.destroyed || this.#to.writableNeedDrain) break;
      if (first.dueMs > nowMs) {
        this.#timer = setTimeout(() => this.flow(), first.dueMs - nowMs);
        break;
      }
      this.#waiting.shift();
      this.#waitingBytes -= first.chunk.length;
      this.#to.write(first.chunk);
    }
    if (this.#hasEnded && !isCut && this.#waiting.length === 0) this.#to.end();
    if (isCut || this.#waitingBytes > WAITING_BYTES_MAX) this.#from.pause();
    else this.#from.resume();
  }

  /** A reset rather than an orderly end, on both sides. */
  reset(): void {
    clearTimeout(this.#timer);
    this.#from.resetAndDestroy();
    this.#to.resetAndDestroy();
  }

  #take(chunk: Buffer): void {
    // No earlier than what came before: TCP keeps the order.
    const earliestMs = this.#waiting.at(-1)?.dueMs ?? 0;
    const dueMs = Math.max(earliestMs, performance.now() + (this.#treat().delayMs ?? 0));
    this.#waiting.push({ chunk, dueMs });
    this.#waitingBytes += chunk.length;
    this.flow();
  }
}
