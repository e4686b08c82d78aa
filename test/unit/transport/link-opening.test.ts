// Goal: links open only between nodes that accept each other; bad and slow peers harm nobody.
// Method: a transport under virtual time against hand-made peers on the memory network.
import { beforeEach, describe, expect, it } from 'vitest';
import type { Connection } from '../../../src/shared/environment.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import {
  decodeFrame,
  encodeFrame,
  type FrameRecord,
  type Hello,
} from '../../../src/transport/frame.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { createTransport, type TransportOptions } from '../../../src/transport/peer-transport.js';
import type { PeerIdentity, Transport } from '../../../src/transport/transport.js';
import { raftMessage } from './test-node.js';
import { fixedRandom, VirtualTime } from './virtual-time.js';

/** The transport under test is node 2: node 1 dials it, it dials node 3. */
const SELF: PeerIdentity = { clusterId: 'c', nodeId: 2, storeId: 's2', incarnation: 4 };
const PEERS = [
  { nodeId: 1, address: 'one', storeId: 's1' },
  { nodeId: 2, address: 'two', storeId: 's2' },
  { nodeId: 3, address: 'three', storeId: 's3' },
];

const helloOf = (nodeId: number, fields: Partial<Hello> = {}): Hello => ({
  identity: { clusterId: 'c', nodeId, storeId: `s${nodeId}`, incarnation: 1 },
  expectedNodeId: 2,
  expectedStoreId: 's2',
  protocolVersion: 1,
  protocolVersionMin: 1,
  wallMs: 1_700_000_005_000,
  ...fields,
});

const NOTHING = new Uint8Array(0);

const cancel = (requestId: number): FrameRecord => ({ kind: 'cancel', requestId });

const helloRecord = (hello: Hello): FrameRecord => ({ kind: 'hello', hello });

/** A peer made by hand: says what it is told to, writes down what it hears. */
class RawPeer {
  readonly records: FrameRecord[] = [];
  closes = 0;
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.start({
      onFrame: (frame) => this.records.push(...decodeFrame(frame)),
      onDrain: () => undefined,
      onClose: () => this.closes++,
    });
  }

  say(...records: FrameRecord[]): void {
    this.#connection.send(encodeFrame(records));
  }

  sayBytes(...values: number[]): void {
    this.#connection.send(Uint8Array.from(values));
  }

  close(): void {
    this.#connection.close();
  }

  kinds(): string[] {
    return this.records.map(({ kind }) => kind);
  }
}

describe('opening links', () => {
  let time: VirtualTime;
  let hub: MemoryNetwork;
  let events: string[];
  let transport: Transport;

  beforeEach(async () => {
    time = new VirtualTime();
    hub = new MemoryNetwork({ scheduler: time });
    events = [];
    transport = await open();
    transport.configure(SELF, PEERS.slice(0, 2));
  });

  const open = (fields: Partial<TransportOptions> = {}): Promise<Transport> =>
    createTransport({
      environment: { clock: time, scheduler: time, random: fixedRandom, network: hub.host('two') },
      listenAddress: 'two',
      logger: silentLogger,
      onControl: async (payload) => payload,
      handlers: {
        onMessages: (from, messages) => events.push(`${messages.length} from ${from.nodeId}`),
        onRequest: async (_from, payload) => payload,
        onPeerUp: ({ nodeId, incarnation }) => events.push(`up ${nodeId}/${incarnation}`),
        onPeerDown: (nodeId) => events.push(`down ${nodeId}`),
        onPeerRefused: (nodeId, error) =>
          events.push(`refused ${nodeId} ${error instanceof FlotillaError ? error.reason : '?'}`),
      },
      ...fields,
    });

  async function dial(): Promise<RawPeer> {
    const dialling = hub.host('one').dial('two', { timeoutMs: 1_000 });
    await time.settle();
    return new RawPeer(await dialling);
  }

  /** A linked node 1. */
  async function linked(): Promise<RawPeer> {
    const peer = await dial();
    peer.say(helloRecord(helloOf(1)));
    await time.settle();
    expect(events).toEqual(['up 1/1']);
    events.length = 0;
    peer.records.length = 0;
    return peer;
  }

  it('answers a greeting with its own and tells how far the clock is ahead', async () => {
    const peer = await dial();
    peer.say(helloRecord(helloOf(1)));
    await time.settle();
    expect(events).toEqual(['up 1/1']);
    expect(peer.records).toEqual([
      helloRecord({
        identity: SELF,
        expectedNodeId: 1,
        expectedStoreId: 's1',
        protocolVersion: 1,
        protocolVersionMin: 1,
        wallMs: time.wallMs(),
      }),
    ]);
    expect(transport.peers()).toEqual([
      { nodeId: 1, connected: true, queuedBytes: 0, clockAheadMs: 5_000 },
    ]);
  });

  it.each<[string, Hello, string]>([
    [
      'a newer protocol',
      helloOf(1, { protocolVersion: 3, protocolVersionMin: 2 }),
      'UNSUPPORTED_VERSION',
    ],
    [
      'an older protocol',
      helloOf(1, { protocolVersion: 0, protocolVersionMin: 0 }),
      'UNSUPPORTED_VERSION',
    ],
    [
      'another cluster',
      helloOf(1, { identity: { clusterId: 'd', nodeId: 1, storeId: 's1', incarnation: 1 } }),
      'WRONG_CLUSTER',
    ],
    [
      'another store (M8)',
      helloOf(1, { identity: { clusterId: 'c', nodeId: 1, storeId: 'wiped', incarnation: 1 } }),
      'WRONG_STORE',
    ],
    ['a greeting meant for another node', helloOf(1, { expectedNodeId: 3 }), 'WRONG_STORE'],
    ['a greeting meant for another store', helloOf(1, { expectedStoreId: 'old' }), 'WRONG_STORE'],
  ])('refuses %s, reports it once, and closes', async (_what, hello, reason) => {
    for (let attempt = 0; attempt < 3; attempt++) {
      const peer = await dial();
      peer.say(helloRecord(hello));
      await time.settle();
      expect(peer.records).toMatchObject([{ kind: 'refuse', error: { reason } }]);
      await time.pass(500);
      expect(peer.closes).toBe(1);
    }
    expect(events).toEqual([`refused 1 ${reason}`]);
  });

  it('reports a refusal again when its cause changed, or after a link was up', async () => {
    const greet = async (hello: Hello): Promise<RawPeer> => {
      const peer = await dial();
      peer.say(helloRecord(hello));
      await time.pass(1);
      return peer;
    };
    await greet(helloOf(1, { expectedNodeId: 3 }));
    await greet(helloOf(1, { expectedNodeId: 4 }));
    const good = await greet(helloOf(1));
    good.close();
    await time.settle();
    await greet(helloOf(1, { expectedNodeId: 4 }));
    expect(events).toEqual([
      'refused 1 WRONG_STORE',
      'refused 1 WRONG_STORE',
      'up 1/1',
      'down 1',
      'refused 1 WRONG_STORE',
    ]);
  });

  it('accepts a node of the next version that still speaks this one', async () => {
    const peer = await dial();
    peer.say(helloRecord(helloOf(1, { protocolVersion: 2, protocolVersionMin: 1 })));
    await time.settle();
    expect(events).toEqual(['up 1/1']);
  });

  it('tells a node that it does not know yet to come again, without a report', async () => {
    const peer = await dial();
    peer.say(
      helloRecord(
        helloOf(9, { identity: { clusterId: 'c', nodeId: 9, storeId: 's9', incarnation: 1 } }),
      ),
    );
    await time.settle();
    expect(peer.records).toMatchObject([{ kind: 'refuse', error: { reason: 'NODE_NOT_READY' } }]);
    expect(events).toEqual([]);
  });

  it('refuses a dial in the wrong direction, so that dials never cross', async () => {
    transport.configure(SELF, PEERS);
    const peer = await dial();
    peer.say(helloRecord(helloOf(3)));
    await time.settle();
    expect(peer.records).toMatchObject([{ kind: 'refuse', error: { reason: 'INVALID_REQUEST' } }]);
  });

  it('closes links that do not greet in time, and one that starts with anything else', async () => {
    const silent = await dial();
    const early = await dial();
    early.say({
      kind: 'raft',
      messages: [{ groupId: 1, message: raftMessage({ type: 'MsgApp' }) }],
    });
    await time.settle();
    expect([silent.closes, early.closes]).toEqual([0, 1]);
    await time.pass(2_000);
    expect(silent.closes).toBe(1);
    expect(events).toEqual([]);
  });

  it('closes a link whose greeting is absurdly long', async () => {
    const peer = await dial();
    const identity = { clusterId: 'c'.repeat(5_000), nodeId: 1, storeId: 's1', incarnation: 1 };
    peer.say(helloRecord(helloOf(1, { identity })));
    await time.settle();
    expect([peer.closes, peer.records.length, events.length]).toEqual([1, 0, 0]);
  });

  it('leaves no timer behind for a control question, whoever closes the link first', async () => {
    const question: FrameRecord = { kind: 'control', payload: NOTHING };
    const answered = await dial();
    answered.say(question);
    await time.settle();
    expect(answered.kinds()).toEqual(['controlAnswer']);
    answered.close();
    const impatient = await dial();
    impatient.say(question);
    impatient.close();
    await time.settle();
    expect(time.timers).toBe(0);
  });

  it('keeps no more than 256 links without a greeting', async () => {
    const peers: RawPeer[] = [];
    for (let count = 0; count < 257; count++) peers.push(await dial());
    await time.settle();
    expect(peers.map(({ closes }) => closes)).toEqual([...new Array(256).fill(0), 1]);
  });

  it.each([
    ['bytes that are no frame', [1, 200]],
    ['a frame of another format', [2, 3, 0]],
    ['a greeting in the middle', [...encodeFrame([helloRecord(helloOf(1))])]],
    ['a part of an answer that was not opened', [1, 7, 1, 0]],
  ])('closes an open link on %s, and takes a new one (F-8)', async (_what, frame) => {
    const peer = await linked();
    const asked = transport.request(1, Uint8Array.of(1), { timeoutMs: 1_000 });
    const failed = expect(asked).rejects.toThrow('broke before its answer');
    await time.settle();
    peer.sayBytes(...frame);
    await time.settle();
    await failed;
    expect(peer.closes).toBe(1);
    expect(events).toEqual(['down 1']);
    events.length = 0;
    await linked();
  });

  it('delivers nothing of a frame that is malformed at its end', async () => {
    const peer = await linked();
    const messages = [{ groupId: 1, message: raftMessage({ type: 'MsgApp' }) }];
    const good = encodeFrame([{ kind: 'raft', messages }]);
    peer.sayBytes(...good, 200);
    await time.settle();
    expect(events).toEqual(['down 1']);
  });

  it('lets the newer of two links of a peer win', async () => {
    const older = await linked();
    const newer = await dial();
    const identity = { clusterId: 'c', nodeId: 1, storeId: 's1', incarnation: 2 };
    newer.say(helloRecord(helloOf(1, { identity })));
    await time.settle();
    expect(events).toEqual(['down 1', 'up 1/2']);
    expect([older.closes, newer.closes]).toEqual([1, 0]);
    transport.send(1, [{ groupId: 1, message: raftMessage({ type: 'MsgHeartbeat' }) }]);
    await time.settle();
    expect(newer.kinds()).toEqual(['hello', 'raft']);
  });

  /** What a process of node 1 hears when it greets. */
  async function greetAs(incarnation: number, storeId = 's1'): Promise<RawPeer> {
    const peer = await dial();
    peer.say(
      helloRecord(helloOf(1, { identity: { ...helloOf(1).identity, storeId, incarnation } })),
    );
    await time.settle();
    return peer;
  }

  it('refuses an older process than it has seen, once told, and harms no link (M8)', async () => {
    const newer = await greetAs(3);
    for (let attempt = 0; attempt < 2; attempt++) {
      const older = await greetAs(2);
      expect(older.records).toMatchObject([{ kind: 'refuse', error: { reason: 'WRONG_STORE' } }]);
    }
    expect(events).toEqual(['up 1/3', 'refused 1 WRONG_STORE']);
    expect(newer.closes).toBe(0);
    // Nor when no link of the newer one is left.
    newer.close();
    await time.settle();
    expect((await greetAs(2)).kinds()).toEqual(['refuse']);
    expect((await greetAs(3)).kinds()).toEqual(['hello']);
  });

  it('remembers the newest process when peers are configured anew, by store (M8)', async () => {
    await greetAs(3);
    transport.configure(SELF, [{ nodeId: 1, address: 'elsewhere', storeId: 's1' }]);
    expect((await greetAs(2)).kinds()).toEqual(['refuse']);
    // A node that was readmitted counts from the start, under a new store.
    transport.configure(SELF, [{ nodeId: 1, address: 'one', storeId: 's1-new' }]);
    expect((await greetAs(1, 's1-new')).kinds()).toEqual(['hello']);
  });

  it('takes an older process while it knows of no newer one, and no longer (M8)', async () => {
    const older = await greetAs(2);
    expect(older.kinds()).toEqual(['hello']);
    const newer = await greetAs(3);
    expect([older.closes, newer.closes]).toEqual([1, 0]);
    expect((await greetAs(2)).kinds()).toEqual(['refuse']);
    expect(events).toEqual(['up 1/2', 'down 1', 'up 1/3', 'refused 1 WRONG_STORE']);
  });

  it('reports a refusal that comes after the link was taken for open', async () => {
    const peer = await linked();
    peer.say({ kind: 'refuse', error: { reason: 'WRONG_STORE', message: 'not you' } });
    await time.settle();
    expect(events).toEqual(['refused 1 WRONG_STORE', 'down 1']);
  });

  it('bounds the requests that it works on: at the limit and one above', async () => {
    await transport.close();
    const releases: (() => void)[] = [];
    transport = await open({
      inflightRequestsMax: 2,
      handlers: {
        onMessages: () => undefined,
        onRequest: async (_from, payload) => {
          await new Promise<void>((resolve) => releases.push(resolve));
          return payload;
        },
        onPeerUp: () => events.push('up 1/1'),
        onPeerDown: () => undefined,
        onPeerRefused: () => undefined,
      },
    });
    transport.configure(SELF, PEERS.slice(0, 2));
    const peer = await linked();
    const ask = (requestId: number): void =>
      peer.say({
        kind: 'request',
        requestId,
        timeoutMs: 500,
        sizeBytes: 1,
        piece: Uint8Array.of(1),
      });
    for (const requestId of [1, 2, 3]) ask(requestId);
    await time.settle();
    expect(peer.records).toMatchObject([
      { kind: 'failure', requestId: 3, error: { reason: 'TOO_MANY_REQUESTS' } },
    ]);
    releases[0]?.();
    await time.settle();
    ask(4);
    await time.settle();
    expect(peer.kinds()).toEqual(['failure', 'response']);
    // Given up by their time, the handlers that still run keep their places.
    await time.pass(1_000);
    ask(5);
    await time.settle();
    expect(peer.kinds()).toEqual(['failure', 'response', 'failure']);
    releases[1]?.();
    releases[2]?.();
    await time.settle();
    ask(6);
    await time.settle();
    expect(releases).toHaveLength(4);
    expect(peer.kinds()).toEqual(['failure', 'response', 'failure']);
  });

  it.each([
    ['time out', async () => time.pass(500)],
    ['are cancelled', async (peer: RawPeer) => peer.say(...[1, 2, 3, 4].map(cancel))],
  ])('forgets answers that wait for a slow peer once they %s', async (_how, giveUp) => {
    const peer = await linked();
    hub.cut('two', 'one', { mode: 'hold', oneWay: true });
    const piece = new Uint8Array(2 * 1024 * 1024);
    for (const requestId of [1, 2, 3, 4]) {
      peer.say({ kind: 'request', requestId, timeoutMs: 500, sizeBytes: piece.length, piece });
    }
    await time.settle();
    expect(transport.peers()[0]?.queuedBytes).toBeGreaterThan(piece.length);
    await giveUp(peer);
    await time.settle();
    expect(transport.peers()[0]?.queuedBytes).toBe(0);
    hub.heal();
    peer.say({ kind: 'request', requestId: 5, timeoutMs: 500, sizeBytes: 0, piece: NOTHING });
    await time.settle();
    expect(peer.records.at(-1)).toEqual({
      kind: 'response',
      requestId: 5,
      sizeBytes: 0,
      piece: NOTHING,
    });
  });

  it('counts answers that wait for a slow peer among the requests that it works on', async () => {
    await transport.close();
    transport = await open({ inflightRequestsMax: 2 });
    transport.configure(SELF, PEERS.slice(0, 2));
    const peer = await linked();
    hub.cut('two', 'one', { mode: 'hold', oneWay: true });
    const piece = new Uint8Array(2 * 1024 * 1024);
    for (const requestId of [1, 2, 3, 4]) {
      peer.say({ kind: 'request', requestId, timeoutMs: 500, sizeBytes: piece.length, piece });
      await time.settle();
    }
    hub.heal();
    await time.settle();
    const failures = peer.records.filter(({ kind }) => kind === 'failure');
    expect(failures).toMatchObject([
      { requestId: 3, error: { reason: 'TOO_MANY_REQUESTS' } },
      { requestId: 4, error: { reason: 'TOO_MANY_REQUESTS' } },
    ]);
  });

  it('closes the link on a request id that is in use', async () => {
    const peer = await linked();
    const opening = { kind: 'request', requestId: 1, timeoutMs: 9, sizeBytes: 5 } as const;
    peer.say({ ...opening, piece: Uint8Array.of(1) }, { ...opening, piece: Uint8Array.of(1) });
    await time.settle();
    expect(peer.closes).toBe(1);
  });

  it('closes the link on a payload that is larger than announced, or than any may be', async () => {
    const opening = { kind: 'request', requestId: 1, timeoutMs: 9 } as const;
    const piece = Uint8Array.of(1, 2);
    for (const sizeBytes of [1, 2 ** 40]) {
      const peer = await linked();
      peer.say({ ...opening, sizeBytes, piece });
      await time.settle();
      expect(peer.closes).toBe(1);
      events.length = 0;
    }
  });
});

describe('dialling', () => {
  let time: VirtualTime;
  let hub: MemoryNetwork;
  let transport: Transport;
  let dials: number[];
  let downs: number;
  let refusals: number;

  beforeEach(async () => {
    time = new VirtualTime();
    hub = new MemoryNetwork({ scheduler: time });
    dials = [];
    downs = 0;
    refusals = 0;
    const network = hub.host('two');
    transport = await createTransport({
      environment: {
        clock: time,
        scheduler: time,
        random: fixedRandom,
        network: {
          listen: (address, onConnection) => network.listen(address, onConnection),
          dial: (address, options) => {
            dials.push(time.nowMs);
            return network.dial(address, options);
          },
        },
      },
      listenAddress: 'two',
      logger: silentLogger,
      onControl: async (payload) => payload,
      handlers: {
        onMessages: () => undefined,
        onRequest: async (_from, payload) => payload,
        onPeerUp: () => undefined,
        onPeerDown: () => downs++,
        onPeerRefused: () => refusals++,
      },
    });
  });

  const pauses = (): number[] => dials.slice(1).map((atMs, at) => atMs - (dials[at] ?? 0));

  /** Node 3, which answers each greeting with what it is told to, or not at all. */
  async function listenAsThree(answer: () => FrameRecord | undefined): Promise<RawPeer[]> {
    const accepted: RawPeer[] = [];
    await hub.host('three').listen('three', (connection) => {
      const peer = new RawPeer(connection);
      accepted.push(peer);
      const record = answer();
      if (record !== undefined) peer.say(record);
    });
    return accepted;
  }

  const good = (): FrameRecord => helloRecord(helloOf(3));

  it('pauses longer and longer after refused connections, up to 250 ms, with jitter', async () => {
    transport.configure(SELF, PEERS);
    await time.pass(1_000);
    // Three quarters of 20, 40, 80, 160, 250, 250: the middle of the jitter.
    expect(pauses().slice(0, 6)).toEqual([15, 30, 60, 120, 187.5, 187.5]);
    expect(downs).toBe(dials.length);
    expect(refusals).toBe(0);
  });

  it('dials again at once when a link that had held breaks, then with pauses', async () => {
    const accepted = await listenAsThree(good);
    transport.configure(SELF, PEERS);
    await time.pass(1_000);
    expect(dials).toEqual([0]);
    accepted[0]?.close();
    await time.settle();
    expect(dials).toEqual([0, 1_000]);
    // The second link breaks before it has held.
    accepted[1]?.close();
    await time.settle();
    expect(dials).toHaveLength(2);
    await time.pass(15);
    expect(dials).toEqual([0, 1_000, 1_015]);
  });

  it('comes back slowly to a peer that refuses, and quickly to one that is not ready', async () => {
    let reason: 'WRONG_STORE' | 'NODE_NOT_READY' = 'NODE_NOT_READY';
    await listenAsThree(() => ({ kind: 'refuse', error: { reason, message: 'no' } }));
    transport.configure(SELF, PEERS);
    await time.pass(45);
    expect(pauses()).toEqual([15, 30]);
    expect(refusals).toBe(0);
    reason = 'WRONG_STORE';
    dials.length = 0;
    await time.pass(20_000);
    expect(pauses().slice(0, 4)).toEqual([750, 1_500, 3_000, 3_750]);
    expect(refusals).toBe(1);
  });

  it('gives up a peer that accepts and never greets, and tries again', async () => {
    const accepted = await listenAsThree(() => undefined);
    transport.configure(SELF, PEERS);
    await time.pass(1_999);
    expect(accepted[0]?.kinds()).toEqual(['hello']);
    expect(downs).toBe(0);
    await time.pass(100);
    expect(downs).toBe(1);
    expect(accepted).toHaveLength(2);
    expect(accepted[0]?.closes).toBe(1);
  });

  it('refuses a peer that is not the one it meant, and says so to it', async () => {
    const accepted = await listenAsThree(() => helloRecord(helloOf(3, { expectedNodeId: 7 })));
    transport.configure(SELF, PEERS);
    await time.pass(100);
    expect(accepted[0]?.kinds()).toEqual(['hello', 'refuse']);
    expect([refusals, downs]).toEqual([1, 0]);
  });

  it('stops dialling and greeting when it closes', async () => {
    const accepted = await listenAsThree(() => undefined);
    transport.configure(SELF, PEERS);
    await time.settle();
    await transport.close();
    await time.pass(60_000);
    expect(dials).toEqual([0]);
    expect(accepted[0]?.closes).toBe(1);
    expect(downs).toBe(0);
  });
});
