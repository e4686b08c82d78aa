/**
 * A process with the server of a node and nothing behind it: every search gets the same hits at
 * once. Says where it listens over its channel to the parent, and ends with it.
 */
import { Registry } from 'prom-client';
import { NO_NETWORK, realEnvironment } from '../../src/node/real-environment.js';
import type { ClusterAdmin, RecordsBackend, SearchAnswer } from '../../src/server/backend.js';
import { GrpcServer } from '../../src/server/grpc-server.js';
import { ServerMetrics } from '../../src/server/metrics.js';
import { FlotillaError } from '../../src/shared/errors.js';
import { silentLogger } from '../../src/shared/logger.js';
import { idOfRow, NEIGHBOURS } from './dataset.js';

const DIMENSION = 128;

const answer: SearchAnswer = {
  results: [
    Array.from({ length: NEIGHBOURS }, (_, row) => ({
      id: idOfRow(1_000 + row),
      distance: 1 + row / 8,
      version: 1n << 60n,
    })),
  ],
  shards: { total: 1, ok: 1, failed: [] },
  degraded: false,
  cutQueries: [],
  epoch: 1,
  served: [],
};

const config = { dimension: DIMENSION, metric: 'l2', m: 16, efConstruction: 200 } as const;
const refuse = () => Promise.reject(new Error('the stub only searches'));
const records: RecordsBackend = {
  collection: (name) => ({ name, ...config, indexedFields: [] }),
  newestCollection: refuse,
  search: async () => answer,
  upsert: refuse,
  patch: refuse,
  delete: refuse,
  fetch: refuse,
  count: refuse,
  scroll: refuse,
  deleteByFilter: refuse,
  explain: refuse,
};
const admin: ClusterAdmin = {
  createCollection: refuse,
  dropCollection: refuse,
  listCollections: refuse,
  describeCollection: refuse,
  changeReplicas: refuse,
  cancelReplicaChange: refuse,
  changeLeader: refuse,
  readmitNode: refuse,
  status: refuse,
  clusterId: () => undefined,
  routes: () => {
    throw new FlotillaError('UNIMPLEMENTED', 'the stub knows no routes');
  },
  verify: refuse,
  changeTenants: refuse,
  cancelTenantChange: refuse,
  describeTenants: refuse,
  countTenants: refuse,
};

const server = await GrpcServer.start({
  address: '127.0.0.1:0',
  records,
  admin,
  environment: realEnvironment(NO_NETWORK),
  logger: silentLogger,
  metrics: new ServerMetrics({ registry: new Registry(), version: '0', nodeId: 1 }),
});
process.once('disconnect', () => process.exit());
process.send?.(server.address);
