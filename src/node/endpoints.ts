/** What a node offers to clients and operators: the gRPC services, metrics and health. */
import { Registry } from 'prom-client';
import type { RouterHooks } from '../router/hooks.js';
import type { ClusterAdmin, RecordsBackend } from '../server/backend.js';
import { ClusterMetrics, type RaftMetricsSource } from '../server/cluster-metrics.js';
import { GrpcServer } from '../server/grpc-server.js';
import { HttpServer, type Readiness } from '../server/http-server.js';
import { addProcessMetrics, ServerMetrics } from '../server/metrics.js';
import type { Environment } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import type { NodeConfig } from './config.js';
import type { Lifecycle } from './lifecycle.js';
import { VERSION } from './version.js';

export interface EndpointsOptions {
  readonly config: NodeConfig;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly metrics: ServerMetrics;
  readonly records: RecordsBackend;
  readonly admin: ClusterAdmin;
  readonly raftMetrics: RaftMetricsSource;
  readonly readiness: () => Readiness;
}

/** What clients and operators talk to. The parts of it are closed through the lifecycle. */
export interface Endpoints {
  /** host:port for clients, as really bound. */
  readonly clientAddress: string;
  /** host:port of metrics and health, as really bound. */
  readonly httpAddress: string;
  /** Whether load balancers should send requests here. */
  setServing(serving: boolean): void;
}

/** Opens a node's endpoints. The simulator opens others: it has no sockets. */
export type EndpointsFactory = (
  options: EndpointsOptions,
  lifecycle: Lifecycle,
) => Promise<Endpoints>;

/** A registry per node: several nodes may live in one process. */
export function nodeMetrics(nodeId: number, instructionSet?: string): ServerMetrics {
  const metrics = new ServerMetrics({ registry: new Registry(), version: VERSION, nodeId });
  if (instructionSet !== undefined) metrics.describeEngine(instructionSet);
  return metrics;
}

export function routerHooks(metrics: ServerMetrics, localNodeId: number): RouterHooks {
  return {
    onAttempt: ({ operation, nodeId }) =>
      metrics.shardAsked(operation, nodeId === localNodeId ? 'local' : 'remote'),
    onRetry: ({ reason, budget }) => metrics.router.shardRetried(reason, budget),
    onHedge: ({ result }) => metrics.router.readHedged(result),
    onFanOut: ({ operation, durationMs }) => {
      if (operation === 'search') metrics.fanOutFinished(durationMs / 1_000);
    },
    onMerge: ({ durationMs }) => metrics.mergeFinished(durationMs / 1_000),
    onCacheLookup: ({ isHit }) => metrics.router.cacheLookedUp(isHit),
    onCacheChange: ({ sizeBytes, evicted }) => metrics.router.cacheChanged(sizeBytes, evicted),
  };
}

/** Starts both servers; the gRPC health service says NOT_SERVING until told otherwise. */
export const startEndpoints: EndpointsFactory = async (options, lifecycle) => {
  const { config, environment, logger, metrics, records, admin } = options;
  addProcessMetrics(metrics.registry);
  new ClusterMetrics(metrics.registry, options.raftMetrics);
  const http = await HttpServer.start({
    address: config.listen.http,
    registry: metrics.registry,
    readiness: options.readiness,
    scheduler: environment.scheduler,
    logger,
  });
  lifecycle.add('http', () => http.close());
  const grpc = await GrpcServer.start({
    address: config.listen.client,
    records,
    admin,
    environment,
    logger,
    metrics,
  });
  lifecycle.add('grpc', () => grpc.close(config.shutdownTimeoutMs / 2));
  return {
    clientAddress: grpc.address,
    httpAddress: http.address,
    setServing: (serving) => grpc.setServing(serving),
  };
};
