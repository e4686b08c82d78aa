// Goal: a node that dies, stands still or stops under 64 calls of streams costs none (F-1, F-4).
// Method: three processes; readers and writers over streams, one disturbance after another.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { Flotilla } from '../../src/client/index.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import { ProcessCluster } from '../support/process-cluster.js';
import { waitUntil } from '../support/wait-until.js';

const CALLERS = 64;
const TIMEOUT_MS = 60_000;

interface Load {
  calls: number;
  readonly failures: string[];
  readonly acknowledged: string[];
  stop(): Promise<void>;
}

/** Half of the callers write, half read, each its next call when the last one is answered. */
function startLoad(client: Flotilla): Load {
  const notes = client.collection('notes');
  let isStopped = false;
  let sequence = 0;
  const load: Load = {
    calls: 0,
    failures: [],
    acknowledged: [],
    stop: async () => {
      isStopped = true;
      await running;
    },
  };
  const write = async (): Promise<void> => {
    const id = `note-${sequence++}`;
    await notes.upsert([{ id, values: [1, sequence] }]);
    load.acknowledged.push(id);
  };
  const read = async (): Promise<void> => {
    await notes.search({ vector: [1, 1], k: 3 });
  };
  const call = async (work: () => Promise<void>): Promise<void> => {
    while (!isStopped) {
      try {
        await work();
        load.calls++;
      } catch (error) {
        load.failures.push(isFlotillaError(error) ? error.reason : String(error));
      }
    }
  };
  const running = Promise.all(
    Array.from({ length: CALLERS }, (_, at) => call(at % 2 === 0 ? write : read)),
  );
  return load;
}

it('loses no call and no acknowledged write when a node is killed, paused, stopped', async () => {
  const cluster = await ProcessCluster.start({ nodes: 3, shards: 2 });
  const client = new Flotilla(cluster.addresses, {
    timeoutMs: TIMEOUT_MS,
    retry: { attemptsMax: 1_000 },
  });
  try {
    await client.createCollection({ name: 'notes', dimension: 2, metric: 'l2' });
    const load = startLoad(client);
    const more = async (): Promise<void> => {
      const enough = load.calls + 10 * CALLERS;
      await waitUntil('calls go on', () => load.calls > enough || load.failures.length > 0);
    };
    await more();
    await cluster.kill(1);
    await more();
    cluster.startNode(1);
    await cluster.ready();
    await more();
    cluster.pause(2);
    await more();
    cluster.resume(2);
    await cluster.ready();
    await more();
    await cluster.terminate(3);
    await more();
    cluster.startNode(3);
    await cluster.ready();
    await more();
    await load.stop();
    expect(load.failures).toEqual([]);
    const found = await client.collection('notes').fetch(load.acknowledged.slice(0, 10_000));
    const isFound = found.map((one) => one !== undefined);
    expect(isFound).toEqual(load.acknowledged.slice(0, 10_000).map(() => true));
    for (const nodeId of cluster.nodeIds) {
      await waitUntil('no call is left', async () => {
        return (await cluster.metric(nodeId, 'flotilla_requests_in_flight')) === 0;
      });
    }
  } finally {
    await client.close();
    await cluster.destroy();
  }
});

it('ends a program that forgets to close its client (C4)', async () => {
  const cluster = await ProcessCluster.start({ nodes: 1, shards: 1, replicationFactor: 1 });
  try {
    const program = `
      import { Flotilla } from '${pathToFileURL(resolve('dist/client/index.js'))}';
      await new Flotilla('${cluster.clientAddress(1)}').listCollections();
    `;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program]);
    expect(await once(child, 'exit')).toEqual([0, null]);
  } finally {
    await cluster.destroy();
  }
});
