// Goal: any stock gRPC client works: plain `repeated float`, reflection, health, clear errors.
// Method: clients made by proto-loader from the .proto files, against the real server.
import {
  Client,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceError,
  status as Status,
} from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';
import { service as healthService } from 'grpc-health-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PROTO_DIRECTORY } from '../../src/server/reflection.js';
import { decodeStatusDetails, STATUS_DETAILS_KEY } from '../../src/shared/codec/status-details.js';
import { LIMITS } from '../../src/shared/limits.js';
import { type Harness, startHarness } from './harness.js';

type Answer = Record<string, unknown>;
type Method = (
  request: object,
  metadata: Metadata,
  options: object,
  callback: (error: ServiceError | null, answer: Answer) => void,
) => void;

const definition = loadSync(['flotilla/v1/flotilla.proto', 'flotilla/v1/admin.proto'], {
  includeDirs: [PROTO_DIRECTORY],
  longs: String,
  enums: String,
});

let harness: Harness;
beforeAll(async () => {
  harness = await startHarness({ inflightMax: 4 });
});
afterAll(() => harness[Symbol.asyncDispose]());

/** Calls a method by its name, such as "flotilla.v1.Records/Search". */
function call(
  name: string,
  request: object,
  { from = definition, options = {} }: { from?: PackageDefinition; options?: object } = {},
): Promise<Answer> {
  const [service = '', method = ''] = name.split('/');
  const made = loadPackageDefinition(from);
  const Service = service.split('.').reduce<unknown>((at, key) => (at as Answer)[key], made);
  const client = new (Service as new (...args: unknown[]) => Record<string, Method> & Client)(
    harness.address,
    credentials.createInsecure(),
    { 'grpc.max_send_message_length': -1 },
  );
  return new Promise<Answer>((resolve, reject) => {
    client[method]?.(request, new Metadata(), options, (error, answer) => {
      if (error) reject(error);
      else resolve(answer);
    });
  }).finally(() => client.close());
}

async function refusal(work: Promise<unknown>) {
  const error = await work.then(
    () => undefined,
    (thrown: ServiceError) => thrown,
  );
  if (error === undefined) throw new Error('resolved, but should have been refused');
  const [details] = error.metadata.get(STATUS_DETAILS_KEY);
  const body = Buffer.isBuffer(details) ? decodeStatusDetails(details) : undefined;
  return { code: error.code, message: error.details, body };
}

describe('a stock client', () => {
  const metadata = { fields: { title: { stringValue: 'One' } } };

  it('writes and reads with repeated float', async () => {
    const record = { id: 'a', values: [1, 0.5, 0, 0], metadata };
    expect(
      await call('flotilla.v1.Records/Upsert', { collection: 'notes', records: [record] }),
    ).toMatchObject({
      outcomes: [{ kind: 'KIND_APPLIED', version: '1' }],
      appliedCount: 1,
    });
    const query = { vector: [1, 0.5, 0, 0], k: 3, includeValues: true };
    expect(await call('flotilla.v1.Records/Search', { collection: 'notes', query })).toMatchObject({
      hits: [{ id: 'a', values: [1, 0.5, 0, 0], version: '1', metadata }],
      shards: { total: 2, ok: 2 },
      epoch: '7',
    });
    expect(
      await call('flotilla.v1.Records/Fetch', { collection: 'notes', ids: ['a', 'b'] }),
    ).toMatchObject({ records: [{ id: 'a', values: [1, 0.5, 0, 0], metadata }] });
  });

  it('creates collections with defaults and reads the status', async () => {
    const config = { name: 'stock', dimension: 3 };
    expect(await call('flotilla.v1.Collections/CreateCollection', { config })).toMatchObject({
      collection: { config: { ...config, metric: 'METRIC_COSINE', m: 16, efConstruction: 200 } },
    });
    expect(await call('flotilla.v1.Cluster/GetStatus', {})).toMatchObject({
      epoch: '5',
      healthy: true,
      nodes: [{ nodeId: 1, reachable: true }],
    });
  });

  it('gets errors with all their details in the trailer', async () => {
    const records = [{ id: 'x'.repeat(513), values: [1, 2, 3, 4] }];
    const error = await refusal(
      call('flotilla.v1.Records/Upsert', { collection: 'notes', records }),
    );
    expect(error.code).toBe(Status.INVALID_ARGUMENT);
    expect(error.message).toContain('513');
    expect(error.body).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field: 'records[0].id',
      limit: { name: 'idBytesMax', value: 512 },
    });
  });

  it('filters, counts, scrolls and deletes with a Struct', async () => {
    const records = ['p', 'q', 'r'].map((id, at) => ({
      id,
      values: [at, 1, 1, 1],
      metadata: { fields: { year: { numberValue: 2020 + at } } },
    }));
    await call('flotilla.v1.Records/Upsert', { collection: 'notes', records });
    const operators = { fields: { $gt: { numberValue: 2020 } } };
    const filter = { fields: { year: { structValue: operators } } };
    const query = { vector: [0, 1, 1, 1], k: 5, filter };
    expect(await call('flotilla.v1.Records/Search', { collection: 'notes', query })).toMatchObject({
      hits: [{ id: 'q' }, { id: 'r' }],
    });
    const counted = await call('flotilla.v1.Records/Count', { collection: 'notes', filter });
    expect(counted).toMatchObject({ count: '2' });
    const first = await call('flotilla.v1.Records/Scroll', {
      collection: 'notes',
      filter,
      limit: 1,
    });
    expect(first).toMatchObject({ records: [{ id: 'q' }], cursor: expect.stringMatching(/./) });
    const deleted = await call('flotilla.v1.Records/DeleteByFilter', {
      collection: 'notes',
      filter,
    });
    expect(deleted).toMatchObject({ deletedCount: '2' });
  });

  it('is told what is wrong with a filter, and where', async () => {
    const query = { vector: [1, 2, 3, 4], k: 1, filter: metadata };
    const wrong = { ...query, filter: { fields: { $near: { stringValue: 'x' } } } };
    const error = await refusal(
      call('flotilla.v1.Records/Search', { collection: 'notes', query: wrong }),
    );
    expect(error).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      body: { reason: 'INVALID_REQUEST', field: 'query.filter.$near' },
    });
    const all = await refusal(call('flotilla.v1.Records/DeleteByFilter', { collection: 'notes' }));
    expect(all).toMatchObject({ body: { reason: 'INVALID_REQUEST', field: 'filter' } });
  });

  it.each([
    ['filter', { shardKeyFilter: { shardKeys: ['k'] } }],
    ['shardKeys', { shardKeyFilter: { shardKeys: [], filter: metadata } }],
    ['shardKeys[1]', { shardKeyFilter: { shardKeys: ['k', ''], filter: metadata } }],
    [
      'shardKeyFilter',
      { shardKeyFilter: { shardKeys: ['k'], filter: metadata }, filter: metadata },
    ],
  ])('is told by %s what a delete of some shard keys lacks (P-9)', async (field, request) => {
    const deletes = call('flotilla.v1.Records/DeleteByFilter', { collection: 'notes', ...request });
    expect((await refusal(deletes)).body).toMatchObject({ reason: 'INVALID_REQUEST', field });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, 1e300])(
    'is told where in a filter, and in metadata, the number %d stands (P-9)',
    async (numberValue) => {
      const inList = { listValue: { values: [{ numberValue: 1 }, { numberValue }] } };
      const wrong = { fields: { free: { structValue: { fields: { $in: inList } } } } };
      const query = { vector: [1, 2, 3, 4], k: 1, filter: wrong };
      const search = call('flotilla.v1.Records/Search', { collection: 'notes', query });
      expect((await refusal(search)).body).toMatchObject({
        reason: 'INVALID_REQUEST',
        field: 'query.filter.free.$in[1]',
      });
      const records = [{ id: 'a', values: [1, 2, 3, 4], metadata: wrong }];
      const upsert = call('flotilla.v1.Records/Upsert', { collection: 'notes', records });
      const { body } = await refusal(upsert);
      expect(body?.field).toBe('records[0].metadata');
      expect(body?.message).toMatch(/^records\[0\]\.metadata: Metadata free\.\$in\[1\] is /);
    },
  );

  it.each([
    [{ clientId: '' }, 'idempotencyKey.clientId'],
    [{ clientId: 'x'.repeat(129) }, 'idempotencyKey.clientId'],
    [{ sequence: 0 }, 'idempotencyKey.sequence'],
    [{ sequence: '9007199254740993' }, 'idempotencyKey.sequence'],
    [{ clientStampMs: '18446744073709551615' }, 'idempotencyKey.clientStampMs'],
    [{ lowestUnanswered: 8 }, 'idempotencyKey.lowestUnanswered'],
  ])('is told which part of an idempotency key is wrong: %o', async (wrong, field) => {
    const idempotencyKey = { clientId: 'c', clientStampMs: 1, sequence: 7, lowestUnanswered: 7 };
    const request = {
      collection: 'notes',
      ids: ['a'],
      idempotencyKey: { ...idempotencyKey, ...wrong },
    };
    expect((await refusal(call('flotilla.v1.Records/Delete', request))).body?.field).toBe(field);
    const good = { ...request, idempotencyKey: { ...idempotencyKey, clientId: 'x'.repeat(128) } };
    await call('flotilla.v1.Records/Delete', good);
    expect(harness.backend.writes.at(-1)).toMatchObject({ retry: 'router' });
  });

  it('may be ahead of the clock of the node, but not by much (P-10)', async () => {
    const { value } = LIMITS.clientStampAheadMax;
    const send = (clientStampMs: number) =>
      call('flotilla.v1.Records/Delete', {
        collection: 'notes',
        ids: ['a'],
        idempotencyKey: { clientId: 'c', clientStampMs, sequence: 1, lowestUnanswered: 1 },
      });
    await send(Date.now() + value);
    // Microseconds where milliseconds are meant.
    expect((await refusal(send(1_000 * Date.now()))).body).toMatchObject({
      reason: 'LIMIT_EXCEEDED',
      field: 'idempotencyKey.clientStampMs',
      limit: { name: 'clientStampAheadMax', value },
    });
  });

  it('is told of a missing query, an unknown metric and malformed metadata', async () => {
    const search = call('flotilla.v1.Records/Search', { collection: 'notes' });
    expect((await refusal(search)).body).toMatchObject({ field: 'query' });
    const config = { name: 'odd', dimension: 3, metric: 9 };
    const create = call('flotilla.v1.Collections/CreateCollection', { config });
    expect((await refusal(create)).body).toMatchObject({ field: 'config.metric' });
    const records = [{ id: 'a', values: [1, 2, 3, 4], metadata: { fields: { a: {} } } }];
    const upsert = call('flotilla.v1.Records/Upsert', { collection: 'notes', records });
    expect((await refusal(upsert)).body).toMatchObject({
      reason: 'INVALID_REQUEST',
      field: 'records[0].metadata',
    });
  });

  it('gets INVALID_ARGUMENT for bytes that are no message (P-9)', async () => {
    const client = new Client(harness.address, credentials.createInsecure());
    const asIs = (bytes: Buffer) => bytes;
    const garbage = Buffer.from([0x0a, 0xff, 0xff, 0xff]);
    const sent = new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        '/flotilla.v1.Records/Upsert',
        asIs,
        asIs,
        garbage,
        (error, answer) => (error ? reject(error) : resolve(answer)),
      );
    });
    expect(await refusal(sent)).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      body: { reason: 'INVALID_REQUEST' },
    });
    client.close();
  });

  it('gets UNIMPLEMENTED for a method that does not exist', async () => {
    const client = new Client(harness.address, credentials.createInsecure());
    const asIs = (bytes: Buffer) => bytes;
    const sent = new Promise((resolve, reject) => {
      client.makeUnaryRequest('/flotilla.v1.Records/Merge', asIs, asIs, Buffer.alloc(0), (error) =>
        error ? reject(error) : resolve(undefined),
      );
    });
    expect((await refusal(sent)).code).toBe(Status.UNIMPLEMENTED);
    client.close();
  });

  it('is told of the size limit, a little and far above it', async () => {
    const upsertOf = (sizeBytes: number) => {
      const collection = 'x'.repeat(sizeBytes);
      return call('flotilla.v1.Records/Upsert', { collection, records: [] });
    };
    const { value } = LIMITS.requestBytesMax;
    const little = await refusal(upsertOf(value + 10));
    expect(little).toMatchObject({
      code: Status.INVALID_ARGUMENT,
      body: { reason: 'LIMIT_EXCEEDED', limit: { name: 'requestBytesMax', value } },
    });
    const far = await refusal(upsertOf(value + 2 * 1024 * 1024));
    expect(far.code).toBe(Status.RESOURCE_EXHAUSTED);
    expect(far.message).toContain('larger than');
    // At the limit it is read, and refused for its content.
    const atLimit = await refusal(upsertOf(value - 5));
    expect(atLimit.body).toMatchObject({
      field: 'collection',
      limit: { name: 'collectionNameBytesMax' },
    });
  });
});

describe('health and reflection', () => {
  const health = { 'grpc.health.v1.Health': healthService } as unknown as PackageDefinition;
  const check = (service: string) =>
    call('grpc.health.v1.Health/Check', { service }, { from: health });

  it('says NOT_SERVING until the node says otherwise, for each service', async () => {
    const services = ['', 'flotilla.v1.Records', 'flotilla.v1.Collections', 'flotilla.v1.Cluster'];
    for (const serving of [false, true, false]) {
      harness.server.setServing(serving);
      const status = serving ? 'SERVING' : 'NOT_SERVING';
      for (const service of services) expect(await check(service)).toMatchObject({ status });
    }
    expect((await refusal(check('flotilla.v1.Nothing'))).code).toBe(Status.NOT_FOUND);
  });

  it('lists the public services by reflection', async () => {
    const proto = loadSync('reflection/v1/reflection.proto', {
      includeDirs: ['node_modules/@grpc/reflection/build/proto/grpc'],
    });
    const made = loadPackageDefinition(proto) as unknown as {
      grpc: { reflection: { v1: { ServerReflection: new (...args: unknown[]) => Client } } };
    };
    const client = new made.grpc.reflection.v1.ServerReflection(
      harness.address,
      credentials.createInsecure(),
    ) as Client & {
      ServerReflectionInfo(): import('@grpc/grpc-js').ClientDuplexStream<object, Answer>;
    };
    const stream = client.ServerReflectionInfo();
    const answers: Answer[] = [];
    const ended = new Promise<void>((resolve, reject) => {
      stream.on('data', (answer: Answer) => {
        answers.push(answer);
        stream.end();
      });
      stream.on('end', resolve);
      stream.on('error', reject);
    });
    stream.write({ listServices: '' });
    await ended;
    client.close();
    const { service } = (answers[0] as { listServicesResponse: { service: { name: string }[] } })
      .listServicesResponse;
    expect(service.map(({ name }) => name).sort()).toEqual([
      'flotilla.v1.Calls',
      'flotilla.v1.Cluster',
      'flotilla.v1.Collections',
      'flotilla.v1.Records',
      'flotilla.v1.Tenants',
    ]);
  });
});
