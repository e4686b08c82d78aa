// Goal: calls go to addresses that nobody gave only while they are known to be the cluster's (K2),
// and what is let go of stays so. Method: real servers, and silent listeners, on loopback.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Channel } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connections } from '../../../src/client/connections.js';
import { Flotilla } from '../../../src/client/flotilla.js';
import { isListening } from '../../../src/client/probe.js';
import { API } from '../../../src/shared/codec/public-api.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { ROUTES } from '../../api/fake-backend.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';
import { FullListener } from '../../support/full-listener.js';
import { waitUntil } from '../../support/wait-until.js';
import { TcpProxy } from '../transport/tcp-proxy.js';

const COUNT = { collection: 'notes' };
const NOTHING = { collection: '', tenant: '' };
const inTime = () => ({ deadlineMs: Date.now() + 60_000, writes: false });
const portOf = (address: string): number => Number(address.split(':')[1]);

let given: Harness;
let other: Harness;
let connections: Connections;
beforeEach(async () => {
  given = await startHarness();
  other = await startHarness();
  connections = new Connections([given.address]);
});
afterEach(async () => {
  connections.close();
  await given[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

const count = (more: object = {}) =>
  connections.attempt(API.count, COUNT, { ...inTime(), ...more });
const ask = (address: string) => connections.attemptAt(address, API.getRoutes, NOTHING, inTime());
const countsAt = ({ backend }: Harness) => backend.calls.filter((call) => call === 'count').length;

/** How many connections this process is about to make, whichever test began with them. */
const connecting = () =>
  process.getActiveResourcesInfo().filter((name) => name === 'TCPConnectWrap').length;

/** A listener that accepts connections and says nothing; counts them. */
async function startSilence() {
  const sockets = new Set<net.Socket>();
  let accepted = 0;
  const server = net.createServer((socket) => {
    accepted++;
    sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    accepted: () => accepted,
    open: () => sockets.size,
    [Symbol.dispose]: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe('an address that was given', () => {
  it('is not reached while nobody is there, and is again once somebody is', async () => {
    const proxy = await TcpProxy.open(portOf(given.address));
    connections.close();
    connections = new Connections([proxy.address, other.address]);
    const isReachedAfterCall = async (): Promise<boolean> => {
      await count({ prefer: proxy.address }).catch(() => undefined);
      return connections.isReached(proxy.address);
    };
    expect(await isReachedAfterCall()).toBe(true);
    proxy.cut();
    await waitUntil('it is missed', async () => !(await isReachedAfterCall()));
    proxy.heal();
    await waitUntil('it is found again', isReachedAfterCall);
    proxy.close();
  });
});

describe('an address that was found', () => {
  it('takes its turn once a node has answered there', async () => {
    await ask(other.address);
    connections.setFound([other.address], 'c1');
    expect(connections.count).toBe(2);
    for (let at = 0; at < 4; at++) await count();
    expect([countsAt(given), countsAt(other)]).toEqual([2, 2]);
  });

  it('is not connected to where nobody accepts, and holds no process up (C4)', async () => {
    using full = await FullListener.start();
    const before = connecting();
    const error = await failureOf(ask(full.address));
    expect(error.reason).toBe('NODE_NOT_READY');
    // What grpc-js connects to, it connects to for minutes, whoever closes the channel.
    expect(connecting()).toBeLessThanOrEqual(before);
  });

  it('that is let go of while a call waits for it ends the call, and is left alone', async () => {
    using silence = await startSilence();
    const asked = failureOf(ask(silence.address));
    await waitUntil('it is probed, then connected to', () => silence.accepted() === 2);
    const looked = vi.spyOn(Channel.prototype, 'getConnectivityState');
    connections.setFound([], 'c1');
    expect(await asked).toMatchObject({ reason: 'NODE_NOT_READY', outcome: 'not-applied' });
    // A closed channel that is asked to connect does so.
    expect(looked.mock.calls.filter(([tryToConnect]) => tryToConnect)).toEqual([]);
    looked.mockRestore();
    await count();
    expect(silence.accepted()).toBe(2);
  });

  it('leaves the turn when its connection breaks, until it is proven again (K2)', async () => {
    const proxy = await TcpProxy.open(portOf(other.address));
    await ask(proxy.address);
    connections.setFound([proxy.address], 'c1');
    await count({ prefer: proxy.address });
    expect(countsAt(other)).toBe(1);
    expect(connections.isReached(proxy.address)).toBe(true);
    proxy.cut();
    await waitUntil('it is out of the turn', () => connections.count === 1);
    expect(connections.isTrusted(proxy.address)).toBe(false);
    expect(connections.isReached(proxy.address)).toBe(false);
    proxy.heal();
    for (let at = 0; at < 4; at++) await count({ prefer: proxy.address });
    expect([countsAt(given), countsAt(other)]).toEqual([4, 1]);
    await ask(proxy.address);
    connections.setFound([proxy.address], 'c1');
    await count({ prefer: proxy.address });
    expect(countsAt(other)).toBe(2);
    proxy.close();
  });

  it('is dropped where another cluster answers now, and the call is served elsewhere', async () => {
    await ask(other.address);
    connections.setFound([other.address], 'c1');
    other.backend.routesOf = () => ({ ...ROUTES, clusterId: 'c2' });
    for (const writes of [true, false]) await count({ prefer: other.address, writes });
    expect([countsAt(given), countsAt(other)]).toEqual([2, 0]);
    expect(connections.isTrusted(other.address)).toBe(false);
    expect(connections.count).toBe(1);
  });

  it('of a node that does not know its cluster yet is served as ever', async () => {
    await ask(other.address);
    connections.setFound([other.address], 'c1');
    other.backend.clusterId = () => undefined;
    await count({ prefer: other.address });
    expect(countsAt(other)).toBe(1);
  });
});

describe('calls for a cluster', () => {
  it.each(['stream', 'unary'] as const)('are refused by another one over %s', async (kind) => {
    const bare = new Connections([given.address], kind);
    const attempt = (clusterId: string) =>
      bare.attempt(
        API.upsert,
        { collection: 'notes', records: [] },
        {
          ...inTime(),
          writes: true,
          headers: [['flotilla-cluster', clusterId]],
        },
      );
    expect(await failureOf(attempt('c2'))).toMatchObject({
      reason: 'WRONG_CLUSTER',
      outcome: 'not-applied',
      field: 'flotilla-cluster',
    });
    expect(given.backend.calls).toEqual([]);
    expect((await failureOf(attempt('c1'))).reason).toBe('INVALID_REQUEST');
    bare.close();
  });
});

describe('calls about tenants and shard keys', () => {
  const older = ({ backend }: Harness): void => {
    backend.routesOf = () => {
      throw new FlotillaError('UNIMPLEMENTED', 'this version knows no routes');
    };
  };
  const counting = ({ backend }: Harness) => {
    const { routesOf } = backend;
    let asked = 0;
    backend.routesOf = (request) => {
      asked++;
      return routesOf(request);
    };
    return () => asked;
  };

  it('are not sent to a node that would leave them out (U1)', async () => {
    older(given);
    const asked = counting(given);
    for (let at = 0; at < 3; at++) {
      expect(await failureOf(count({ isScoped: true, writes: true }))).toMatchObject({
        reason: 'UNIMPLEMENTED',
        outcome: 'not-applied',
      });
    }
    expect(given.backend.calls).toEqual([]);
    expect(asked()).toBe(1);
    await count();
    expect(countsAt(given)).toBe(1);
  });

  it('have not happened where the node does not say in time what it knows (P-2)', async () => {
    given.backend.routesOf = () => {
      throw new FlotillaError('DEADLINE_EXCEEDED', 'no time was left');
    };
    expect(await failureOf(count({ isScoped: true, writes: true }))).toMatchObject({
      reason: 'NODE_NOT_READY',
      outcome: 'not-applied',
    });
    expect(given.backend.calls).toEqual([]);
  });

  it('go to the nodes that know them, where some do', async () => {
    connections.close();
    older(given);
    connections = new Connections([given.address, other.address]);
    for (let at = 0; at < 6; at++) await count({ isScoped: true, prefer: given.address });
    expect([countsAt(given), countsAt(other)]).toEqual([0, 6]);
    for (let at = 0; at < 4; at++) await count();
    expect(countsAt(given)).toBe(2);
  });

  it('ask each connection once, and the next one again', async () => {
    connections.close();
    const proxy = await TcpProxy.open(portOf(given.address));
    connections = new Connections([proxy.address]);
    const asked = counting(given);
    for (let at = 0; at < 5; at++) await count({ isScoped: true });
    expect(asked()).toBe(1);
    proxy.cut();
    proxy.heal();
    await waitUntil('it is connected again', async () => {
      return count().then(
        () => true,
        () => false,
      );
    });
    older(given);
    expect((await failureOf(count({ isScoped: true }))).reason).toBe('UNIMPLEMENTED');
    proxy.close();
  });

  it('are those that name a tenant, all of them, or shard keys', async () => {
    older(given);
    const client = given.client({ retry: { attemptsMax: 1 }, routing: 'proxy' });
    const acme = client.collection('notes', { tenant: 'acme' });
    const calls = [
      acme.count(),
      acme.upsert([{ id: 'a', values: [1, 2, 3, 4] }]),
      acme.fetch(['a'], { consistency: 'eventual' }),
      acme.deleteByFilter({}),
      client.collection('notes').deleteByFilter({}, { shardKey: 'order-7' }),
      client.collection('notes').count({ allTenants: true }),
      client.collection('notes').count({ shardKey: 'order-7' }),
      client.collection('notes').fetch([{ id: 'a', shardKey: 'order-7' }]),
    ];
    for (const call of calls) expect((await failureOf(call)).reason).toBe('UNIMPLEMENTED');
    expect(given.backend.calls).toEqual([]);
    await client.collection('notes').count();
    expect(countsAt(given)).toBe(1);
  });
});

describe('a delete by filter among shard keys', () => {
  const keyed = (more: object = {}) => {
    const selection = { shardKeys: ['order-7'], filter: new Uint8Array(0) };
    const request = { collection: 'notes', shardKeyFilter: selection, cursor: '' };
    const options = { ...inTime(), writes: true, isScoped: true, isKeyedDelete: true, ...more };
    return connections.attempt(API.deleteByFilter, request, options);
  };
  /** Counts what comes; a node of before the field knows shard keys elsewhere. */
  const served = ({ backend }: Harness, isOlder: boolean) => {
    let asked = 0;
    backend.deleteByFilter = async () => {
      asked++;
      if (isOlder) throw unseen();
      return { deletedCount: 2, written: [] };
    };
    return () => asked;
  };
  const unseen = (): FlotillaError => {
    const message = 'filter is missing, an empty one matches all records';
    return new FlotillaError('INVALID_REQUEST', message, { field: 'filter' });
  };
  const useBoth = (): void => {
    connections.close();
    connections = new Connections([given.address, other.address]);
  };

  it('goes to the next node where one sees no filter, and past that one from then on', async () => {
    useBoth();
    const [older, newer] = [served(given, true), served(other, false)];
    for (let at = 0; at < 4; at++) {
      expect(await keyed({ prefer: given.address })).toMatchObject({ deletedCount: 2 });
    }
    expect([older(), newer()]).toEqual([1, 4]);
    await count({ prefer: given.address });
    expect(countsAt(given)).toBe(1);
  });

  it('is refused where no node sees it, each asked once', async () => {
    useBoth();
    const asked = [served(given, true), served(other, true)];
    const refusal = { reason: 'INVALID_REQUEST', field: 'filter', outcome: 'not-applied' };
    expect(await failureOf(keyed())).toMatchObject(refusal);
    expect(asked.map((times) => times())).toEqual([1, 1]);
  });

  it('is not sent about for a filter that is wrong', async () => {
    useBoth();
    const wrong = new FlotillaError('INVALID_REQUEST', 'filter.year is 7', {
      field: 'filter.year',
    });
    let asked = 0;
    for (const { backend } of [given, other]) {
      backend.deleteByFilter = async () => {
        asked++;
        throw wrong;
      };
    }
    expect((await failureOf(keyed())).field).toBe('filter.year');
    expect(asked).toBe(1);
  });

  it('waits for a node that sees it, within its time, rather than be refused', async () => {
    connections.close();
    const proxy = await TcpProxy.open(portOf(other.address));
    const client = new Flotilla([given.address, proxy.address], { routing: 'proxy' });
    const [older, newer] = [served(given, true), served(other, false)];
    const notes = client.collection('notes');
    proxy.cut();
    const deleted = notes.deleteByFilter({}, { shardKey: 'order-7', timeoutMs: 60_000 });
    await waitUntil('the older node has refused it', async () => older() > 0);
    expect(newer()).toBe(0);
    proxy.heal();
    expect(await deleted).toEqual({ deletedCount: 2 });
    expect(older()).toBe(1);
    await client.close();
    proxy.close();
  });
});

describe('a program', () => {
  it('that calls and closes ends, although a node advertises what drops packets (C4)', async () => {
    using full = await FullListener.start();
    const nodes = [
      { nodeId: 1, clientAddress: given.address },
      { nodeId: 2, clientAddress: full.address },
    ];
    let asked = 0;
    given.backend.routesOf = () => {
      asked++;
      return { ...ROUTES, nodes };
    };
    const program = `
      import { Flotilla } from '${pathToFileURL(resolve('dist/client/index.js'))}';
      const flotilla = new Flotilla('${given.address}');
      for (let call = 0; call < 3; call++) await flotilla.collection('notes').count();
      await flotilla.close();
      console.log(process.getActiveResourcesInfo().join());
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
    let printed = '';
    child.stdout.on('data', (text) => {
      printed += text;
    });
    expect(await once(child, 'exit')).toEqual([0, null]);
    expect(asked).toBeGreaterThan(0);
    expect(printed).not.toContain('TCPConnectWrap');
  });
});

describe('a probe', () => {
  it('tells who takes connections', async () => {
    const { signal } = new AbortController();
    using silence = await startSilence();
    expect(await isListening(silence.address, signal)).toBe(true);
    expect(await isListening('127.0.0.1:1', signal)).toBe(false);
    expect(await isListening('127.0.0.1:99999', signal)).toBe(false);
    expect(await isListening('nowhere', signal)).toBe(false);
    expect(await isListening(silence.address, AbortSignal.abort())).toBe(false);
    await waitUntil('it has hung up', () => silence.open() === 0);
  });

  it('ends when the client is closed', async () => {
    using full = await FullListener.start();
    const controller = new AbortController();
    const probed = isListening(full.address, controller.signal);
    controller.abort();
    expect(await probed).toBe(false);
  });
});
