/** A port of loopback that drops whoever connects: somebody listens there who never accepts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { waitUntil } from './wait-until.js';

/** Listens, tells its port, and stands still: the kernel accepts two more on its behalf. */
const PROGRAM = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('node:fs').writeSync(1, String(server.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
const ACCEPTED_BY_KERNEL = 2;

export class FullListener {
  readonly address: string;
  readonly #child: ChildProcess;
  readonly #sockets: readonly net.Socket[];

  static async start(): Promise<FullListener> {
    const child = spawn(process.execPath, ['--eval', PROGRAM], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [port] = (await once(child.stdout, 'data')) as [Buffer];
    let accepted = 0;
    const sockets = Array.from({ length: ACCEPTED_BY_KERNEL }, () =>
      net.connect(Number(port), '127.0.0.1', () => accepted++).on('error', () => undefined),
    );
    await waitUntil('the queue is full', () => accepted === ACCEPTED_BY_KERNEL);
    return new FullListener(`127.0.0.1:${port}`, child, sockets);
  }

  private constructor(address: string, child: ChildProcess, sockets: readonly net.Socket[]) {
    this.address = address;
    this.#child = child;
    this.#sockets = sockets;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#child.kill('SIGKILL');
  }
}
