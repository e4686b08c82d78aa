// Goal: GrpcNetwork is a Network, and fails fast where gRPC by itself would wait and retry.
// Method: the conformance suite over loopback sockets; raw sockets as bad peers.
import { once } from 'node:events';
import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { GrpcNetwork } from '../../../src/transport/grpc-network.js';
import { networkSuite } from '../../conformance/network-suite.js';
import { realScheduler, until } from './real-time.js';

networkSuite('grpc', async () => ({
  network: new GrpcNetwork({ scheduler: realScheduler }),
  listenAddress: '127.0.0.1:0',
  givesFramesBack: true,
  close: async () => undefined,
}));

async function silentServer(): Promise<{ address: string; close: () => void }> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => undefined));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { address: `127.0.0.1:${port}`, close };
}

describe('gRPC network', () => {
  const network = new GrpcNetwork({ scheduler: realScheduler });

  it('rejects a dial to a closed port without waiting for the timeout', async () => {
    const timeoutMs = 2 ** 30;
    await expect(network.dial('127.0.0.1:1', { timeoutMs })).rejects.toThrow(
      /^cannot reach 127\.0\.0\.1:1: connect ECONNREFUSED 127\.0\.0\.1:1$/,
    );
  });

  it('rejects a dial to a server that never speaks when the timeout has passed', async () => {
    const server = await silentServer();
    await expect(network.dial(server.address, { timeoutMs: 50 })).rejects.toThrow(
      'no answer within 50 ms',
    );
    server.close();
  });

  it('rejects a dial to a server that does not speak HTTP/2', async () => {
    const server = net.createServer((socket) => {
      socket.on('error', () => undefined).end('HTTP/1.1 400 Bad Request\r\n\r\n');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    await expect(network.dial(`127.0.0.1:${port}`, { timeoutMs: 10_000 })).rejects.toThrow();
    server.close();
  });

  it('reaches a peer that came up after refused dials at once, without a backoff', async () => {
    const first = await network.listen('127.0.0.1:0', () => undefined);
    const { address } = first;
    await first.close();
    for (let attempt = 0; attempt < 5; attempt++) {
      await expect(network.dial(address, { timeoutMs: 10_000 })).rejects.toThrow();
    }
    const second = await network.listen(address, (connection) =>
      connection.start({
        onFrame: (frame) => connection.send(frame),
        onDrain: () => undefined,
        onClose: () => undefined,
      }),
    );
    const connection = await network.dial(address, { timeoutMs: 10_000 });
    let echoes = 0;
    connection.start({
      onFrame: () => echoes++,
      onDrain: () => undefined,
      onClose: () => undefined,
    });
    connection.send(new Uint8Array(1));
    await until(() => echoes === 1);
    connection.close();
    await second.close();
  });
});
