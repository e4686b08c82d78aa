// A search endpoint. `POST` is a route handler of Next.js as it stands (app/api/search/route.ts),
// and serves Express, Hono or plain Node as shown; one client serves all requests of the process.
// Prints:
//   200 [{"id":"a","title":"Anchors"}]
//   400 DIMENSION_MISMATCH
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { Cluster, isFlotillaError } from 'flotilla';

await using cluster = await Cluster.start();
const flotilla = cluster.client(); // in production: new Flotilla(), with FLOTILLA_URL set
const notes = await flotilla.openCollection<{ title: string }>({ name: 'notes', dimension: 3 });
await notes.upsert([{ id: 'a', values: [0.1, 0.2, 0.9], metadata: { title: 'Anchors' } }]);

export async function POST(request: Request): Promise<Response> {
  const { vector } = (await request.json()) as { vector: number[] };
  try {
    // A caller that hangs up gives the search up too.
    const { hits } = await notes.search({ vector, k: 5 }, { signal: request.signal });
    return Response.json(hits.map(({ id, metadata }) => ({ id, title: metadata?.title })));
  } catch (error) {
    if (!isFlotillaError(error)) throw error;
    const status = error.code === 'INVALID_ARGUMENT' ? 400 : error.retryable ? 503 : 500;
    return Response.json({ reason: error.reason, field: error.field }, { status });
  }
}

// With Express: app.post('/search', async (req, res) => { ... the same lines ... }).
await using server = createServer(async (incoming, outgoing) => {
  const request = new Request('http://localhost/', {
    method: 'POST',
    body: new Uint8Array(await buffer(incoming)),
  });
  const response = await POST(request);
  outgoing.writeHead(response.status).end(await response.text());
});
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));

const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const ask = (vector: number[]) =>
  fetch(url, { method: 'POST', body: JSON.stringify({ vector }), keepalive: false });
const found = await ask([0.1, 0.2, 0.8]);
console.log(found.status, await found.text());
const refused = await ask([0.1, 0.2]);
console.log(refused.status, ((await refused.json()) as { reason: string }).reason);
server.closeAllConnections();
