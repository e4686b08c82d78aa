// Goal: the proxy that stands for bad networks holds up, delays and breaks what it is told to, and
// otherwise passes on every byte in order. Method: a server and a client on loopback sockets.
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import { type Direction, FaultProxy, type Treatment } from '../../support/faults/fault-proxy.js';
import { waitUntil } from '../../support/wait-until.js';

/** One end of a connection, with all that has come. */
class End {
  readonly socket: net.Socket;
  readonly errors: string[] = [];
  #chunks: Buffer[] = [];
  hasEnded = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    socket.on('end', () => {
      this.hasEnded = true;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => this.errors.push(error.code ?? ''));
  }

  get received(): Buffer {
    this.#chunks = [Buffer.concat(this.#chunks)];
    return defined(this.#chunks[0], 'what was received');
  }

  get text(): string {
    return this.received.toString();
  }
}

let server: net.Server;
let proxy: FaultProxy;
let accepted: End[];
let treatments: Partial<Record<Direction, Treatment>>;
/** How often the proxy has asked for the treatment of a connection. */
let asked: number;
const clients: End[] = [];

beforeEach(async () => {
  accepted = [];
  treatments = {};
  asked = 0;
  server = net.createServer({ allowHalfOpen: true }, (socket) => accepted.push(new End(socket)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const target = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
  const onConnection = () => (direction: Direction) => {
    asked++;
    return treatments[direction] ?? {};
  };
  proxy = await FaultProxy.open({ target, onConnection });
});

afterEach(async () => {
  for (const { socket } of [...clients.splice(0), ...accepted]) socket.destroy();
  server.close();
  await proxy.close();
});

async function dial(): Promise<End> {
  const port = Number(proxy.address.split(':')[1]);
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const client = new End(socket);
  clients.push(client);
  await once(socket, 'connect');
  return client;
}

async function connected(): Promise<{ near: End; far: End }> {
  const before = accepted.length;
  const near = await dial();
  await waitUntil('the server has the connection', () => accepted.length > before);
  return { near, far: defined(accepted[before], 'the accepted end') };
}

function treat(how: Partial<Record<Direction, Treatment>>): void {
  treatments = how;
  proxy.treatAgain();
}

/**
 * Carries a few messages one after another: what was sent the other way before, and is not held up,
 * has arrived then too.
 */
async function carry(from: End, to: End): Promise<void> {
  for (let message = 0; message < 5; message++) {
    const wanted = `${to.text}${message}`;
    from.socket.write(`${message}`);
    await waitUntil('a message arrives', () => to.text === wanted);
  }
}

describe('a fault proxy that nobody disturbs', () => {
  it('passes every byte on in both directions, and the ends of the streams', async () => {
    const { near, far } = await connected();
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => at % 251));
    near.socket.end(bytes);
    await waitUntil('the server has read to the end', () => far.hasEnded);
    expect(far.received.equals(bytes)).toBe(true);
    // Half of the connection is closed; the other still carries the answer.
    expect(near.hasEnded).toBe(false);
    far.socket.end('answer');
    await waitUntil('the client has read to the end', () => near.hasEnded);
    expect(near.text).toBe('answer');
  });

  it('tells who dialled by the local port', async () => {
    const ports: number[] = [];
    const target = `127.0.0.1:${(server.address() as net.AddressInfo).port}`;
    const onConnection = (dialerPort: number) => {
      ports.push(dialerPort);
      return () => ({});
    };
    const other = await FaultProxy.open({ target, onConnection });
    const socket = net.connect(Number(other.address.split(':')[1]), '127.0.0.1');
    await once(socket, 'connect');
    await waitUntil('the proxy has it', () => ports.length > 0);
    expect(ports).toEqual([socket.localPort]);
    socket.destroy();
    await other.close();
  });

  it('breaks the connection of a client when the target refuses it', async () => {
    server.close();
    const client = await dial();
    await waitUntil('the connection is broken', () => client.socket.destroyed);
    expect(client.errors).toEqual(['ECONNRESET']);
  });
});

describe('a cut', () => {
  it('holds up its direction only, and loses nothing when it heals (F-7)', async () => {
    const { near, far } = await connected();
    treat({ forth: { isCut: true } });
    near.socket.write('one ');
    await carry(far, near);
    expect(far.text).toBe('');
    near.socket.write('two');
    treat({});
    await waitUntil('all has arrived', () => far.text === 'one two');
  });

  it('holds up answers while requests arrive (F-22)', async () => {
    const { near, far } = await connected();
    treat({ back: { isCut: true } });
    far.socket.write('answer');
    await carry(near, far);
    expect(near.text).toBe('');
    treat({});
    await waitUntil('the answer has arrived', () => near.text === 'answer');
  });

  it('holds up the end of a stream as well as its bytes', async () => {
    const { near, far } = await connected();
    treat({ forth: { isCut: true } });
    near.socket.end('last words');
    await carry(far, near);
    expect([far.text, far.hasEnded]).toEqual(['', false]);
    treat({});
    await waitUntil('the end has arrived', () => far.hasEnded);
    expect(far.text).toBe('last words');
  });

  it('keeps the sender back, and passes all of it on when it heals', async () => {
    const { near, far } = await connected();
    treat({ forth: { isCut: true } });
    const bytes = Buffer.alloc(32 * 1024 * 1024, 'x');
    near.socket.write(bytes);
    await carry(far, near);
    expect(near.socket.writableLength).toBeGreaterThan(0);
    treat({});
    await waitUntil('all has arrived', () => far.received.length === bytes.length);
  });
});

describe('a delay', () => {
  it('never changes the order, however it jitters (F-8)', async () => {
    const { near, far } = await connected();
    const delaysMs = [80, 0, 40, 5, 20];
    for (const [at, delayMs] of delaysMs.entries()) {
      treatments = { forth: { delayMs } };
      asked = 0;
      near.socket.write(`${at}`);
      await waitUntil('the proxy has it', () => asked > 0);
    }
    await waitUntil('all has arrived', () => far.text.length === delaysMs.length);
    expect(far.text).toBe('01234');
  });
});

describe('a reset', () => {
  it('breaks both ends, and new connections are welcome', async () => {
    const { near, far } = await connected();
    proxy.reset();
    await waitUntil('both are broken', () => near.socket.destroyed && far.socket.destroyed);
    expect([near.errors, far.errors]).toEqual([['ECONNRESET'], ['ECONNRESET']]);
    const again = await connected();
    again.near.socket.write('hello');
    await waitUntil('bytes arrive', () => again.far.text === 'hello');
  });

  it('drops what a cut has held up: nothing of it arrives later', async () => {
    const { near, far } = await connected();
    treat({ forth: { isCut: true } });
    near.socket.write('never');
    await carry(far, near);
    proxy.reset();
    treat({});
    await waitUntil('both are broken', () => near.socket.destroyed && far.socket.destroyed);
    expect(far.text).toBe('');
  });
});
