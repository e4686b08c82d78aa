// Goal: nodes come together in one cluster, once, and a directory belongs to it for good.
// Method: memberships in virtual time over the network's twin; nodes that come late, wiped or full.
import { afterEach, describe, expect, it } from 'vitest';
import { bootstrapCluster } from '../../../src/node/bootstrap.js';
import type { NodeConfig } from '../../../src/node/config.js';
import { serveControl } from '../../../src/node/control.js';
import { Membership } from '../../../src/node/membership.js';
import { deriveTiming } from '../../../src/replica/timing.js';
import { defined } from '../../../src/shared/assert.js';
import type { Environment } from '../../../src/shared/environment.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { RETRY_BUDGET } from '../../../src/shared/retry-budget.js';
import { MemoryLogStore } from '../../../src/storage/memory-log-store.js';
import type { ClusterSettings, TopologyDocument } from '../../../src/topology/document.js';
import { applyTopologyCommand } from '../../../src/topology/transitions.js';
import { TopologyHolder } from '../../../src/topology/view.js';
import type { Transport } from '../../../src/transport/transport.js';
import { ControlNetwork, peerAddressOf } from './control-network.js';

const SETTINGS: ClusterSettings = {
  shards: 2,
  replicationFactor: 3,
  virtualNodes: 100,
  electionTimeoutMs: 1_000,
  leases: false,
};
const NODE_IDS = [1, 2, 3];
const NODES = NODE_IDS.map((nodeId) => ({ nodeId, peerAddress: peerAddressOf(nodeId) }));

interface Node {
  readonly membership: Membership;
  readonly view: TopologyHolder;
  readonly environment: Environment;
  readonly logStore: MemoryLogStore;
  readonly transport: Transport;
}

let lan = new ControlNetwork();

afterEach(async () => {
  await lan.close();
  lan = new ControlNetwork();
});

function configOf(nodeId: number, settings: ClusterSettings, bootstrap: boolean): NodeConfig {
  const peer = peerAddressOf(nodeId);
  const listen = { client: `client-${nodeId}`, peer, http: `http-${nodeId}` };
  return {
    nodeId,
    directory: `node-${nodeId}`,
    listen,
    advertise: listen,
    nodes: NODES,
    bootstrap,
    settings,
    timing: deriveTiming(settings.electionTimeoutMs),
    logLevel: 'info',
    logPretty: false,
    logCacheSizeBytes: 1,
    engine: { headFloatsMax: 4_096, exactCopy: true },
    router: { hedgedReads: true, retryBudget: RETRY_BUDGET, searchCacheBytes: 0 },
    shutdownTimeoutMs: 1,
  };
}

/** Opens a node's membership and listens for control requests. */
async function open(
  nodeId: number,
  {
    settings = SETTINGS,
    bootstrap = false,
    logStore = new MemoryLogStore({ storeId: `store-${nodeId}`, incarnation: 1 }),
    logger = silentLogger,
    nodes = NODES,
    zone = '',
  } = {},
): Promise<Node> {
  const environment = lan.environmentOf(nodeId);
  const view = new TopologyHolder();
  const membership = await Membership.open({
    config: { ...configOf(nodeId, settings, bootstrap), nodes },
    node: {
      ...(zone !== '' && { zone }),
      nodeId,
      storeId: logStore.identity.storeId,
      peerAddress: peerAddressOf(nodeId),
      clientAddress: `client-${nodeId}`,
      httpAddress: `http-${nodeId}`,
    },
    logStore,
    view,
    environment,
    logger,
    onObstacle: () => undefined,
  });
  const transport = await lan.listen(nodeId, environment, (payload) =>
    serveControl(payload, membership),
  );
  return { membership, view, environment, logStore, transport };
}

const wait = async (node: Node, signal = new AbortController().signal): Promise<TopologyDocument> =>
  (await node.membership.wait(signal)).genesis;

describe('a bootstrap', () => {
  it('gives all nodes one document, that each has durably', async () => {
    const nodes = [await open(1, { bootstrap: true }), await open(2), await open(3)];
    const documents = await lan.world.settle(Promise.all(nodes.map((node) => wait(node))));
    const [first] = documents;
    expect(documents).toEqual([first, first, first]);
    expect(first?.nodes.map(({ storeId }) => storeId)).toEqual(['store-1', 'store-2', 'store-3']);
    for (const { logStore } of nodes) expect(await logStore.getBlob('genesis')).toBeDefined();
  });

  it('waits for a node that comes late', async () => {
    const early = [await open(1, { bootstrap: true }), await open(2)];
    const waiting = Promise.all(early.map((node) => wait(node)));
    await lan.world.advance(60_000);
    expect(early.map(({ membership }) => membership.identify().genesis)).toEqual([
      undefined,
      undefined,
    ]);
    const late = await open(3);
    const [first] = await lan.world.settle(waiting);
    expect(await lan.world.settle(wait(late))).toEqual(first);
  });

  it('from two nodes at the same time makes one cluster', async () => {
    const nodes = [
      await open(1, { bootstrap: true }),
      await open(2, { bootstrap: true }),
      await open(3, { bootstrap: true }),
    ];
    const documents = await lan.world.settle(Promise.all(nodes.map((node) => wait(node))));
    expect(new Set(documents.map(({ clusterId }) => clusterId)).size).toBe(1);
  });

  it('spreads replicas over the zones that the nodes name (M-16)', async () => {
    const settings = { ...SETTINGS, replicationFactor: 2 };
    const nodes = [
      await open(1, { settings, bootstrap: true, zone: 'a' }),
      await open(2, { settings, zone: 'a' }),
      await open(3, { settings, zone: 'b' }),
    ];
    const [document] = await lan.world.settle(Promise.all(nodes.map((node) => wait(node))));
    expect(document?.nodes.map(({ zone }) => zone)).toEqual(['a', 'a', 'b']);
    for (const { replicas } of document?.shards ?? []) {
      expect(replicas.map(({ nodeId }) => nodeId)).toContain(3);
    }
  });

  it('makes nothing of nodes that name other nodes, and all who see it refuse (M-41)', async () => {
    const [one, two] = NODES;
    const others = [defined(one, 'node 1'), defined(two, 'node 2')];
    const nodes = [
      await open(1, { bootstrap: true }),
      await open(2, { nodes: others }),
      await open(3),
    ];
    const refusals = await lan.world.settle(Promise.allSettled(nodes.map((node) => wait(node))));
    for (const refusal of refusals) {
      expect(refusal).toMatchObject({
        status: 'rejected',
        reason: { reason: 'SETTINGS_MISMATCH', field: 'cluster.nodes' },
      });
      const { message } = (refusal as PromiseRejectedResult).reason as Error;
      const shown = (list: typeof NODES): string =>
        list.map(({ nodeId, peerAddress }) => `${nodeId}=${peerAddress}`).join(',');
      for (const list of [NODES, others]) expect(message).toContain(shown(list));
    }
    for (const { membership } of nodes) expect(membership.identify().genesis).toBeUndefined();
  });

  it('takes nodes that name only themselves: who makes the cluster names the others', async () => {
    for (const node of NODES) await open(node.nodeId, { nodes: [node] });
    const { environment } = await open(9);
    const options = { environment, logger: silentLogger, nodes: NODES, timeoutMs: 5_000 };
    const made = await lan.world.settle(bootstrapCluster({ ...options, settings: SETTINGS }));
    expect(made.nodes.map(({ nodeId }) => nodeId)).toEqual([1, 2, 3]);
  });

  it('may be repeated: the cluster stays what it is', async () => {
    const nodes = [await open(1, { bootstrap: true }), await open(2), await open(3)];
    const [document] = await lan.world.settle(Promise.all(nodes.map((node) => wait(node))));
    const { environment } = nodes[0] as Node;
    const options = { environment, logger: silentLogger, nodes: NODES, timeoutMs: 5_000 };
    expect(await lan.world.settle(bootstrapCluster({ ...options, settings: SETTINGS }))).toEqual(
      document,
    );
    const others = { ...SETTINGS, shards: 9 };
    await expect(
      lan.world.settle(bootstrapCluster({ ...options, settings: others })),
    ).rejects.toMatchObject({ reason: 'SETTINGS_MISMATCH', field: 'cluster.shards' });
  });

  it('refuses a node that is configured otherwise, naming the setting', async () => {
    await open(2, { settings: { ...SETTINGS, replicationFactor: 2 } });
    await open(3);
    const first = await open(1, { bootstrap: true });
    await expect(lan.world.settle(wait(first))).rejects.toMatchObject({
      reason: 'SETTINGS_MISMATCH',
      field: 'cluster.replicationFactor',
    });
  });

  it.each([
    ['shards', 9],
    ['replicationFactor', 2],
    ['virtualNodes', 7],
    ['electionTimeoutMs', 300],
    ['leases', true],
  ] as const)(
    'makes nothing where %s differs, and all who see it refuse (M-41)',
    async (...one) => {
      const [name, value] = one;
      const nodes = [
        await open(1, { bootstrap: true }),
        await open(2),
        await open(3, { settings: { ...SETTINGS, [name]: value } }),
      ];
      const refusals = await lan.world.settle(Promise.allSettled(nodes.map((node) => wait(node))));
      for (const refusal of refusals) {
        expect(refusal).toMatchObject({
          status: 'rejected',
          reason: { reason: 'SETTINGS_MISMATCH', field: `cluster.${name}` },
        });
        const { message } = (refusal as PromiseRejectedResult).reason as Error;
        expect(message).toContain(`cluster.${name} = `);
        for (const shown of [value, SETTINGS[name]]) expect(message).toContain(String(shown));
      }
      for (const { membership } of nodes) expect(membership.identify().genesis).toBeUndefined();
    },
  );
});

describe('a directory', () => {
  async function bootstrapped(): Promise<Node[]> {
    const nodes = [await open(1, { bootstrap: true }), await open(2), await open(3)];
    await lan.world.settle(Promise.all(nodes.map((node) => wait(node))));
    return nodes;
  }

  it('knows its cluster when it is opened again, without asking anyone', async () => {
    const nodes = await bootstrapped();
    const [, second] = nodes as [Node, Node, Node];
    const document = second.membership.identify().genesis;
    await lan.world.settle(Promise.all(nodes.map(({ transport }) => transport.close())));
    await second.logStore.close();
    const again = await open(2, { logStore: second.logStore.reopen() });
    expect(await lan.world.settle(wait(again), 0)).toEqual(document);
  });

  it('refuses other settings when it is opened again', async () => {
    const [, second] = (await bootstrapped()) as [Node, Node, Node];
    await lan.world.settle(second.transport.close());
    await second.logStore.close();
    const logStore = second.logStore.reopen();
    await expect(open(2, { logStore, settings: { ...SETTINGS, shards: 5 } })).rejects.toMatchObject(
      {
        reason: 'SETTINGS_MISMATCH',
        field: 'cluster.shards',
      },
    );
  });

  it('that is new under an old name waits, says so once, and is in no cluster (S-44)', async () => {
    const nodes = await bootstrapped();
    for (const [at, bootstrap] of [true, false].entries()) {
      const nodeId = at + 1;
      await lan.world.settle((nodes[at] as Node).transport.close());
      const logStore = new MemoryLogStore({ storeId: `wiped-${nodeId}`, incarnation: 1 });
      const errors: string[] = [];
      const error = (_fields: object, message: string): void => void errors.push(message);
      const wiped = await open(nodeId, { bootstrap, logStore, logger: { ...silentLogger, error } });
      const abort = new AbortController();
      const waiting = wait(wiped, abort.signal);
      await lan.world.advance(20_000);
      expect(errors).toEqual([
        expect.stringMatching(
          `neither votes nor acknowledges: .*flotilla node readmit --node ${nodeId}`,
        ),
      ]);
      expect(wiped.membership.obstacle).toMatchObject({ reason: 'WRONG_STORE' });
      expect(wiped.membership.identify().genesis).toBeUndefined();
      expect(await logStore.getBlob('genesis')).toBeUndefined();
      abort.abort();
      await expect(lan.world.settle(waiting)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
    }
  });

  it('that was readmitted joins by the newest document, and opens by it again (S-44)', async () => {
    const nodes = await bootstrapped();
    const [first, , third] = nodes as [Node, Node, Node];
    await lan.world.settle(third.transport.close());
    const logStore = new MemoryLogStore({ storeId: 'wiped', incarnation: 1 });
    const wiped = await open(3, { logStore });
    const waiting = wiped.membership.wait(new AbortController().signal);
    await lan.world.advance(5_000);
    expect(wiped.membership.obstacle).toBeDefined();
    const genesis = defined(first.membership.identify().genesis, 'the genesis');
    const command = { kind: 'readmitNode', nodeId: 3, storeId: 'wiped' } as const;
    const { document } = applyTopologyCommand(genesis, command);
    first.view.publish(document);
    const known = await lan.world.settle(waiting);
    expect(known).toEqual({ genesis, newest: document });
    expect(wiped.membership.obstacle).toBeUndefined();
    await lan.world.settle(wiped.transport.close());
    await logStore.close();
    const again = await open(3, { logStore: logStore.reopen() });
    expect(await lan.world.settle(again.membership.wait(new AbortController().signal), 0)).toEqual(
      known,
    );
    // The others keep who the nodes are now, for their own next start.
    await first.membership.remember(document);
    await lan.world.settle(first.transport.close());
    await first.logStore.close();
    const reopened = await open(1, { logStore: first.logStore.reopen() });
    expect(reopened.membership.identify().document).toEqual(document);
  });

  it('that cannot store the document is no member, and says why (F-10)', async () => {
    await open(1);
    await open(2);
    const full = await open(3);
    full.logStore.failNextWrite(new Error('no space left on device'));
    const { environment } = full;
    const options = { environment, logger: silentLogger, nodes: NODES, settings: SETTINGS };
    const bootstrap = bootstrapCluster({ ...options, timeoutMs: 5_000 });
    await expect(lan.world.settle(bootstrap)).rejects.toThrow(
      /no space|STORE_POISONED|write error/i,
    );
    expect(full.membership.identify().genesis).toBeUndefined();
    // The others have the document: this node finds it there, and still cannot store it.
    await expect(lan.world.settle(wait(full))).rejects.toMatchObject({ reason: 'STORE_POISONED' });
  });
});

describe('waiting', () => {
  it('ends when the node is stopped', async () => {
    const node = await open(2);
    const abort = new AbortController();
    const waiting = wait(node, abort.signal);
    await lan.world.advance(5_000);
    abort.abort();
    await expect(lan.world.settle(waiting)).rejects.toMatchObject({ reason: 'NODE_NOT_READY' });
  });
});
