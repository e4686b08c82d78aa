// Goal: `flotilla dev` serves on the ports that it is told, and ends in order.
// Method: the real command on ports that were free, asked over HTTP, then stopped by a signal.
import { type ChildProcess, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { resolve } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { freePorts } from '../../src/cli/demo/free-ports.js';
import { defined } from '../../src/shared/assert.js';

const NODES = 2;
let child: ChildProcess | undefined;

afterEach(() => {
  child?.kill('SIGKILL');
});

/** A port that is free with all others that the nodes take above it. */
async function roomyPort(): Promise<number> {
  for (;;) {
    const [port] = await freePorts(1);
    const first = defined(port, 'a port');
    const free = await Promise.all([0, 2, 10, 12].map((offset) => isFree(first + offset)));
    if (free.every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((seen) => {
    if (port > 65_000) return seen(false);
    const server = createServer();
    server.once('error', () => seen(false));
    server.listen(port, '127.0.0.1', () => server.close(() => seen(true)));
  });
}

it('flotilla dev --port serves clients there, HTTP two above, the next node ten', async () => {
  const port = await roomyPort();
  const words = ['dev', '--nodes', String(NODES), '--port', String(port), '--json'];
  const running = spawn(process.execPath, [resolve('dist/cli/main.js'), ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = running;
  const line = await new Promise<string>((seen, reject) => {
    running.stdout.once('data', (chunk: Buffer) => seen(chunk.toString()));
    running.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
  });
  const at = (offset: number): string => `127.0.0.1:${port + offset}`;
  expect(JSON.parse(line)).toEqual({
    addresses: [
      { nodeId: 1, client: at(0), http: at(2) },
      { nodeId: 2, client: at(10), http: at(12) },
    ],
  });
  for (const offset of [2, 12]) expect((await fetch(`http://${at(offset)}/readyz`)).ok).toBe(true);
  const ended = new Promise((code) => running.once('exit', code));
  running.kill('SIGTERM');
  expect(await ended).toBe(0);
});
