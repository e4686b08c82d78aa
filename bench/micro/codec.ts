/**
 * What the codec of the public API costs, beside proto-loader's reflection: microseconds to encode
 * and to decode one search request, one answer of ten hits, and one upsert of 100 records, at 128
 * and 768 dimensions. Then the ceiling of unary calls: `Count` on a backend that does nothing,
 * beside a handler of grpc-js that does nothing at all. Prints one JSON line per figure.
 */
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { loadSync, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import { Registry } from 'prom-client';
import type { ClusterAdmin, RecordsBackend } from '../../src/server/backend.js';
import { GrpcServer } from '../../src/server/grpc-server.js';
import { ServerMetrics } from '../../src/server/metrics.js';
import { PROTO_DIRECTORY } from '../../src/server/reflection.js';
import { floatBytes } from '../../src/shared/bytes.js';
import { NO_BYTES } from '../../src/shared/codec/protobuf-wire.js';
import { API, type ApiMethod } from '../../src/shared/codec/public-api.js';
import { encodeStruct } from '../../src/shared/codec/struct.js';
import { channelOptions, serverOptions } from '../../src/shared/grpc/channel-options.js';
import { silentLogger } from '../../src/shared/logger.js';

const SLICE_MS = 200;
const ROUNDS = 5;

/** Microseconds of processor time per call: the best of several rounds, noise only adds to it. */
function microseconds(work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const endMs = performance.now() + SLICE_MS;
    const before = process.cpuUsage();
    let calls = 0;
    while (performance.now() < endMs) {
      for (let i = 0; i < 50; i++) work();
      calls += 50;
    }
    const { user, system } = process.cpuUsage(before);
    best = Math.min(best, (user + system) / calls);
  }
  return Math.round(best * 100) / 100;
}

function report(figure: string, fields: object): void {
  console.log(JSON.stringify({ bench: 'codec', figure, ...fields }));
}

const vectorOf = (dimension: number) =>
  floatBytes(Float32Array.from({ length: dimension }, (_, i) => Math.sin(i)));
const metadata = encodeStruct({ title: 'a title of some length', year: 2_024, tags: ['a', 'b'] });

const records = loadSync(['flotilla/v1/flotilla.proto'], { includeDirs: [PROTO_DIRECTORY] })[
  'flotilla.v1.Records'
] as ServiceDefinition;

function compare<Request, Response>(
  name: string,
  dimension: number,
  method: ApiMethod<Request, Response>,
  stock: MethodDefinition<object, object>,
  messages: { readonly request: Request; readonly response: Response },
): void {
  const request = method.encodeRequest(messages.request);
  const response = method.encodeResponse(messages.response);
  const stockRequest = stock.requestDeserialize(request);
  const stockResponse = stock.responseDeserialize(response);
  report(`${name} request`, {
    dimension,
    sizeBytes: request.length,
    encodeUs: microseconds(() => method.encodeRequest(messages.request)),
    decodeUs: microseconds(() => method.decodeRequest(request)),
    stockEncodeUs: microseconds(() => stock.requestSerialize(stockRequest)),
    stockDecodeUs: microseconds(() => stock.requestDeserialize(request)),
  });
  report(`${name} answer`, {
    dimension,
    sizeBytes: response.length,
    encodeUs: microseconds(() => method.encodeResponse(messages.response)),
    decodeUs: microseconds(() => method.decodeResponse(response)),
    stockEncodeUs: microseconds(() => stock.responseSerialize(stockResponse)),
    stockDecodeUs: microseconds(() => stock.responseDeserialize(response)),
  });
}

function compareCodecs(dimension: number): void {
  const vector = vectorOf(dimension);
  const query = { vector, k: 10, offset: 0, ef: 64, includeValues: false };
  const ids = Array.from({ length: 100 }, (_, i) => `record-${i}`);
  compare('search', dimension, API.search, records.Search as MethodDefinition<object, object>, {
    request: { collection: 'notes', query, allowPartial: false },
    response: {
      hits: ids.slice(0, 10).map((id) => ({ id, distance: 0.5, version: 1n << 60n, metadata })),
      shards: { total: 4, ok: 4, failed: [] },
      degraded: false,
      epoch: 12,
    },
  });
  compare('upsert', dimension, API.upsert, records.Upsert as MethodDefinition<object, object>, {
    request: {
      collection: 'notes',
      records: ids.map((id) => ({ id, values: vector, metadata: NO_BYTES })),
    },
    response: {
      outcomes: ids.map(() => ({ kind: 'applied' as const, version: 1n << 60n, existed: false })),
    },
  });
}

/** Calls per second with this many in flight. */
async function callRate(address: string, inflight: number, timeMs: number): Promise<number> {
  const client = new Client(address, credentials.createInsecure(), channelOptions());
  const { path, encodeRequest, decodeResponse } = API.count;
  const call = () =>
    new Promise<void>((resolve, reject) => {
      const options = { deadline: Date.now() + 10_000 };
      const request = { collection: 'notes' };
      client.makeUnaryRequest(path, encodeRequest, decodeResponse, request, options, (error) =>
        error ? reject(error) : resolve(),
      );
    });
  await call();
  const startMs = performance.now();
  let calls = 0;
  const loop = async () => {
    while (performance.now() - startMs < timeMs) {
      await call();
      calls++;
    }
  };
  await Promise.all(Array.from({ length: inflight }, loop));
  client.close();
  return Math.round((calls * 1_000) / (performance.now() - startMs));
}

async function startOurs(): Promise<{ address: string; stop: () => Promise<void> }> {
  const config = { name: 'notes', dimension: 4, metric: 'l2', m: 16, efConstruction: 200 } as const;
  const backend = {
    collection: () => ({ ...config, indexedFields: [] }),
    count: async () => 1,
  } as unknown as RecordsBackend;
  const server = await GrpcServer.start({
    address: '127.0.0.1:0',
    records: backend,
    admin: {} as ClusterAdmin,
    environment: {
      clock: { wallMs: () => Date.now(), monotonicMs: () => performance.now() },
      scheduler: {
        after: (delayMs, task) => {
          const timer = setTimeout(task, delayMs);
          return { cancel: () => clearTimeout(timer) };
        },
        every: () => ({ cancel: () => undefined }),
        soon: (task) => void setImmediate(task),
      },
    },
    logger: silentLogger,
    metrics: new ServerMetrics({ registry: new Registry(), version: '0', nodeId: 1 }),
  });
  return { address: server.address, stop: () => server.close(100) };
}

/** grpc-js with a handler that does nothing: what no server on it can exceed. */
async function startBare(): Promise<{ address: string; stop: () => Promise<void> }> {
  const server = new Server(serverOptions());
  const asIs = (bytes: Buffer) => bytes;
  const answer = API.count.encodeResponse({ count: 1 });
  const method = {
    path: API.count.path,
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
  server.addService(
    { Count: method },
    {
      Count: (_call: unknown, callback: (error: null, value: Buffer) => void) =>
        callback(null, answer),
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { address: `127.0.0.1:${port}`, stop: async () => server.forceShutdown() };
}

/** Client and servers share one process, so that only the ratio of the two rates means anything. */
async function compareCeilings(): Promise<void> {
  const ours = await startOurs();
  const bare = await startBare();
  for (const inflight of [1, 16]) {
    const rates = { ours: 0, bare: 0 };
    for (let round = 0; round < ROUNDS; round++) {
      rates.ours = Math.max(rates.ours, await callRate(ours.address, inflight, 1_000));
      rates.bare = Math.max(rates.bare, await callRate(bare.address, inflight, 1_000));
    }
    const share = Math.round((rates.ours / rates.bare) * 100) / 100;
    report('unary ceiling', { inflight, callsPerSecond: rates.ours, bare: rates.bare, share });
  }
  await ours.stop();
  await bare.stop();
}

for (const dimension of [128, 768]) compareCodecs(dimension);
await compareCeilings();
