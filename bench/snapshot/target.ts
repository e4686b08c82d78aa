/** The process that snapshots are sent to, as the one that sends them sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { defined } from '../../src/shared/assert.js';
import type { Busyness } from '../harness/main-thread-watch.js';
import type { TargetAnswers, TargetCall, TargetMessage } from './target-child.js';

export class Target {
  readonly address: string;
  readonly #child: ChildProcess;
  #busyness: Busyness;

  private constructor(child: ChildProcess, { address, busyness }: TargetMessage) {
    this.#child = child;
    this.address = defined(address, 'where the target listens');
    this.#busyness = busyness;
  }

  static async start(directory: string): Promise<Target> {
    const path = fileURLToPath(new URL('./target-child.js', import.meta.url));
    const child = fork(path, [directory]);
    return new Target(child, await nextMessage(child));
  }

  /** Of its main thread, as of the last answer. */
  get busyness(): Busyness {
    return this.#busyness;
  }

  async call<Kind extends TargetCall['kind']>(
    call: Extract<TargetCall, { kind: Kind }>,
  ): Promise<TargetAnswers[Kind]> {
    const coming = nextMessage(this.#child);
    this.#child.send(call);
    const { answer, busyness } = await coming;
    this.#busyness = busyness;
    return answer as TargetAnswers[Kind];
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.disconnect();
    await ended;
  }
}

function nextMessage(child: ChildProcess): Promise<TargetMessage> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null): void =>
      reject(new Error(`the process that snapshots are sent to ended with exit code ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message as TargetMessage);
    });
  });
}
