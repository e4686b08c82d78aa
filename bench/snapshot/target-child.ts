/**
 * The process that snapshots are sent to: a node as far as they go, with the receiver of production
 * and an engine in a thread. Its one argument is the directory that it may use. Does what its
 * parent asks for, one thing after the other, and ends with the channel between them.
 */
import { join } from 'node:path';
import { argv } from 'node:process';
import { setTimeout as wait } from 'node:timers/promises';
import { SnapshotReceiver } from '../../src/replica/snapshot-receiver.js';
import { defined, unreachable } from '../../src/shared/assert.js';
import { silentLogger } from '../../src/shared/logger.js';
import { SnapshotFiles } from '../../src/storage/snapshot-files.js';
import { EngineShard } from '../harness/engine-shard.js';
import { type Busyness, MainThreadWatch } from '../harness/main-thread-watch.js';
import { environment, GROUP_ID, meet, openTransport, TARGET_NODE } from './node-link.js';

export type TargetCall =
  | { readonly kind: 'meet'; readonly address: string }
  /** Watches the main thread until the next call. */
  | { readonly kind: 'watch' }
  /** Installs what has arrived, and removes it. */
  | { readonly kind: 'install'; readonly records: number };

export interface TargetAnswers {
  readonly meet: null;
  readonly watch: null;
  readonly install: {
    readonly installMs: number;
    /** From then on until all records were in the graph. */
    readonly graphMs: number;
  };
}

/** What it says: first where it listens, then one answer a call. */
export interface TargetMessage {
  readonly address?: string;
  readonly answer?: TargetAnswers[TargetCall['kind']];
  /** Of all that was watched, and of the calls. */
  readonly busyness: Busyness;
}

const POLL_MS = 5;

const directory = defined(argv[2], 'the directory');
const files = await SnapshotFiles.open(environment.disk, join(directory, 'arriving'));
const receiver = new SnapshotReceiver({
  files,
  clock: environment.clock,
  logger: silentLogger,
  recipientOf: () => ({
    term: 1,
    commitIndex: 0,
    refusal: () => undefined,
    takeSnapshot: () => undefined,
  }),
});
const transport = await openTransport((from, payload) => receiver.serve(from, payload));
const shard = EngineShard.inThread(join(directory, 'target'));
await shard.open();

const watch = new MainThreadWatch();
let endWatch = (): void => undefined;

async function answerTo(call: TargetCall): Promise<TargetAnswers[TargetCall['kind']]> {
  switch (call.kind) {
    case 'meet':
      meet(transport, TARGET_NODE, call.address);
      return null;
    case 'watch':
      void watch.during(
        () =>
          new Promise<void>((resolve) => {
            endWatch = resolve;
          }),
      );
      return null;
    case 'install':
      return watch.during(() => install(call.records));
    default:
      return unreachable(call);
  }
}

async function install(records: number): Promise<TargetAnswers['install']> {
  const [file] = files.list(GROUP_ID);
  const startMs = performance.now();
  await shard.engine.installSnapshot(defined(file, 'what has arrived').path);
  const installMs = performance.now() - startMs;
  while ((await shard.stats()).graphPoints < records) await wait(POLL_MS);
  const graphMs = performance.now() - startMs - installMs;
  await files.removeGroup(GROUP_ID);
  return { installMs, graphMs };
}

function tell(message: Omit<TargetMessage, 'busyness'>): void {
  process.send?.({ ...message, busyness: watch.seen } satisfies TargetMessage);
}

process.on('message', async (call: TargetCall) => {
  endWatch();
  tell({ answer: await answerTo(call) });
});
process.once('disconnect', async () => {
  await receiver.close();
  await transport.close();
  await shard.close();
  process.exit();
});
tell({ address: transport.address });
