// Goal: the end of a link says what it tells of the peer's process, and no more than that.
// Method: two transports over both networks; listeners, links and processes go away in each way.
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { defined } from '../../../src/shared/assert.js';
import type { Network } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { GrpcNetwork } from '../../../src/transport/grpc-network.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { createTransport } from '../../../src/transport/peer-transport.js';
import type { PeerIdentity, Transport } from '../../../src/transport/transport.js';
import { waitUntil } from '../../support/wait-until.js';
import { realClock, realRandom, realScheduler } from './real-time.js';
import { TcpProxy } from './tcp-proxy.js';

const identity = (nodeId: number, incarnation = 1): PeerIdentity => ({
  clusterId: 'c',
  nodeId,
  storeId: `store ${nodeId}`,
  incarnation,
});

interface Side {
  readonly transport: Transport;
  readonly events: string[];
}

const open: Transport[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((transport) => transport.close()));
});

async function side(network: Network, listenAddress: string): Promise<Side> {
  const events: string[] = [];
  const transport = await createTransport({
    environment: { clock: realClock, scheduler: realScheduler, random: realRandom, network },
    listenAddress,
    logger: silentLogger,
    onControl: async () => new Uint8Array(),
    handlers: {
      onMessages: () => undefined,
      onRequest: async (_from, payload) => payload,
      onPeerUp: () => void events.push('up'),
      onPeerDown: (_nodeId, evidence) => void events.push(evidence),
      onPeerRefused: () => undefined,
    },
  });
  open.push(transport);
  return { transport, events };
}

function know(self: Side, own: PeerIdentity, peer: number, address: string): void {
  self.transport.configure(own, [{ nodeId: peer, address, storeId: `store ${peer}` }]);
}

/** Node 1, which dials, linked to node 2, which it reaches by `route`. */
async function linked(
  one: Network,
  two: Network,
  listen: string,
  route = async (address: string): Promise<string> => address,
): Promise<[Side, Side]> {
  const first = await side(one, listen);
  const second = await side(two, listen);
  know(second, identity(2), 1, first.transport.address);
  know(first, identity(1), 2, await route(second.transport.address));
  await waitUntil('events', () => first.events.includes('up') && second.events.includes('up'));
  first.events.length = 0;
  second.events.length = 0;
  return [first, second];
}

describe('over the network in memory', () => {
  const memory = (): MemoryNetwork => new MemoryNetwork({ scheduler: realScheduler });

  it('a link that is cut is reset, at both sides', async () => {
    const network = memory();
    const [one, two] = await linked(network.host('a'), network.host('b'), 'x:0');
    network.cut('a', 'b');
    await waitUntil('events', () => one.events.length > 0 && two.events.length > 0);
    expect(one.events[0]).toBe('reset');
    expect(two.events[0]).toBe('reset');
  });

  it('a transport that closes in order says nothing of a dead process', async () => {
    const network = memory();
    const [one, two] = await linked(network.host('a'), network.host('b'), 'x:0');
    await two.transport.close();
    await waitUntil('events', () => one.events.length > 0);
    expect(one.events[0]).toBe('other');
    // Afterwards nobody listens there.
    await waitUntil('events', () => one.events.includes('refused'));
  });

  it('a peer that greets as a newer incarnation has restarted', async () => {
    const network = memory();
    const [one, two] = await linked(network.host('a'), network.host('b'), 'x:0');
    know(two, identity(2, 2), 1, one.transport.address);
    await waitUntil('events', () => one.events.includes('newer-incarnation'));
    await waitUntil('events', () => one.events.at(-1) === 'up');
  });
});

describe('over gRPC', () => {
  const grpc = (): GrpcNetwork => new GrpcNetwork({ scheduler: realScheduler });

  it('an address where nobody listens is refused', async () => {
    const gone = await side(grpc(), '127.0.0.1:0');
    const { address } = gone.transport;
    await gone.transport.close();
    const one = await side(grpc(), '127.0.0.1:0');
    know(one, identity(1), 2, address);
    await waitUntil('events', () => one.events.length > 0);
    expect(one.events[0]).toBe('refused');
  });

  /** A linked pair with a proxy in between, which is closed at the end of the test. */
  async function proxied(): Promise<{ one: Side; two: Side; proxy: TcpProxy }> {
    let proxy: TcpProxy | undefined;
    const [one, two] = await linked(grpc(), grpc(), '127.0.0.1:0', async (address) => {
      proxy = await TcpProxy.open(Number(address.split(':')[1]));
      return proxy.address;
    });
    const opened = defined(proxy, 'a proxy');
    onTestFinished(() => opened.close());
    return { one, two, proxy: opened };
  }

  it.each(['cut', 'end'] as const)(
    'a connection that goes away without a farewell is reset, at both sides (%s, F-1)',
    async (how) => {
      const { one, two, proxy } = await proxied();
      proxy[how]();
      await waitUntil('events', () => one.events.length > 0 && two.events.length > 0);
      expect(one.events[0]).toBe('reset');
      expect(two.events[0]).toBe('reset');
    },
  );

  it('a dialling side that closes in order says nothing of a dead process', async () => {
    const { one, two } = await proxied();
    one.transport.configure(identity(1), []);
    await waitUntil('events', () => two.events.length > 0);
    expect(two.events).toEqual(['other']);
  });

  it('an accepting side that closes in order says nothing of a dead process', async () => {
    const { one, two } = await proxied();
    two.transport.configure(identity(2), []);
    await waitUntil('events', () => one.events.length > 0);
    expect(one.events[0]).toBe('other');
  });
});
