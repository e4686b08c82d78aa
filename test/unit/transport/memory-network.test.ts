// Goal: MemoryNetwork is a Network, and its cuts behave as broken and as silent networks do.
// Method: the conformance suite, by reference and by copies; cuts under a virtual scheduler.
import { describe, expect, it } from 'vitest';
import type { Connection } from '../../../src/shared/environment.js';
import {
  GIVEN_BACK,
  MemoryNetwork,
  type MemoryNetworkOptions,
} from '../../../src/transport/memory-network.js';
import { networkSuite } from '../../conformance/network-suite.js';
import { realScheduler } from './real-time.js';
import { VirtualTime } from './virtual-time.js';

for (const copiesFrames of [false, true]) {
  networkSuite(copiesFrames ? 'memory, frames copied' : 'memory', async () => ({
    network: new MemoryNetwork({ scheduler: realScheduler, copiesFrames }).host('host'),
    listenAddress: 'memory:0',
    givesFramesBack: copiesFrames,
    close: async () => undefined,
  }));
}

interface Watched {
  readonly connection: Connection;
  readonly frames: string[];
  readonly closes: (string | undefined)[];
  /** What came back of its own frames, as it was then. */
  readonly givenBack: string[];
  drains: number;
}

function watch(connection: Connection): Watched {
  const watched: Watched = { connection, frames: [], closes: [], givenBack: [], drains: 0 };
  connection.start({
    onFrame: (frame) => watched.frames.push(Buffer.from(frame).toString()),
    onDrain: () => watched.drains++,
    onSent: (frame) => watched.givenBack.push(Buffer.from(frame).toString('latin1')),
    onClose: (error) => watched.closes.push(error?.message),
  });
  return watched;
}

async function linked(options: Omit<MemoryNetworkOptions, 'scheduler'> = {}) {
  const time = new VirtualTime();
  const hub = new MemoryNetwork({ scheduler: time, ...options });
  const accepted: Connection[] = [];
  await hub.host('b').listen('b:1', (connection) => accepted.push(connection));
  const dialling = hub.host('a').dial('b:1', { timeoutMs: 100 });
  await time.settle();
  const atA = watch(await dialling);
  const [connection] = accepted;
  if (connection === undefined) throw new Error('nothing was accepted');
  return { time, hub, atA, atB: watch(connection) };
}

describe('memory network under faults', () => {
  it('breaks the links of a cut pair on both sides, and only those', async () => {
    const { time, hub, atA, atB } = await linked();
    hub.cut('a', 'c');
    await time.settle();
    expect(atA.closes).toEqual([]);
    atA.connection.send(Buffer.from('lost'));
    hub.cut('a', 'b');
    await time.settle();
    expect(atA.closes).toEqual(['the link was cut']);
    expect(atB.closes).toEqual(['the link was cut']);
    expect(atB.frames).toEqual([]);
  });

  it('refuses dials across a broken pair until it is healed', async () => {
    const { time, hub } = await linked();
    hub.cut('b', 'a');
    const refused = hub.host('a').dial('b:1', { timeoutMs: 100 });
    const seen = expect(refused).rejects.toThrow('the link is cut');
    await time.settle();
    await seen;
    hub.heal('a', 'b');
    const dialled = hub.host('a').dial('b:1', { timeoutMs: 100 });
    await time.settle();
    await expect(dialled).resolves.toBeDefined();
  });

  it('holds frames behind a silent cut and delivers them in order after the heal', async () => {
    const { time, hub, atA, atB } = await linked();
    hub.cut('a', 'b', { mode: 'hold' });
    atA.connection.send(Buffer.from('1'));
    await time.pass(1_000);
    atA.connection.send(Buffer.from('2'));
    atB.connection.send(Buffer.from('back'));
    await time.pass(1_000);
    expect(atB.frames).toEqual([]);
    expect(atA.frames).toEqual([]);
    hub.heal();
    await time.settle();
    expect(atB.frames).toEqual(['1', '2']);
    expect(atA.frames).toEqual(['back']);
  });

  it('cuts one direction alone (F-7)', async () => {
    const { time, hub, atA, atB } = await linked();
    hub.cut('a', 'b', { mode: 'hold', oneWay: true });
    atA.connection.send(Buffer.from('held'));
    atB.connection.send(Buffer.from('through'));
    await time.settle();
    expect(atA.frames).toEqual(['through']);
    expect(atB.frames).toEqual([]);
  });

  it('times a dial out in a silent cut, and lets one that waits go on after the heal', async () => {
    const { time, hub } = await linked();
    hub.cut('a', 'b', { mode: 'hold' });
    const late = hub.host('a').dial('b:1', { timeoutMs: 100 });
    const patient = hub.host('a').dial('b:1', { timeoutMs: 1_000 });
    const seen = expect(late).rejects.toThrow('no answer within 100 ms');
    await time.pass(200);
    await seen;
    hub.heal('b', 'a');
    await time.settle();
    await expect(patient).resolves.toBeDefined();
  });

  it('keeps a close behind a silent cut', async () => {
    const { time, hub, atA, atB } = await linked();
    hub.cut('a', 'b', { mode: 'hold' });
    atA.connection.send(Buffer.from('last'));
    atA.connection.close();
    await time.settle();
    expect(atA.closes).toEqual([undefined]);
    expect(atB.closes).toEqual([]);
    hub.heal();
    await time.settle();
    expect(atB.frames).toEqual(['last']);
    expect(atB.closes).toEqual([undefined]);
  });

  it('fills its buffer behind a silent cut, and drains after the heal', async () => {
    const { time, hub, atA } = await linked({ bufferFramesMax: 2 });
    hub.cut('a', 'b', { mode: 'hold' });
    const answers = ['1', '2', '3'].map((text) => atA.connection.send(Buffer.from(text)));
    expect(answers).toEqual([true, true, false]);
    await time.pass(1_000);
    expect(atA.drains).toBe(0);
    hub.heal();
    await time.settle();
    expect(atA.drains).toBe(1);
  });
});

describe('memory network that copies frames', () => {
  it('overwrites a frame right before it gives it back, after it was delivered', async () => {
    const { time, atA, atB } = await linked({ copiesFrames: true });
    const frame = new Uint8Array(Buffer.from('abc'));
    atA.connection.send(frame);
    expect(Buffer.from(frame).toString()).toBe('abc');
    await time.settle();
    expect(atB.frames).toEqual(['abc']);
    expect(atA.givenBack).toEqual([String.fromCharCode(GIVEN_BACK).repeat(3)]);
    expect(atB.givenBack).toEqual([]);
  });

  it('shows who changes a frame before it is given back', async () => {
    const { time, atA, atB } = await linked({ copiesFrames: true });
    const frame = new Uint8Array(Buffer.from('abc'));
    atA.connection.send(frame);
    frame.fill('x'.charCodeAt(0));
    await time.settle();
    expect(atB.frames).toEqual(['xxx']);
  });

  it('gives back what a silent cut holds when it has gone through', async () => {
    const { time, hub, atA, atB } = await linked({ copiesFrames: true });
    hub.cut('a', 'b', { mode: 'hold' });
    atA.connection.send(new Uint8Array(Buffer.from('held')));
    await time.pass(1_000);
    expect(atA.givenBack).toEqual([]);
    hub.heal();
    await time.settle();
    expect([atB.frames, atA.givenBack.length]).toEqual([['held'], 1]);
  });

  it('gives back neither what was lost nor what a closed side had sent', async () => {
    const broken = await linked({ copiesFrames: true });
    broken.atA.connection.send(new Uint8Array(Buffer.from('lost')));
    broken.hub.cut('a', 'b');
    await broken.time.settle();
    expect([broken.atB.frames, broken.atA.givenBack]).toEqual([[], []]);

    const closed = await linked({ copiesFrames: true });
    const last = new Uint8Array(Buffer.from('last'));
    closed.atA.connection.send(last);
    closed.atA.connection.close();
    await closed.time.settle();
    expect([closed.atB.frames, closed.atA.givenBack]).toEqual([['last'], []]);
    expect(Buffer.from(last).toString()).toBe('last');
  });
});
