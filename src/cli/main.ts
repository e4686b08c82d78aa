#!/usr/bin/env node
/** The `flotilla` command, wired to the real process. */
import type { CliContext, StopSignal, TextOutput } from './context.js';
import { runCli } from './program.js';

const DEFAULT_COLUMNS = 80;
const ATTEMPTS_MAX = 10;
const STOP_SIGNALS: readonly StopSignal[] = ['SIGINT', 'SIGTERM'];

function outputOf(stream: NodeJS.WriteStream): TextOutput {
  let isClosed = false;
  // A reader that has gone away (`flotilla status | head -1`) is no error of ours.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    isClosed = true;
  });
  return {
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.columns ?? DEFAULT_COLUMNS;
    },
    get isClosed() {
      return isClosed;
    },
    write: (text) => void stream.write(text),
  };
}

function onStopSignal(listener: (signal: StopSignal) => void): () => void {
  let received = 0;
  const receive = (signal: StopSignal): void => {
    received += 1;
    // The first signal asks for an orderly stop; who sends a second one does not want to wait.
    if (received > 1) process.exit(signal === 'SIGINT' ? 130 : 143);
    listener(signal);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, receive);
  return () => {
    for (const signal of STOP_SIGNALS) process.off(signal, receive);
  };
}

function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = setTimeout(finish, delayMs);
    signal?.addEventListener('abort', finish, { once: true });
  });
}

const context: CliContext = {
  stdout: outputOf(process.stdout),
  stderr: outputOf(process.stderr),
  environment: process.env,
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  sleep,
  async connect(addresses) {
    const { Flotilla } = await import('../client/index.js');
    // A command makes a call or two, to the nodes that it was given. Who typed it would rather
    // hear soon that they are not there.
    return new Flotilla(addresses, { routing: 'proxy', retry: { attemptsMax: ATTEMPTS_MAX } });
  },
  onStopSignal,
};

process.exitCode = await runCli(process.argv.slice(2), context);
