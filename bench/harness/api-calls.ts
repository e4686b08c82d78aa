/** Single calls of the public API without the SDK around them. */
import type { Connections } from '../../src/client/connections.js';
import { floatBytes } from '../../src/shared/bytes.js';
import { API, type ApiMethod } from '../../src/shared/codec/public-api.js';
import type { ReadConsistency } from '../../src/shared/types.js';
import { NEIGHBOURS, rowOfId } from './dataset.js';

const CALL_TIMEOUT_MS = 60_000;

/** The standard health check in the form of our own methods: no message of its own, either way. */
const CHECK: ApiMethod<void, void> = {
  path: '/grpc.health.v1.Health/Check',
  encodeRequest: () => Buffer.alloc(0),
  decodeRequest: () => undefined,
  encodeResponse: () => Buffer.alloc(0),
  decodeResponse: () => undefined,
};

export interface BareSearch {
  readonly collection: string;
  readonly ef: number;
  readonly consistency?: ReadConsistency;
}

/** For connections with unary calls only: the standard services know no streams. */
export function emptyCall(connections: Connections): Promise<void> {
  return send(connections, CHECK, undefined);
}

/** Ids and distances only: the answer of the index, without a look into the store. */
export async function bareSearch(
  connections: Connections,
  vector: Float32Array,
  { collection, ef, consistency }: BareSearch,
): Promise<number[]> {
  const { hits } = await send(connections, API.search, {
    collection,
    query: {
      vector: floatBytes(vector),
      k: NEIGHBOURS,
      offset: 0,
      ef,
      includeValues: false,
      includeMetadata: false,
    },
    allowPartial: false,
    ...(consistency !== undefined && { consistency }),
  });
  return hits.map(({ id }) => rowOfId(id));
}

function send<Request, Response>(
  connections: Connections,
  method: ApiMethod<Request, Response>,
  request: Request,
): Promise<Response> {
  const deadlineMs = Date.now() + CALL_TIMEOUT_MS;
  return connections.attempt(method, request, { deadlineMs, writes: false });
}
