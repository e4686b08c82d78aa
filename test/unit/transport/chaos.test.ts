// Goal: whatever happens to the links, every request settles truthfully and links come back (F-8).
// Method: seeded traffic, cuts and restarts of three nodes on virtual time; half on copying links.
import { expect, it } from 'vitest';
import { isFlotillaError } from '../../../src/shared/errors.js';
import { silentLogger } from '../../../src/shared/logger.js';
import { MemoryNetwork } from '../../../src/transport/memory-network.js';
import { createTransport } from '../../../src/transport/peer-transport.js';
import type { PeerAddress, Transport } from '../../../src/transport/transport.js';
import { seededRandom } from '../../raft/replica.js';
import { append, heartbeat } from './test-node.js';
import { VirtualTime } from './virtual-time.js';

const NODES = [1, 2, 3];
const STEPS = 120;
const SEEDS = 40;
/** Errors that say that the handler never saw the request. */
const NEVER_HANDLED = ['SHARD_UNAVAILABLE', 'TOO_MANY_REQUESTS'];

const hostOf = (nodeId: number): string => `host-${nodeId}`;
const addressOf = (nodeId: number): PeerAddress => {
  return { nodeId, address: `address-${nodeId}`, storeId: `store-${nodeId}` };
};

/** A payload that starts with its number, and has it in all of its bytes. */
function payloadOf(serial: number, sizeBytes: number): Uint8Array {
  const payload = new Uint8Array(sizeBytes).fill(serial);
  new DataView(payload.buffer).setUint32(0, serial);
  return payload;
}

function serialOf(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint32(0);
}

function isWhole(payload: Uint8Array): boolean {
  return Buffer.compare(payload, payloadOf(serialOf(payload), payload.length)) === 0;
}

class ChaosRun {
  readonly time = new VirtualTime();
  readonly outcomes: string[] = [];
  asked = 0;
  readonly #random: () => number;
  readonly #network: MemoryNetwork;
  readonly #transports = new Map<number, Transport>();
  readonly #incarnations = new Map<number, number>();
  readonly #handled = new Set<number>();

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#network = new MemoryNetwork({ scheduler: this.time, copiesFrames: seed % 2 === 0 });
  }

  async open(nodeId: number): Promise<void> {
    const incarnation = (this.#incarnations.get(nodeId) ?? 0) + 1;
    this.#incarnations.set(nodeId, incarnation);
    const { time } = this;
    const random = { next: this.#random, uuid: () => 'none' };
    const network = this.#network.host(hostOf(nodeId));
    const { address, storeId } = addressOf(nodeId);
    const transport = await createTransport({
      environment: { clock: time, scheduler: time, random, network },
      listenAddress: address,
      logger: silentLogger,
      onControl: async (payload) => payload,
      inflightRequestsMax: 20,
      settings: {
        requestQueueBytesMax: 3_000_000,
        raftQueueBytesMax: 100_000,
        frameRoomBytesMin: 1,
      },
      handlers: {
        onMessages: () => undefined,
        onRequest: (_from, payload) => this.#handle(payload),
        onPeerUp: () => undefined,
        onPeerDown: () => undefined,
        onPeerRefused: (_nodeId, error) => this.outcomes.push(`refused: ${error.message}`),
      },
    });
    transport.configure({ clusterId: 'c', nodeId, storeId, incarnation }, NODES.map(addressOf));
    this.#transports.set(nodeId, transport);
  }

  /** Lets something happen to two nodes. */
  async step(): Promise<void> {
    const from = this.#upTo(3) + 1;
    const to = ((from + this.#upTo(2)) % 3) + 1;
    const dice = this.#random();
    if (dice < 0.4) this.ask(from, to);
    else if (dice < 0.55)
      this.#transport(from).send(to, [append(1, this.#upTo(50_000)), heartbeat(1)]);
    else if (dice < 0.62) this.#cut(from, to);
    else if (dice < 0.72) this.#network.heal();
    else if (dice < 0.75) await this.#restart(from);
    else await this.time.pass(this.#upTo(200));
  }

  ask(from: number, to: number): void {
    this.asked += 1;
    const serial = this.asked;
    const payload = payloadOf(serial, 4 + this.#upTo(this.#random() < 0.2 ? 2_000_000 : 1_000));
    const caller = new AbortController();
    if (this.#random() < 0.2) this.time.after(this.#upTo(500), () => caller.abort());
    const options = { timeoutMs: this.#upTo(1_500), signal: caller.signal };
    this.#transport(from)
      .request(to, payload, options)
      .then(
        (answer) => this.outcomes.push(this.#judgeAnswer(serial, answer)),
        (error: unknown) => this.outcomes.push(this.#judge(serial, error)),
      );
  }

  async recover(): Promise<void> {
    this.#network.heal();
    await this.time.pass(10_000);
    for (const transport of this.#transports.values()) {
      expect(transport.peers()).toMatchObject([CONNECTED, CONNECTED]);
    }
  }

  async close(): Promise<void> {
    for (const transport of this.#transports.values()) void transport.close();
    await this.time.settle();
  }

  /** Echoes, at once or later, sometimes with more than it was sent; or fails. */
  async #handle(payload: Uint8Array): Promise<Uint8Array> {
    if (!isWhole(payload)) this.outcomes.push('damaged on its way');
    this.#handled.add(serialOf(payload));
    const delayMs = Math.max(0, this.#upTo(500) - 250);
    if (delayMs > 0) await new Promise<void>((resolve) => this.time.after(delayMs, resolve));
    if (this.#random() < 0.1) throw new Error('the handler failed');
    return payloadOf(serialOf(payload), payload.length + this.#upTo(100_000));
  }

  #judgeAnswer(serial: number, answer: Uint8Array): string {
    if (!isWhole(answer)) return 'damaged on its way back';
    return serialOf(answer) === serial ? 'answered' : 'mixed up';
  }

  #judge(serial: number, error: unknown): string {
    if (!isFlotillaError(error)) return `not an error of ours: ${error}`;
    const isLie = NEVER_HANDLED.includes(error.reason) && this.#handled.has(serial);
    return isLie ? `handled, and answered ${error.reason}` : error.reason;
  }

  #cut(one: number, other: number): void {
    const mode = this.#random() < 0.5 ? 'hold' : 'break';
    this.#network.cut(hostOf(one), hostOf(other), { mode, oneWay: this.#random() < 0.5 });
  }

  async #restart(nodeId: number): Promise<void> {
    void this.#transport(nodeId).close();
    await this.time.settle();
    await this.open(nodeId);
  }

  #transport(nodeId: number): Transport {
    const transport = this.#transports.get(nodeId);
    if (transport === undefined) throw new Error(`node ${nodeId} is not open`);
    return transport;
  }

  #upTo(end: number): number {
    return Math.floor(this.#random() * end);
  }
}

const CONNECTED = { connected: true, queuedBytes: 0 };
const EXPECTED = [
  'answered',
  'INTERNAL',
  'SHARD_UNAVAILABLE',
  'OUTCOME_UNKNOWN',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'TOO_MANY_REQUESTS',
];

it(`settles all requests truthfully and leaves nothing behind: ${SEEDS} seeds (P-2)`, async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= SEEDS; seed++) {
    const run = new ChaosRun(seed);
    for (const nodeId of NODES) await run.open(nodeId);
    for (let step = 0; step < STEPS; step++) await run.step();
    await run.recover();
    expect(run.outcomes, `seed ${seed}`).toHaveLength(run.asked);
    for (const nodeId of NODES) run.ask(nodeId, (nodeId % 3) + 1);
    await run.close();
    await run.time.pass(500);
    expect([run.time.timers, run.outcomes.length], `seed ${seed}`).toEqual([0, run.asked]);
    for (const outcome of run.outcomes) seen.add(outcome);
  }
  expect([...seen].filter((outcome) => !EXPECTED.includes(outcome))).toEqual([]);
  expect(seen.size).toBeGreaterThan(5);
});
