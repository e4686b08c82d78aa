/** The node that snapshots come from, as far as they go: files, sender, link; and their target. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { createMessage } from '../../src/raft/message.js';
import { SnapshotSender } from '../../src/replica/snapshot-sender.js';
import { silentLogger } from '../../src/shared/logger.js';
import { type SnapshotFile, SnapshotFiles } from '../../src/storage/snapshot-files.js';
import type { Transport } from '../../src/transport/transport.js';
import type { EngineShard } from '../harness/engine-shard.js';
import {
  environment,
  GROUP_ID,
  meet,
  openTransport,
  SOURCE_NODE,
  TARGET_NODE,
} from './node-link.js';
import { Target } from './target.js';

const TERM = 1;
const CONF_STATE = {
  voters: [SOURCE_NODE, TARGET_NODE],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

export class SnapshotSource {
  readonly target: Target;
  readonly #shard: EngineShard;
  readonly #files: SnapshotFiles;
  readonly #transport: Transport;
  readonly #sender: SnapshotSender;
  /** Each snapshot has one of its own, as if entries had been applied in between. */
  #index = 0;

  private constructor(
    shard: EngineShard,
    target: Target,
    files: SnapshotFiles,
    transport: Transport,
  ) {
    this.target = target;
    this.#shard = shard;
    this.#files = files;
    this.#transport = transport;
    this.#sender = new SnapshotSender({
      environment,
      request: (nodeId, payload, options) => transport.request(nodeId, payload, options),
      logger: silentLogger,
      settings: { bytesPerSecondMax: Number.POSITIVE_INFINITY },
    });
  }

  /** Both sides have met when it resolves. */
  static async start(directory: string, shard: EngineShard): Promise<SnapshotSource> {
    const targetDirectory = join(directory, 'other-node');
    mkdirSync(targetDirectory);
    const target = await Target.start(targetDirectory);
    const transport = await openTransport(() => Promise.reject(new Error('nobody asks')));
    meet(transport, SOURCE_NODE, target.address);
    await target.call({ kind: 'meet', address: transport.address });
    while (transport.peers()[0]?.connected !== true) await wait(1);
    const files = await SnapshotFiles.open(environment.disk, join(directory, 'snapshots'));
    return new SnapshotSource(shard, target, files, transport);
  }

  /** Removes the snapshots that there are. */
  clear(): Promise<void> {
    return this.#files.removeGroup(GROUP_ID);
  }

  /** A snapshot of the shard, which is applying nothing when this is called. */
  async write(): Promise<SnapshotFile> {
    const index = ++this.#index;
    const file = this.#files.newFile(GROUP_ID, { index, term: TERM, replicaId: SOURCE_NODE });
    return file.publish(await this.#shard.engine.writeSnapshot(file.path));
  }

  /** Resolves when the file is whole at the other side, and read back there. */
  async send(file: SnapshotFile): Promise<void> {
    const meta = { index: file.index, term: file.term, confState: CONF_STATE };
    const body = { snapshot: { meta, data: new Uint8Array() } };
    const message = createMessage('MsgSnap', SOURCE_NODE, TARGET_NODE, TERM, body);
    const outcome = await this.#sender.send(TARGET_NODE, message, file).outcome;
    if (outcome !== 'done') throw new Error(`a snapshot was sent with the outcome ${outcome}`);
  }

  async stop(): Promise<void> {
    await this.target.stop();
    await this.#transport.close();
  }
}
