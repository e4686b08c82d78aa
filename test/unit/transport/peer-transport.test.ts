// Goal: the transport keeps its contract over memory and over gRPC.
// Method: the conformance suite; gRPC nodes reach each other through TCP proxies that can be cut.
import { GrpcNetwork } from '../../../src/transport/grpc-network.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { type TransportHarness, transportSuite } from '../../conformance/transport-suite.js';
import { realScheduler } from './real-time.js';
import { TcpProxy } from './tcp-proxy.js';

const NODES = [1, 2, 3];

async function memoryHarness(): Promise<TransportHarness> {
  const hub = new MemoryNetwork({ scheduler: realScheduler });
  const host = (nodeId: number): string => `node-${nodeId}`;
  const toOthers = (nodeId: number, act: (other: string) => void): void => {
    for (const other of NODES) if (other !== nodeId) act(host(other));
  };
  return {
    network: (nodeId) => hub.host(host(nodeId)),
    listenAddress: () => 'memory:0',
    route: async (_nodeId, bound) => bound,
    cut: async (nodeId) => toOthers(nodeId, (other) => hub.cut(host(nodeId), other)),
    heal: async (nodeId) => toOthers(nodeId, (other) => hub.heal(host(nodeId), other)),
    hold: async (nodeId) =>
      toOthers(nodeId, (other) => hub.cut(host(nodeId), other, { mode: 'hold' })),
    close: async () => undefined,
  };
}

async function grpcHarness(): Promise<TransportHarness> {
  const network = new GrpcNetwork({ scheduler: realScheduler });
  const proxies = new Map<number, TcpProxy>();
  const each = (act: (proxy: TcpProxy) => void): void => {
    for (const proxy of proxies.values()) act(proxy);
  };
  return {
    network: () => network,
    listenAddress: () => '127.0.0.1:0',
    route: async (nodeId, bound) => {
      const known = proxies.get(nodeId);
      if (known !== undefined) return known.address;
      const proxy = await TcpProxy.open(Number(bound.split(':')[1]));
      proxies.set(nodeId, proxy);
      return proxy.address;
    },
    cut: async (nodeId) => proxies.get(nodeId)?.cut(),
    heal: async (nodeId) => proxies.get(nodeId)?.heal(),
    hold: async (nodeId) => proxies.get(nodeId)?.hold(),
    close: async () => each((proxy) => proxy.close()),
  };
}

transportSuite('memory', memoryHarness);
transportSuite('grpc', grpcHarness);
