/** Starts stub-node.ts as a process of its own. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface StubProcess {
  /** "host:port" */
  readonly address: string;
  readonly stop: () => void;
}

export async function startStub(): Promise<StubProcess> {
  const child = fork(fileURLToPath(new URL('./stub-node.js', import.meta.url)));
  const ended = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the stub ended with exit code ${code}`)));
  });
  ended.catch(() => undefined);
  const [address] = await Promise.race([once(child, 'message'), ended]);
  return { address: String(address), stop: () => child.disconnect() };
}
