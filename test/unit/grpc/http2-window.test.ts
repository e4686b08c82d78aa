// Goal: gRPC servers made with our options receive fast over a long way; nothing else changes.
// Method: a proxy that delays both directions by 5 ms; throughput with and without the options.
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  Client,
  credentials,
  type handleBidiStreamingCall,
  type handleClientStreamingCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
} from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { channelOptions, serverOptions } from '../../../src/shared/grpc/channel-options.js';
import { forceClose } from '../../../src/shared/grpc/force-close.js';
import {
  FLOW_CONTROL_WINDOW_BYTES,
  installWideServerWindow,
  needsWideWindow,
  WIDE_WINDOW_MARKER,
} from '../../../src/shared/grpc/http2-window.js';

const DELAY_MS = 5;
const METHOD = '/test.Sink/Pour';
const same = (bytes: Buffer): Buffer => bytes;

/** Forwards every chunk `DELAY_MS` after it came, in both directions. */
async function delayingProxy(targetPort: number): Promise<{ port: number; close: () => void }> {
  const sockets = new Set<net.Socket>();
  const pipe = (from: net.Socket, to: net.Socket): void => {
    sockets.add(from);
    from.setNoDelay(true);
    from.on('data', (chunk) => setTimeout(() => to.destroyed || to.write(chunk), DELAY_MS));
    from.on('close', () => setTimeout(() => to.destroy(), DELAY_MS));
    from.on('error', () => to.destroy());
  };
  const server = net.createServer((near) => {
    const far = net.connect(targetPort, '127.0.0.1');
    pipe(near, far);
    pipe(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { port: (server.address() as net.AddressInfo).port, close };
}

async function sinkServer(options: object): Promise<{ port: number; close: () => void }> {
  const server = new Server(options);
  const pour: handleClientStreamingCall<Buffer, Buffer> = (call, callback) => {
    let size = 0;
    call.on('data', (bytes: Buffer) => {
      size += bytes.length;
    });
    call.on('end', () => callback(null, Buffer.from(String(size))));
  };
  const definition = {
    path: METHOD,
    requestStream: true,
    responseStream: false,
    requestSerialize: same,
    requestDeserialize: same,
    responseSerialize: same,
    responseDeserialize: same,
  };
  server.addService({ pour: definition }, { pour });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return { port, close: () => forceClose(server, `127.0.0.1:${port}`) };
}

/** Bytes per millisecond from a client to the server, through the proxy. */
async function throughput(port: number, sizeBytes: number): Promise<number> {
  const proxy = await delayingProxy(port);
  const client = new Client(
    `127.0.0.1:${proxy.port}`,
    credentials.createInsecure(),
    channelOptions({ ownConnection: true }),
  );
  await new Promise<void>((resolve, reject) => {
    client.waitForReady(Number.POSITIVE_INFINITY, (error) => (error ? reject(error) : resolve()));
  });
  const startedMs = performance.now();
  const received = await new Promise<Buffer | undefined>((resolve, reject) => {
    const call = client.makeClientStreamRequest(
      METHOD,
      same,
      same,
      new Metadata(),
      (error, answer) => (error ? reject(error) : resolve(answer)),
    );
    const chunk = Buffer.alloc(128 * 1024);
    for (let left = sizeBytes; left > 0; left -= chunk.length) call.write(chunk);
    call.end();
  });
  const rate = sizeBytes / (performance.now() - startedMs);
  expect(String(received)).toBe(String(sizeBytes));
  client.close();
  proxy.close();
  return rate;
}

describe('the wide window of gRPC servers', () => {
  it('carries at least four times as much at a round trip of 10 ms', async () => {
    const narrow = await sinkServer({ 'grpc.max_receive_message_length': -1 });
    const wide = await sinkServer(serverOptions());
    const narrowRate = await throughput(narrow.port, 1024 * 1024);
    const wideRate = await throughput(wide.port, 16 * 1024 * 1024);
    narrow.close();
    wide.close();
    expect(wideRate / narrowRate).toBeGreaterThan(4);
  });

  it('leaves http2 servers of others as they are', async () => {
    installWideServerWindow();
    const server = http2.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const session = http2.connect(`http://127.0.0.1:${port}`);
    await once(session, 'remoteSettings');
    expect(session.remoteSettings.initialWindowSize).toBe(65_535);
    session.destroy();
    server.close();
  });

  it('is announced to clients of a marked server, for streams and for the connection', async () => {
    installWideServerWindow();
    const server = http2.createServer({ maxSessionMemory: WIDE_WINDOW_MARKER });
    let connectionBytes: number | undefined;
    server.on('session', (session) => {
      connectionBytes = session.state.localWindowSize;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const session = http2.connect(`http://127.0.0.1:${port}`);
    await once(session, 'remoteSettings');
    expect(session.remoteSettings.initialWindowSize).toBe(FLOW_CONTROL_WINDOW_BYTES);
    expect(connectionBytes).toBe(FLOW_CONTROL_WINDOW_BYTES);
    session.destroy();
    server.close();
  });

  it('is set for servers with TLS as well', () => {
    installWideServerWindow();
    const sessionListeners = (maxSessionMemory: number): number =>
      http2.createSecureServer({ maxSessionMemory }).listenerCount('session');
    expect(sessionListeners(WIDE_WINDOW_MARKER)).toBe(sessionListeners(10) + 1);
  });

  it('is installed once, however often it is asked for', () => {
    installWideServerWindow();
    const { createServer } = http2;
    installWideServerWindow();
    expect(http2.createServer).toBe(createServer);
  });

  it('turns itself off where grpc-js sets the window, and for servers of others', () => {
    const marked = { maxSessionMemory: WIDE_WINDOW_MARKER };
    const wide = { initialWindowSize: FLOW_CONTROL_WINDOW_BYTES };
    expect(needsWideWindow(marked)).toBe(true);
    expect(needsWideWindow({ ...marked, settings: { initialWindowSize: 65_535 } })).toBe(true);
    expect(needsWideWindow({ ...marked, settings: wide })).toBe(false);
    expect(needsWideWindow({})).toBe(false);
    expect(needsWideWindow(undefined)).toBe(false);
    expect(needsWideWindow(() => undefined)).toBe(false);
  });
});

describe('two ends that write at the same moment', () => {
  const EXCHANGE = '/test.Both/Exchange';
  const MESSAGE_BYTES = 4 * 1024 * 1024;

  const received = (stream: NodeJS.EventEmitter): Promise<number> =>
    new Promise((resolve) => stream.once('data', (bytes: Buffer) => resolve(bytes.length)));

  // Over a socket whose kernel holds 200 KB in each direction, however it is used.
  it('both read on, however long their messages are', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'flotilla-window-'));
    const address = `unix:${join(directory, 'server.sock')}`;
    const server = new Server(serverOptions());
    const shape = { path: EXCHANGE, requestStream: true, responseStream: true };
    const codec = { requestSerialize: same, requestDeserialize: same };
    const answers = { responseSerialize: same, responseDeserialize: same };
    let accept = (_stream: ServerDuplexStream<Buffer, Buffer>): void => undefined;
    const accepted = new Promise<ServerDuplexStream<Buffer, Buffer>>((resolve) => {
      accept = resolve;
    });
    const exchange: handleBidiStreamingCall<Buffer, Buffer> = (stream) => {
      stream.sendMetadata(new Metadata());
      accept(stream);
    };
    server.addService({ Exchange: { ...shape, ...codec, ...answers } }, { Exchange: exchange });
    await promisify(server.bindAsync.bind(server))(address, ServerCredentials.createInsecure());
    const options = channelOptions({ ownConnection: true });
    const client = new Client(address, credentials.createInsecure(), options);
    try {
      const near = client.makeBidiStreamRequest(EXCHANGE, same, same);
      near.on('error', () => undefined);
      await once(near, 'metadata');
      const far = await accepted;
      const arrived = Promise.all([received(near), received(far)]);
      near.write(Buffer.alloc(MESSAGE_BYTES, 1));
      far.write(Buffer.alloc(MESSAGE_BYTES, 2));
      expect(await arrived).toEqual([MESSAGE_BYTES, MESSAGE_BYTES]);
      near.cancel();
    } finally {
      client.close();
      forceClose(server, address);
      rmSync(directory, { recursive: true, force: true });
    }
  });
});
