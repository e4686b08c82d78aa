/** The public gRPC endpoint of a node: services, health, reflection, limits, orderly closing. */
import { type handleUnaryCall, Server, ServerCredentials } from '@grpc/grpc-js';
import { API, SERVICES } from '../shared/codec/public-api.js';
import { type Environment, sleep } from '../shared/environment.js';
import { serverOptions } from '../shared/grpc/channel-options.js';
import { LIMITS } from '../shared/limits.js';
import type { Logger } from '../shared/logger.js';
import { type Authenticator, authInterceptor } from './auth.js';
import type { ClusterAdmin, RecordsBackend } from './backend.js';
import { HealthService } from './health.js';
import { Listener } from './listener.js';
import type { ServerMetrics } from './metrics.js';
import { addReflection } from './reflection.js';
import { ServedStreams } from './served-streams.js';
import { clusterService } from './services/cluster.js';
import { collectionsService } from './services/collections.js';
import { recordsService } from './services/records.js';
import { tenantsService } from './services/tenants.js';
import { UnaryCalls } from './unary-calls.js';

/** Slightly too large a request is read, so that its error can name the limit. */
const OVERSIZE_ROOM_BYTES = 1024 * 1024;

/** How long `close` waits for calls in flight. */
const DRAIN_LIMIT_MS = 5_000;

export interface GrpcServerOptions {
  /** "host:port"; port 0 takes a free one. */
  readonly address: string;
  readonly records: RecordsBackend;
  readonly admin: ClusterAdmin;
  readonly environment: Pick<Environment, 'clock' | 'scheduler'>;
  readonly logger: Logger;
  readonly metrics: ServerMetrics;
  /** All calls are let in where it is absent. */
  readonly authenticator?: Authenticator;
  /** @default ServerCredentials.createInsecure() */
  readonly credentials?: ServerCredentials;
  /** Calls worked on at once; more are refused. @default LIMITS.inflightRequestsMax */
  readonly inflightMax?: number;
  /** Bytes of the requests worked on at once; more are refused. @default LIMITS.inflightBytesMax */
  readonly inflightBytesMax?: number;
  /** Calls on one stream at once; more are refused. @default LIMITS.streamCallsMax */
  readonly streamCallsMax?: number;
  /** Bytes of answers that wait on one stream. @default LIMITS.streamAnswerBytesMax */
  readonly streamAnswerBytesMax?: number;
  /** For calls without a deadline. @default 10,000 */
  readonly defaultTimeoutMs?: number;
}

type Handlers = Record<string, handleUnaryCall<Buffer, Buffer>>;

export class GrpcServer {
  readonly #server: Server;
  readonly #listener: Listener;
  readonly #streams: ServedStreams;
  readonly #health: HealthService;
  readonly #scheduler: Environment['scheduler'];
  #closed: Promise<void> | undefined;

  private constructor(
    server: Server,
    listener: Listener,
    streams: ServedStreams,
    health: HealthService,
    scheduler: Environment['scheduler'],
  ) {
    this.#server = server;
    this.#listener = listener;
    this.#streams = streams;
    this.#health = health;
    this.#scheduler = scheduler;
  }

  /** Listens and serves. Health says NOT_SERVING until `setServing(true)`. */
  static async start(options: GrpcServerOptions): Promise<GrpcServer> {
    const { authenticator, environment, metrics } = options;
    const server = new Server({
      ...serverOptions(),
      'grpc.max_receive_message_length': LIMITS.requestBytesMax.value + OVERSIZE_ROOM_BYTES,
      interceptors: authenticator === undefined ? [] : [authInterceptor(authenticator)],
    });
    const calls = unaryCalls(options);
    addService(server, SERVICES.collections, collectionsService(calls, options.admin));
    addService(server, SERVICES.cluster, clusterService(calls, options.admin));
    addService(server, SERVICES.tenants, tenantsService(calls, options.admin));
    addService(
      server,
      SERVICES.records,
      recordsService(calls, options.records, environment.clock, () => metrics.searchDegraded()),
    );
    const streams = new ServedStreams({
      calls,
      scheduler: environment.scheduler,
      authenticator,
      callsMax: options.streamCallsMax ?? LIMITS.streamCallsMax.value,
      answerBytesMax: options.streamAnswerBytesMax ?? LIMITS.streamAnswerBytesMax.value,
    });
    streams.addTo(server);
    const health = new HealthService();
    health.addTo(server);
    addReflection(server);
    const injector = server.createConnectionInjector(
      options.credentials ?? ServerCredentials.createInsecure(),
    );
    const listener = await Listener.start(options.address, (socket) =>
      injector.injectConnection(socket),
    );
    metrics.watchServer({
      inflight: () => calls.inflight,
      connections: () => listener.connections,
    });
    return new GrpcServer(server, listener, streams, health, environment.scheduler);
  }

  /** "host:port" as really bound. */
  get address(): string {
    return this.#listener.address;
  }

  /** What the standard health service says of the server and of each service. */
  setServing(serving: boolean): void {
    this.#health.setServing(serving);
  }

  /**
   * Says NOT_SERVING, takes no more calls, waits for those in flight up to `limitMs`, then cuts
   * them. Idempotent.
   */
  close(limitMs: number = DRAIN_LIMIT_MS): Promise<void> {
    this.#closed ??= this.#drain(limitMs);
    return this.#closed;
  }

  async #drain(limitMs: number): Promise<void> {
    this.#health.setServing(false);
    const stopped = this.#listener.stop();
    this.#streams.drain();
    const drained = new Promise<void>((resolve) => this.#server.tryShutdown(() => resolve()));
    const giveUp = new AbortController();
    await Promise.race([
      Promise.all([drained, stopped]),
      sleep(this.#scheduler, limitMs, giveUp.signal),
    ]);
    giveUp.abort();
    this.#server.forceShutdown();
    this.#listener.cut();
    await stopped;
  }
}

function unaryCalls(options: GrpcServerOptions): UnaryCalls {
  const { admin, environment, logger, metrics } = options;
  const { inflightMax, inflightBytesMax, defaultTimeoutMs } = options;
  return new UnaryCalls({
    clusterId: () => admin.clusterId(),
    clock: environment.clock,
    scheduler: environment.scheduler,
    logger,
    onFinished: (method, code, seconds) => metrics.callFinished(method, code, seconds),
    ...(inflightMax !== undefined && { inflightMax }),
    ...(inflightBytesMax !== undefined && { inflightBytesMax }),
    ...(defaultTimeoutMs !== undefined && { defaultTimeoutMs }),
  });
}

/** Registers the methods of one service. Messages pass grpc-js as plain bytes. */
function addService(server: Server, service: string, handlers: Handlers): void {
  const methods = Object.values(API).filter(({ path }) => path.startsWith(`/${service}/`));
  const definition = methods.map(({ path }) => [
    path.slice(service.length + 2),
    {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  ]);
  server.addService(Object.fromEntries(definition), handlers);
}

function asIs(bytes: Buffer): Buffer {
  return bytes;
}
