// Goal: a listener binds exactly what it is told, and knows and cuts its connections.
// Method: real sockets on loopback, port 0.
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Listener } from '../../../src/server/listener.js';
import { waitUntil } from '../../support/wait-until.js';

describe('Listener', () => {
  it('binds the host that it is told, IPv6 in brackets', async () => {
    const four = await Listener.start('127.0.0.1:0', () => undefined);
    expect(four.address).toMatch(/^127\.0\.0\.1:\d+$/);
    await four.stop();
    const six = await Listener.start('[::1]:0', () => undefined);
    expect(six.address).toMatch(/^\[::1\]:\d+$/);
    await six.stop();
  });

  it.each([':7700', '7700', 'localhost', 'localhost:', 'localhost:x', '::1:7700', ''])(
    'refuses "%s" instead of listening on every interface',
    async (address) => {
      await expect(Listener.start(address, () => undefined)).rejects.toThrow(TypeError);
    },
  );

  it('counts its connections, and cuts those that stay', async () => {
    const listener = await Listener.start('127.0.0.1:0', () => undefined);
    const [host = '', port] = listener.address.split(':');
    const socket = connect({ host, port: Number(port) });
    const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    await waitUntil('it is counted', () => listener.connections === 1);
    socket.resume();
    const stopped = listener.stop();
    listener.cut();
    await Promise.all([stopped, closed]);
    await waitUntil('it is forgotten', () => listener.connections === 0);
    await listener.stop();
  });
});
