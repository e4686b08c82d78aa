// Goal: per record, writes and reads are linearizable while leaders stop and come back (P-4, S-5).
// Method: clients record histories of one-register operations; a checker decides each register.
import { Cluster, type Flotilla } from 'flotilla';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, leaderOf } from './harness.js';
import { type Operation, registerFault } from './register-checker.js';

const NAME = 'registers';
const REGISTERS = ['r0', 'r1', 'r2', 'r3'];
const CLIENTS = 6;
const RESTARTS = 4;
const OPERATIONS_PER_PHASE = 60;

let cluster: Cluster;
let control: Flotilla;

beforeAll(async () => {
  cluster = await Cluster.start({ ...FAST, nodes: 3, shards: 2 });
  control = cluster.client({ timeoutMs: 20_000 });
  await control.createCollection({ name: NAME, dimension: 1, metric: 'l2' });
});

afterAll(async () => {
  await cluster.stop();
});

class History {
  readonly operations = new Map<string, Operation[]>(REGISTERS.map((id) => [id, []]));
  #clock = 0;
  #values = 0;

  get size(): number {
    return [...this.operations.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /** A write of a value that no other write has. */
  async write(client: Flotilla, id: string): Promise<void> {
    const value = ++this.#values;
    await this.#record(id, { kind: 'write', value }, async () => {
      const { outcomes } = await client.collection(NAME).upsert([{ id, values: [value] }]);
      if (outcomes[0]?.kind !== 'applied') throw new Error(`not applied: ${outcomes[0]?.kind}`);
      return value;
    });
  }

  async read(client: Flotilla, id: string): Promise<void> {
    await this.#record(id, { kind: 'read', value: 0 }, async () => {
      const [found] = await client.collection(NAME).fetch([id]);
      return found?.values?.[0] ?? 0;
    });
  }

  /** A read that failed says nothing; a write may have happened, now or later, or not. */
  async #record(
    id: string,
    { kind, value }: Pick<Operation, 'kind' | 'value'>,
    run: () => Promise<number>,
  ): Promise<void> {
    const list = defined(this.operations.get(id), id);
    const start = ++this.#clock;
    try {
      const result = await run();
      list.push({ kind, value: result, start, end: ++this.#clock });
    } catch (error) {
      const isRefused = isFlotillaError(error) && error.outcome === 'not-applied';
      if (kind === 'write' && !isRefused) list.push({ kind, value, start, end: Infinity });
    }
  }
}

it('holds while leaders are stopped and started again', async () => {
  const history = new History();
  let isDone = false;
  let turn = 0;
  const worker = async (): Promise<void> => {
    while (!isDone) {
      const step = turn++;
      const { nodeId } = defined(cluster.addresses[step % cluster.addresses.length], 'a node');
      // Short: what takes longer is recorded as unknown, which is the interesting case.
      const client = clientOf(cluster, nodeId, { timeoutMs: 800, retry: { attemptsMax: 2 } });
      for (let at = 0; at < 10 && !isDone; at++) {
        const id = defined(REGISTERS[(step + at) % REGISTERS.length], 'register');
        if ((step + at) % 3 === 0) await history.write(client, id);
        else await history.read(client, id);
      }
      await client.close();
    }
  };
  const workers = Array.from({ length: CLIENTS }, worker);
  const phase = async (): Promise<void> => {
    const from = history.size;
    await waitUntil('more operations', () => history.size >= from + OPERATIONS_PER_PHASE);
  };
  for (let restart = 0; restart < RESTARTS; restart++) {
    await phase();
    const asked = clientOf(cluster, defined(cluster.addresses[0], 'a node').nodeId);
    const leader = await leaderOf(asked, restart % 2);
    await asked.close();
    if (restart % 2 === 0) {
      await cluster.stopNode(leader);
      await phase();
      await cluster.startNode(leader);
    } else {
      for (const other of [1, 2, 3]) {
        if (other !== leader) cluster.network.cut(`node-${leader}`, `node-${other}`);
      }
      await phase();
      cluster.network.heal();
    }
  }
  await phase();
  isDone = true;
  await Promise.all(workers);

  const last = defined(cluster.addresses[0], 'a node').nodeId;
  const client = clientOf(cluster, last, { timeoutMs: 20_000 });
  for (const id of REGISTERS) await history.read(client, id);
  await client.close();
  for (const [id, operations] of history.operations) {
    expect(operations.some(({ kind }) => kind === 'write')).toBe(true);
    expect([id, registerFault(operations)]).toEqual([id, undefined]);
  }
});
