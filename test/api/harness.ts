/** A real gRPC server on a loopback port in front of a fake backend, and clients of it. */
import { Registry } from 'prom-client';
import { Flotilla, type FlotillaOptions } from '../../src/client/index.js';
import { GrpcServer, type GrpcServerOptions } from '../../src/server/grpc-server.js';
import { ServerMetrics } from '../../src/server/metrics.js';
import type { Clock, Scheduler } from '../../src/shared/environment.js';
import { type FlotillaError, isFlotillaError } from '../../src/shared/errors.js';
import { silentLogger } from '../../src/shared/logger.js';
import { FakeBackend } from './fake-backend.js';

export const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),
};

export const scheduler: Scheduler = {
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every(periodMs, task) {
    const timer = setInterval(task, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
  soon: (task) => {
    setImmediate(task);
  },
};

export interface Harness extends AsyncDisposable {
  readonly backend: FakeBackend;
  readonly server: GrpcServer;
  readonly metrics: ServerMetrics;
  readonly address: string;
  /** Closed with the harness. */
  client(options?: FlotillaOptions): Flotilla;
}

export async function startHarness(options: Partial<GrpcServerOptions> = {}): Promise<Harness> {
  const backend = new FakeBackend();
  const metrics = new ServerMetrics({ registry: new Registry(), version: '0.0.0', nodeId: 1 });
  const server = await GrpcServer.start({
    address: '127.0.0.1:0',
    records: backend,
    admin: backend,
    environment: { clock, scheduler },
    logger: silentLogger,
    metrics,
    ...options,
  });
  const clients: Flotilla[] = [];
  // A server that is closed has none any more.
  const { address } = server;
  return {
    backend,
    server,
    metrics,
    address,
    client(clientOptions = { retry: { attemptsMax: 1 } }) {
      const client = new Flotilla(address, clientOptions);
      clients.push(client);
      return client;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(clients.map((client) => client.close()));
      await server.close(100);
    },
  };
}

/** What `work` rejects with, which must be a `FlotillaError`. */
export async function failureOf(work: Promise<unknown>): Promise<FlotillaError> {
  try {
    await work;
  } catch (error) {
    if (isFlotillaError(error)) return error;
    throw error;
  }
  throw new Error('resolved, but should have been rejected');
}
