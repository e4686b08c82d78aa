// Goal: the client keeps its contract against a cluster in the same process.
// Method: the suite of test/conformance, over streams to leaders, and over unary calls in turn.
import { Cluster } from 'flotilla';
import { type ClientHarness, clientSuite } from '../conformance/client-suite.js';
import { FAST } from './harness.js';

async function open(): Promise<ClientHarness> {
  const cluster = await Cluster.start(FAST);
  return {
    addresses: cluster.addresses.map(({ client }) => client),
    close: () => cluster.stop(),
  };
}

clientSuite('embedded, direct streams', open);
clientSuite('embedded, unary calls in turn', open, { routing: 'proxy', transport: 'unary' });
