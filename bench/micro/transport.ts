/**
 * What the transport costs: requests per second and their latency, Raft messages per second,
 * bytes per second of appends, heartbeats behind appends. Prints one JSON line per scenario.
 *
 * Both nodes run in one process, so the figures are about half of what two processes reach.
 */
import { createHistogram, performance } from 'node:perf_hooks';
import type { Network, Scheduler } from '../../src/shared/environment.js';
import { silentLogger } from '../../src/shared/logger.js';
import { GrpcNetwork } from '../../src/transport/grpc-network.js';
import { MemoryNetwork } from '../../src/transport/memory-network.js';
import { createTransport } from '../../src/transport/peer-transport.js';
import type { GroupMessage, Transport } from '../../src/transport/transport.js';

const scheduler: Scheduler = {
  after: (delayMs, task) => {
    const timer = setTimeout(task, delayMs);
    return { cancel: () => clearTimeout(timer) };
  },
  every: (periodMs, task) => {
    const timer = setInterval(task, periodMs);
    return { cancel: () => clearInterval(timer) };
  },
  soon: (task) => void setImmediate(task),
};

interface Pair {
  readonly one: Transport;
  /** Called with what node 2 receives. */
  onMessages: (messages: readonly GroupMessage[]) => void;
  close(): Promise<void>;
}

async function openPair(network: Network, listenAddress: string): Promise<Pair> {
  const pair = { onMessages: (_messages: readonly GroupMessage[]): void => undefined };
  const open = (): Promise<Transport> =>
    createTransport({
      environment: {
        clock: { wallMs: Date.now, monotonicMs: () => performance.now() },
        scheduler,
        random: { next: Math.random, uuid: () => crypto.randomUUID() },
        network,
      },
      listenAddress,
      logger: silentLogger,
      onControl: async (payload) => payload,
      handlers: {
        onMessages: (_from, messages) => pair.onMessages(messages),
        onRequest: async (_from, payload) => payload,
        onPeerUp: () => undefined,
        onPeerDown: () => undefined,
        onPeerRefused: (_nodeId, error) => {
          throw error;
        },
      },
    });
  const transports = [await open(), await open()] as const;
  const peers = transports.map(({ address }, at) => ({
    nodeId: at + 1,
    address,
    storeId: `s${at + 1}`,
  }));
  for (const [at, transport] of transports.entries()) {
    const nodeId = at + 1;
    const self = { clusterId: 'bench', nodeId, storeId: `s${nodeId}`, incarnation: 1 };
    transport.configure(self, peers);
  }
  const [one, two] = transports;
  while (!one.peers()[0]?.connected) await new Promise((resolve) => setTimeout(resolve, 1));
  const close = async (): Promise<void> => {
    await Promise.all([one.close(), two.close()]);
  };
  return Object.assign(pair, { one, close });
}

const message = (groupId: number, sizeBytes?: number): GroupMessage => ({
  groupId,
  message: {
    type: sizeBytes === undefined ? 'MsgHeartbeat' : 'MsgApp',
    to: 2,
    from: 1,
    term: 5,
    logTerm: 0,
    index: 0,
    entries:
      sizeBytes === undefined
        ? []
        : [{ type: 'EntryNormal', term: 5, index: 1_000, data: new Uint8Array(sizeBytes) }],
    commit: 100_000,
    commitTerm: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    campaignTransfer: false,
    sentAtMs: 0,
    promiseMs: 0,
  },
});

function report(fields: Record<string, string | number>): void {
  console.log(JSON.stringify({ bench: 'micro/transport', node: process.version, ...fields }));
}

async function requests(network: string, pair: Pair, inFlight: number, sizeBytes: number) {
  const payload = new Uint8Array(sizeBytes);
  const histogram = createHistogram();
  const ask = async (): Promise<void> => {
    const startedMs = performance.now();
    await pair.one.request(2, payload, { timeoutMs: 30_000 });
    histogram.record(Math.max(1, Math.round((performance.now() - startedMs) * 1_000)));
  };
  const run = async (untilMs: number): Promise<void> => {
    const worker = async (): Promise<void> => {
      while (performance.now() < untilMs) await ask();
    };
    await Promise.all(Array.from({ length: inFlight }, worker));
  };
  await run(performance.now() + 500);
  histogram.reset();
  const startedMs = performance.now();
  await run(startedMs + 2_000);
  report({
    scenario: 'requests',
    network,
    inFlight,
    sizeBytes,
    perSecond: Math.round(histogram.count / ((performance.now() - startedMs) / 1_000)),
    p50Us: histogram.percentile(50),
    p99Us: histogram.percentile(99),
  });
}

/** Sends turns of messages, the next turn when all of the one before have arrived. */
async function messages(network: string, pair: Pair, perTurn: number, sizeBytes?: number) {
  const turn = Array.from({ length: perTurn }, (_, at) => message(at, sizeBytes));
  let received = 0;
  const arrived = (): Promise<void> => {
    received = 0;
    return new Promise((resolve) => {
      pair.onMessages = (batch) => {
        received += batch.length;
        if (received >= perTurn) resolve();
      };
    });
  };
  const run = async (durationMs: number): Promise<number> => {
    let turns = 0;
    for (const endMs = performance.now() + durationMs; performance.now() < endMs; turns++) {
      const all = arrived();
      pair.one.send(2, turn);
      await all;
    }
    return turns;
  };
  await run(300);
  const startedMs = performance.now();
  const turns = await run(1_500);
  const seconds = (performance.now() - startedMs) / 1_000;
  const perSecond = Math.round((turns * perTurn) / seconds);
  report({
    scenario: sizeBytes === undefined ? 'heartbeats' : 'appends',
    network,
    perTurn,
    sizeBytes: sizeBytes ?? 0,
    perSecond,
    megabytesPerSecond: Math.round((perSecond * (sizeBytes ?? 0)) / 1e6),
    turnUs: Math.round((seconds * 1e6) / turns),
  });
}

async function scenarios(network: string, pair: Pair): Promise<void> {
  for (const inFlight of [1, 16, 64]) await requests(network, pair, inFlight, 512);
  await requests(network, pair, 16, 64 * 1024);
  await messages(network, pair, 1_000);
  await messages(network, pair, 64, 1024);
  await messages(network, pair, 16, 1024 * 1024);
  await pair.close();
}

await scenarios('memory', await openPair(new MemoryNetwork({ scheduler }).host('a'), 'memory:0'));
await scenarios('grpc', await openPair(new GrpcNetwork({ scheduler }), '127.0.0.1:0'));
