// Goal: the client keeps its contract against real nodes, exactly as against an embedded cluster.
// Method: the suite of test/conformance, whose every expectation the embedded cluster meets too.
import { type Collection, Flotilla, type Logger, type Metadata } from 'flotilla';
import { expect, it } from 'vitest';
import { silentLogger } from '../../src/shared/logger.js';
import { type ClientHarness, clientSuite } from '../conformance/client-suite.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

async function open(): Promise<ClientHarness> {
  const cluster = await ProcessCluster.start();
  return { addresses: cluster.addresses, close: () => cluster.destroy() };
}

/** The other nodes, and their leaders, it finds by itself. */
async function openOne(): Promise<ClientHarness> {
  const { addresses, close } = await open();
  return { addresses: addresses.slice(0, 1), close };
}

clientSuite('three processes', open);
clientSuite('three processes, one of them known', openOne);

/** A client that knows one node, and a collection of it, as soon as it has found all nodes. */
async function openDirect(cluster: ProcessCluster): Promise<[Flotilla, Collection<Metadata>]> {
  let found = 0;
  const debug = (fields: { nodes?: number }): void => {
    found = Math.max(found, fields.nodes ?? 0);
  };
  const logger: Logger = { ...silentLogger, debug };
  const client = new Flotilla(cluster.clientAddress(1), { logger, timeoutMs: 60_000 });
  const rows = await client.openCollection({ name: 'rows', dimension: 1 });
  await waitUntil('the client has found all nodes', async () => {
    await rows.count();
    return found === 3;
  });
  return [client, rows];
}

it.each(['kill', 'pause'] as const)(
  'goes on after a %s of the only node that it was given, once it has found the others (M-14)',
  async (fault) => {
    const cluster = await ProcessCluster.start();
    const [client, rows] = await openDirect(cluster);
    try {
      await cluster[fault](1);
      const ids = Array.from({ length: 20 }, (_, at) => `row-${at}`);
      for (const id of ids) await rows.upsert([{ id, values: [1] }]);
      expect(await rows.fetch(ids)).toHaveLength(ids.length);
    } finally {
      await client.close();
      await cluster.destroy();
    }
  },
);
