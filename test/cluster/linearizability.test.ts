// Goal: per record, writes and reads are linearizable while leaders stop and come back (P-4, S-5).
// Method: clients write, delete and read registers and record it; a checker decides each register.
import { Cluster, type Flotilla, type WriteResult } from 'flotilla';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { defined } from '../../src/shared/assert.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import type { RegisterOperation } from '../history/operation.js';
import { Recorder } from '../history/recorder.js';
import { checkRegister } from '../history/register.js';
import { waitUntil } from '../support/wait-until.js';
import { clientOf, FAST, leaderOf } from './harness.js';

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

/** Registers: a write is an upsert of a value that no other write has. */
class Registers {
  #clock = 0;
  #values = 0;
  readonly #recorder = new Recorder<RegisterOperation>({
    now: () => ++this.#clock,
    isRefusal: (error) => isFlotillaError(error) && error.outcome === 'not-applied',
  });

  get history(): readonly RegisterOperation[] {
    return this.#recorder.history;
  }

  async write(client: Flotilla, key: string): Promise<void> {
    const value = ++this.#values;
    await this.#recorder.record(
      'writer',
      () => applied(client.collection(NAME).upsert([{ id: key, values: [value] }])),
      (span, existed) => ({ ...span, op: 'write', key, value, existed }),
    );
  }

  async delete(client: Flotilla, key: string): Promise<void> {
    await this.#recorder.record(
      'deleter',
      () => applied(client.collection(NAME).delete([key])),
      (span, existed) => ({ ...span, op: 'delete', key, existed }),
    );
  }

  async read(client: Flotilla, key: string): Promise<void> {
    await this.#recorder.record(
      'reader',
      async () => (await client.collection(NAME).fetch([key]))[0]?.values?.[0],
      (span, value) => ({ ...span, op: 'read', key, value }),
    );
  }
}

/** Whether a record existed before; rejects where the write of it is not acknowledged. */
async function applied(write: Promise<WriteResult>): Promise<boolean> {
  const [outcome] = (await write).outcomes;
  if (outcome?.kind === 'applied') return outcome.existed;
  throw new Error(`the outcome is ${outcome?.kind}`);
}

it('holds while leaders are stopped and started again', async () => {
  const registers = new Registers();
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
        if ((step + at) % 3 === 0) await registers.write(client, id);
        else if ((step + at) % 7 === 0) await registers.delete(client, id);
        else await registers.read(client, id);
      }
      await client.close();
    }
  };
  const workers = Array.from({ length: CLIENTS }, worker);
  const phase = async (): Promise<void> => {
    const until = registers.history.length + OPERATIONS_PER_PHASE;
    await waitUntil('more operations', () => registers.history.length >= until);
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
  for (const id of REGISTERS) await registers.read(client, id);
  await client.close();
  for (const id of REGISTERS) {
    const own = registers.history.filter(({ key }) => key === id);
    expect(own.some(({ op, outcome }) => op === 'write' && outcome === 'ok')).toBe(true);
    expect(own.at(-1)).toMatchObject({ op: 'read', outcome: 'ok' });
  }
  expect(checkRegister(registers.history)).toEqual([]);
});
