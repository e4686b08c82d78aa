// Goal: a process that is killed while it writes has lost nothing that it acknowledged (S-40).
// Method: kill -9 of a writing child, again and again on one directory; all entries read each time.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { env, execPath } from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Acknowledged, expectAcknowledged, readAcknowledged } from './storage-harness.js';

const ROUNDS = Number(env.STORAGE_KILL_ROUNDS ?? 20);
const CHILD = fileURLToPath(new URL('storage-child.mjs', import.meta.url));

let root = '';

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'flotilla-kills-'));
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

/** Lets the child write for a while after its first acknowledgement, and kills it. */
async function killedAfter(child: ChildProcess, delayMs: number): Promise<void> {
  await Promise.race([once(child.stdout as NodeJS.EventEmitter, 'data'), once(child, 'exit')]);
  await sleep(delayMs);
  child.kill('SIGKILL');
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
}

it(`survives ${ROUNDS} kills under load with every acknowledged write (S-40, F-1)`, async () => {
  const directory = join(root, 'store');
  const path = join(root, 'acknowledged');
  const acknowledged: Acknowledged = new Map();
  let writes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const child = spawn(execPath, [CHILD, directory, 'until-killed', path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    // Not the same moment each time: between nothing and several flushes.
    await killedAfter(child, (round * 37) % 190);
    // Exit code 3: the child has found a damaged log.
    const { exitCode, signalCode } = child;
    expect({ round, exitCode, signalCode }).toMatchObject({
      exitCode: null,
      signalCode: 'SIGKILL',
    });
    writes += readAcknowledged(path, acknowledged);
    await expectAcknowledged(directory, acknowledged);
  }
  expect(writes).toBeGreaterThan(ROUNDS * 10);
  console.info(`${ROUNDS} kills, ${writes} acknowledged writes, none lost`);
});
