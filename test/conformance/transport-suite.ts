// Goal: the transport keeps its contract (transport.ts) over every Network: F-6, F-7, G1, L13, M8.
// Method: two or three nodes over the network under test, whose links can be cut; conditions only.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Network } from '../../src/shared/environment.js';
import { FlotillaError } from '../../src/shared/errors.js';
import type { GiveUpSignal } from '../../src/shared/give-up.js';
import { LIMITS } from '../../src/shared/limits.js';
import { controlRequest } from '../../src/transport/control.js';
import type { PeerAddress, PeerIdentity } from '../../src/transport/transport.js';
import { realScheduler, until } from '../unit/transport/real-time.js';
import { append, heartbeat, TestNode } from '../unit/transport/test-node.js';

export interface TransportHarness {
  /** The network as node `nodeId` sees it. */
  network(nodeId: number): Network;
  /** Where a node listens. */
  listenAddress(nodeId: number): string;
  /** The address by which others reach a node that is bound to `bound`; `cut` reaches it. */
  route(nodeId: number, bound: string): Promise<string>;
  /** Breaks the links to the node and refuses new ones, until `heal`. */
  cut(nodeId: number): Promise<void>;
  heal(nodeId: number): Promise<void>;
  /** Lets nothing through in either direction, without breaking the links, until `heal`. */
  hold(nodeId: number): Promise<void>;
  close(): Promise<void>;
}

const bytes = (text: string): Uint8Array => Buffer.from(text);
const inTime = { timeoutMs: 60_000 };

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    return error instanceof FlotillaError ? error.reason : String(error);
  }
  return 'no error';
}

export function transportSuite(name: string, create: () => Promise<TransportHarness>): void {
  describe(`transport: ${name}`, () => {
    let harness: TransportHarness;
    let nodes: TestNode[];

    beforeEach(async () => {
      harness = await create();
      nodes = [];
    });

    afterEach(async () => {
      await Promise.all(nodes.map((node) => node.transport.close()));
      await harness.close();
    });

    const identityOf = (nodeId: number, fields: Partial<PeerIdentity> = {}): PeerIdentity => ({
      clusterId: 'cluster',
      nodeId,
      storeId: `store-${nodeId}`,
      incarnation: 1,
      ...fields,
    });

    async function openNode(nodeId: number, fields?: Partial<PeerIdentity>): Promise<TestNode> {
      const node = new TestNode(identityOf(nodeId, fields));
      await node.open(harness.network(nodeId), harness.listenAddress(nodeId));
      nodes.push(node);
      return node;
    }

    async function addressOf(node: TestNode): Promise<PeerAddress> {
      const { nodeId } = node.identity;
      const address = await harness.route(nodeId, node.transport.address);
      return { nodeId, address, storeId: `store-${nodeId}` };
    }

    /** Two nodes that are linked; node 1 dials. */
    async function pair(): Promise<{ one: TestNode; two: TestNode }> {
      const one = await openNode(1);
      const two = await openNode(2);
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(one.identity, peers);
      two.transport.configure(two.identity, peers);
      await until(() => one.connected(2) && two.connected(1));
      return { one, two };
    }

    it('greets with the identity of the store, on both sides', async () => {
      const { one, two } = await pair();
      expect(one.ups).toEqual([two.identity]);
      expect(two.ups).toEqual([one.identity]);
      for (const status of [...one.transport.peers(), ...two.transport.peers()]) {
        expect(Math.abs(status.clockAheadMs ?? Number.NaN)).toBeLessThan(60_000);
      }
    });

    it.each([
      [1, 2],
      [2, 1],
    ])('links two nodes when node %i is configured before node %i', async (first, second) => {
      const opened = new Map([
        [1, await openNode(1)],
        [2, await openNode(2)],
      ]);
      const peers: PeerAddress[] = [];
      for (const node of nodes) peers.push(await addressOf(node));
      const early = opened.get(first);
      const late = opened.get(second);
      if (early === undefined || late === undefined) throw new Error('no such node');
      early.transport.configure(early.identity, peers);
      // A whole refused greeting: node 1 dials a node that is not configured, at least once.
      if (first === 1) await until(() => early.downs.length > 0);
      late.transport.configure(late.identity, peers);
      await until(() => early.connected(second) && late.connected(first));
      expect([...early.refused, ...late.refused]).toEqual([]);
    });

    it('delivers Raft messages in order, and those of one turn together (G1, G6)', async () => {
      const { one, two } = await pair();
      const sent = Array.from({ length: 300 }, (_, index) => append(index));
      for (const message of sent) one.transport.send(2, [message]);
      await until(() => two.messages.length === 300);
      expect(two.messages).toEqual(sent);
      expect(two.batches).toEqual([300]);
    });

    it('carries Raft messages in both directions, larger than a frame too', async () => {
      const { one, two } = await pair();
      const sizes = [100, 1024 * 1024, 3 * 1024 * 1024, 5];
      const sent = sizes.map((sizeBytes, index) => append(index, sizeBytes));
      one.transport.send(2, sent);
      two.transport.send(1, sent);
      await until(() => one.messages.length === 4 && two.messages.length === 4);
      expect(two.indexes()).toEqual([0, 1, 2, 3]);
      for (const node of [one, two]) {
        node.messages.forEach(({ message }, at) => {
          const data = message.entries[0]?.data ?? new Uint8Array(0);
          expect(data.length).toBe(sizes[at]);
          expect(data.every((byte) => byte === at)).toBe(true);
        });
      }
    });

    it('lets heartbeats and votes pass a large queue of appends', async () => {
      const { one, two } = await pair();
      const total = 24;
      for (let index = 0; index < total; index++) {
        one.transport.send(2, [append(index, 1024 * 1024)]);
      }
      one.transport.send(2, [heartbeat(9), heartbeat(10)]);
      await until(() => two.messages.length === total + 2);
      expect(two.messages.slice(0, 2).map(({ groupId }) => groupId)).toEqual([9, 10]);
      expect(two.indexes().slice(2)).toEqual(Array.from({ length: total }, (_, at) => at));
    });

    it('keeps what came first when the queue is full, and drops the rest', async () => {
      const { one, two } = await pair();
      await harness.hold(2);
      for (let index = 0; index < 200; index++) {
        one.transport.send(2, [append(index, 1024 * 1024)]);
      }
      const queuedBytes = one.transport.peers()[0]?.queuedBytes ?? 0;
      expect(queuedBytes).toBeGreaterThan(1024 * 1024);
      expect(queuedBytes).toBeLessThanOrEqual(33 * 1024 * 1024);
      await harness.heal(2);
      one.transport.send(2, [heartbeat(1)]);
      await until(() => two.messages.some(({ groupId }) => groupId === 1));
      await until(() => one.transport.peers()[0]?.queuedBytes === 0);
      const indexes = two.indexes().filter((index) => index > 0);
      expect(indexes.length).toBeLessThan(199);
      expect(indexes).toEqual(indexes.map((_, at) => at + 1));
    });

    it('answers many requests at once, each with its own answer', async () => {
      const { one, two } = await pair();
      const waiting: (() => void)[] = [];
      two.answer = async (payload) => {
        // Answered in the reverse order.
        await new Promise<void>((resolve) => waiting.unshift(resolve));
        return bytes(`${Buffer.from(payload)}!`);
      };
      one.answer = async (payload) => bytes(`${Buffer.from(payload)}?`);
      const there = Array.from({ length: 100 }, (_, at) =>
        one.transport.request(2, bytes(`a${at}`), inTime),
      );
      const back = Array.from({ length: 100 }, (_, at) =>
        two.transport.request(1, bytes(`b${at}`), inTime),
      );
      await until(() => waiting.length === 100);
      for (const release of waiting) release();
      const decoded = (await Promise.all([...there, ...back])).map((each) =>
        Buffer.from(each).toString(),
      );
      expect(decoded).toHaveLength(200);
      expect(decoded.slice(0, 100)).toEqual(Array.from({ length: 100 }, (_, at) => `a${at}!`));
      expect(decoded.slice(100)).toEqual(Array.from({ length: 100 }, (_, at) => `b${at}?`));
    });

    it('carries empty and large requests and answers whole, small ones between', async () => {
      const { one, two } = await pair();
      const order: string[] = [];
      two.answer = async (payload) => {
        order.push(payload.length > 1_000 ? 'large' : 'small');
        return payload;
      };
      const large = new Uint8Array(12 * 1024 * 1024 + 7).map((_, at) => (at * 7) % 253);
      const answers = await Promise.all([
        one.transport.request(2, large, inTime),
        one.transport.request(2, new Uint8Array(0), inTime),
        one.transport.request(2, bytes('small'), inTime),
      ]);
      expect(Buffer.compare(answers[0], large)).toBe(0);
      expect(answers[1]).toHaveLength(0);
      expect(Buffer.from(answers[2]).toString()).toBe('small');
      expect(order).toEqual(['small', 'small', 'large']);
    });

    it('hands the error of the answering node on, with all its fields (P-9)', async () => {
      const { one, two } = await pair();
      two.answer = async () => {
        throw new FlotillaError('LIMIT_EXCEEDED', 'too many', {
          field: 'records[3].id',
          limit: 'idBytesMax',
          details: { leaderNodeId: '7' },
        });
      };
      const thrown = await one.transport.request(2, bytes('x'), inTime).catch((error) => error);
      expect(thrown).toBeInstanceOf(FlotillaError);
      expect((thrown as FlotillaError).body).toEqual({
        reason: 'LIMIT_EXCEEDED',
        message: 'too many',
        field: 'records[3].id',
        limit: { name: 'idBytesMax', value: LIMITS.idBytesMax.value },
        details: { leaderNodeId: '7' },
      });
      two.answer = () => {
        throw new Error('a bug');
      };
      expect(await reasonOf(one.transport.request(2, bytes('x'), inTime))).toBe('INTERNAL');
    });

    it('refuses a request, and an answer, above requestBytesMax', async () => {
      const { one, two } = await pair();
      const tooLarge = new Uint8Array(LIMITS.requestBytesMax.value + 1);
      expect(await reasonOf(one.transport.request(2, tooLarge, inTime))).toBe('LIMIT_EXCEEDED');
      two.answer = async () => tooLarge;
      expect(await reasonOf(one.transport.request(2, bytes('x'), inTime))).toBe('LIMIT_EXCEEDED');
      expect(one.connected(2)).toBe(true);
    });

    it('tells the answering node when the caller gives up, and drops the late answer', async () => {
      const { one, two } = await pair();
      const signals: GiveUpSignal[] = [];
      const releases: (() => void)[] = [];
      two.answer = async (payload, signal) => {
        signals.push(signal);
        await new Promise<void>((resolve) => releases.push(resolve));
        return payload;
      };
      const controller = new AbortController();
      const { signal } = controller;
      const asked = one.transport.request(2, bytes('x'), { timeoutMs: 60_000, signal });
      const reason = reasonOf(asked);
      await until(() => releases.length === 1);
      controller.abort();
      expect(await reason).toBe('CANCELLED');
      await until(() => signals[0]?.aborted === true);
      releases[0]?.();
      two.answer = async (payload) => payload;
      expect(await one.transport.request(2, bytes('y'), inTime)).toHaveLength(1);
    });

    it('sends nothing for a request whose signal is aborted already', async () => {
      const { one, two } = await pair();
      let asked = 0;
      two.answer = async (payload) => {
        asked++;
        return payload;
      };
      const signal = AbortSignal.abort();
      const early = one.transport.request(2, bytes('x'), { timeoutMs: 60_000, signal });
      expect(await reasonOf(early)).toBe('CANCELLED');
      await one.transport.request(2, bytes('y'), inTime);
      expect(asked).toBe(1);
    });

    it('ends a request at its timeout, on both sides', async () => {
      const { one, two } = await pair();
      let seen: GiveUpSignal | undefined;
      two.answer = (_payload, signal) => {
        seen = signal;
        return new Promise(() => undefined);
      };
      const asked = one.transport.request(2, bytes('x'), { timeoutMs: 1_000 });
      const reason = reasonOf(asked);
      await until(() => seen !== undefined);
      expect(await reason).toBe('DEADLINE_EXCEEDED');
      await until(() => seen?.aborted === true);
    });

    it('ends a request into a silent network at its timeout (F-6)', async () => {
      const { one } = await pair();
      await harness.hold(2);
      expect(await reasonOf(one.transport.request(2, bytes('x'), { timeoutMs: 50 }))).toBe(
        'DEADLINE_EXCEEDED',
      );
      await harness.heal(2);
      expect(await one.transport.request(2, bytes('x'), inTime)).toHaveLength(1);
    });

    it('fails requests that were sent as unknown when the link is cut (P-2)', async () => {
      const { one, two } = await pair();
      let seen: GiveUpSignal | undefined;
      two.answer = (_payload, signal) => {
        seen = signal;
        return new Promise(() => undefined);
      };
      const reason = reasonOf(one.transport.request(2, bytes('x'), inTime));
      await until(() => seen !== undefined);
      await harness.cut(2);
      expect(await reason).toBe('OUTCOME_UNKNOWN');
      await until(() => seen?.aborted === true);
      await until(() => one.downs.includes(2) && two.downs.includes(1));
    });

    it('fails requests that were not sent whole as never applied on a cut', async () => {
      const { one, two } = await pair();
      let asked = 0;
      two.answer = async (payload) => {
        asked++;
        return payload;
      };
      await harness.hold(2);
      const large = new Uint8Array(48 * 1024 * 1024);
      const reason = reasonOf(one.transport.request(2, large, inTime));
      await harness.cut(2);
      expect(await reason).toBe('SHARD_UNAVAILABLE');
      expect(asked).toBe(0);
    });

    it('refuses requests without a link, and to nodes that it does not know', async () => {
      const { one } = await pair();
      await harness.cut(2);
      await until(() => !one.connected(2));
      expect(await reasonOf(one.transport.request(2, bytes('x'), inTime))).toBe(
        'SHARD_UNAVAILABLE',
      );
      expect(await reasonOf(one.transport.request(9, bytes('x'), inTime))).toBe(
        'SHARD_UNAVAILABLE',
      );
    });

    it('refuses requests when too many bytes wait', async () => {
      const { one } = await pair();
      await harness.hold(2);
      const half = new Uint8Array(40 * 1024 * 1024);
      const first = reasonOf(one.transport.request(2, half, { timeoutMs: 60_000 }));
      expect(await reasonOf(one.transport.request(2, half, inTime))).toBe('TOO_MANY_REQUESTS');
      await harness.cut(2);
      expect(await first).toBe('SHARD_UNAVAILABLE');
    });

    it('drops Raft messages without a link, links again, and delivers new ones', async () => {
      const { one, two } = await pair();
      await harness.cut(2);
      await until(() => !one.connected(2) && !two.connected(1));
      one.transport.send(2, [append(1)]);
      two.transport.send(1, [append(2)]);
      // Refused dials are told as well: they are what starts an early election.
      await until(() => one.downs.length > 1);
      await harness.heal(2);
      await until(() => one.connected(2) && two.connected(1));
      one.transport.send(2, [append(3)]);
      two.transport.send(1, [append(4)]);
      await until(() => two.messages.length > 0 && one.messages.length > 0);
      expect(two.indexes()).toEqual([3]);
      expect(one.indexes()).toEqual([4]);
    });

    it('replaces the link of a peer that comes back with a newer incarnation', async () => {
      const { one, two } = await pair();
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(identityOf(1, { incarnation: 2 }), peers);
      await until(() => two.ups.length === 2 && two.connected(1) && one.connected(2));
      expect(two.ups.map(({ incarnation }) => incarnation)).toEqual([1, 2]);
      one.transport.send(2, [append(5)]);
      await until(() => two.messages.length === 1);
    });

    it('refuses an older process of a peer that dials, and keeps the newer (M8)', async () => {
      const { one, two } = await pair();
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(identityOf(1, { incarnation: 3 }), peers);
      await until(() => two.ups.length === 2 && one.connected(2));
      const copy = await openNode(1, { incarnation: 2 });
      copy.transport.configure(copy.identity, peers);
      await until(() => two.refused.length > 0 && copy.refused.length > 0);
      for (const refused of [...two.refused, ...copy.refused]) {
        expect(refused).toContain('a newer incarnation of node 1 has been seen (3, this one is 2)');
      }
      expect(copy.connected(2)).toBe(false);
      expect(two.ups.map(({ incarnation }) => incarnation)).toEqual([1, 3]);
      expect(await one.transport.request(2, bytes('x'), inTime)).toHaveLength(1);
    });

    it('refuses an older process of a peer that is dialled, at any address (M8)', async () => {
      const one = await openNode(1);
      const two = await openNode(2, { incarnation: 5 });
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(one.identity, peers);
      two.transport.configure(two.identity, peers);
      await until(() => one.connected(2));
      const copy = await openNode(2, { incarnation: 4 });
      copy.transport.configure(copy.identity, peers);
      const { address } = copy.transport;
      one.transport.configure(one.identity, [{ nodeId: 2, address, storeId: 'store-2' }]);
      await until(() => one.refused.length > 0 && copy.refused.length > 0);
      for (const refused of [...one.refused, ...copy.refused]) {
        expect(refused).toContain('a newer incarnation of node 2 has been seen (5, this one is 4)');
      }
      expect(one.connected(2)).toBe(false);
      expect(one.ups.map(({ incarnation }) => incarnation)).toEqual([5]);
    });

    it('keeps links when it is configured again with the same peers', async () => {
      const { one, two } = await pair();
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(one.identity, peers);
      two.transport.configure(two.identity, peers);
      await one.transport.request(2, bytes('x'), inTime);
      expect(one.ups).toHaveLength(1);
      expect(two.ups).toHaveLength(1);
    });

    it('closes the links of peers that it is not configured with any more', async () => {
      const { one, two } = await pair();
      one.transport.configure(one.identity, []);
      await until(() => two.downs.includes(1));
      expect(one.transport.peers()).toEqual([]);
      expect(await reasonOf(one.transport.request(2, bytes('x'), inTime))).toBe(
        'SHARD_UNAVAILABLE',
      );
    });

    it.each([
      ['the dialling', 1],
      ['the accepting', 2],
    ])('refuses a wrong store of %s side, once, on both sides (M8)', async (_side, wrongId) => {
      const fields = (nodeId: number) => (nodeId === wrongId ? { storeId: 'wiped' } : {});
      const one = await openNode(1, fields(1));
      const two = await openNode(2, fields(2));
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(one.identity, peers);
      two.transport.configure(two.identity, peers);
      await until(() => one.refused.length > 0 && two.refused.length > 0);
      for (const refused of [...one.refused, ...two.refused]) expect(refused).toContain('wiped');
      expect(one.connected(2) || two.connected(1)).toBe(false);
      expect(one.refused).toHaveLength(1);
      expect(two.refused).toHaveLength(1);
    });

    it('refuses a node of another cluster', async () => {
      const one = await openNode(1, { clusterId: 'other' });
      const two = await openNode(2);
      const peers = [await addressOf(one), await addressOf(two)];
      one.transport.configure(one.identity, peers);
      two.transport.configure(two.identity, peers);
      await until(() => one.refused.length > 0 && two.refused.length > 0);
      expect(one.refused[0]).toContain('belongs to cluster');
      expect([...one.ups, ...two.ups]).toEqual([]);
    });

    it('refuses an address that leads to another node, and keeps that node untouched', async () => {
      const { one, two } = await pair();
      const three = await openNode(3);
      const peers = [await addressOf(one), await addressOf(two)];
      const { address } = await addressOf(two);
      one.transport.configure(one.identity, [...peers, { nodeId: 3, address, storeId: 'store-3' }]);
      await until(() => one.refused.length > 0);
      expect(one.refused[0]).toContain('wants node 3');
      expect(two.downs).toEqual([]);
      expect(one.connected(2)).toBe(true);
      expect(three.ups).toEqual([]);
    });

    it('answers control requests before it is configured, and hands errors on', async () => {
      const two = await openNode(2);
      const environment = { network: harness.network(1), scheduler: realScheduler };
      const { address } = two.transport;
      two.answer = async (payload) => bytes(`I am store-2, you said ${Buffer.from(payload)}`);
      const answer = await controlRequest(environment, address, bytes('hello'), 60_000);
      expect(Buffer.from(answer).toString()).toBe('I am store-2, you said hello');
      two.answer = async () => {
        throw new FlotillaError('ALREADY_BOOTSTRAPPED', 'no');
      };
      expect(await reasonOf(controlRequest(environment, address, bytes('x'), 60_000))).toBe(
        'ALREADY_BOOTSTRAPPED',
      );
      two.answer = () => new Promise(() => undefined);
      expect(await reasonOf(controlRequest(environment, address, bytes('x'), 1_000))).toBe(
        'DEADLINE_EXCEEDED',
      );
    });

    it('refuses a control question, and an answer, of more than 8 MiB', async () => {
      const two = await openNode(2);
      const environment = { network: harness.network(1), scheduler: realScheduler };
      const { address } = two.transport;
      const tooLarge = new Uint8Array(8 * 1024 * 1024 + 1);
      expect(await reasonOf(controlRequest(environment, address, tooLarge, 60_000))).toBe(
        'LIMIT_EXCEEDED',
      );
      two.answer = async () => tooLarge;
      expect(await reasonOf(controlRequest(environment, address, bytes('x'), 60_000))).toBe(
        'LIMIT_EXCEEDED',
      );
      two.answer = async (payload) => payload;
      const largest = tooLarge.subarray(1);
      expect(await controlRequest(environment, address, largest, 60_000)).toHaveLength(
        largest.length,
      );
    });

    it('names a node that a control request does not reach as not ready', async () => {
      const two = await openNode(2);
      const { address } = two.transport;
      await two.transport.close();
      const environment = { network: harness.network(1), scheduler: realScheduler };
      expect(await reasonOf(controlRequest(environment, address, bytes('x'), 60_000))).toBe(
        'NODE_NOT_READY',
      );
    });

    it('fails what is under way when it closes, closes once, and stays closed', async () => {
      const { one, two } = await pair();
      let asked = 0;
      two.answer = () => {
        asked++;
        return new Promise(() => undefined);
      };
      const sent = reasonOf(one.transport.request(2, bytes('x'), inTime));
      await until(() => asked === 1);
      const queued = reasonOf(one.transport.request(2, bytes('y'), inTime));
      const downsBefore = one.downs.length;
      await Promise.all([one.transport.close(), one.transport.close()]);
      expect(await sent).toBe('OUTCOME_UNKNOWN');
      expect(await queued).toBe('SHARD_UNAVAILABLE');
      expect(await reasonOf(one.transport.request(2, bytes('z'), inTime))).toBe(
        'SHARD_UNAVAILABLE',
      );
      one.transport.send(2, [append(1)]);
      one.transport.configure(one.identity, [await addressOf(two)]);
      await until(() => two.downs.includes(1));
      expect(one.downs.length).toBe(downsBefore);
      expect(one.ups).toHaveLength(1);
    });
  });
}
