/**
 * Opens the engine of a replica whose log is whole, and mends its state where that is lost: a state
 * is nothing but the log applied, so it can be made again wherever the log reaches far enough back
 * (docs/adr/0010).
 *
 * The log itself is not touched, nor are term and vote: to the group the replica was away.
 */
import type { Engine } from '../engine/engine.js';
import { clearPointStore } from '../engine/generations.js';
import type { LogReader } from '../raft/types.js';
import { snapshotsBelow } from '../replica/replica-core.js';
import type { Disk } from '../shared/environment.js';
import { type FlotillaError, isFlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { SnapshotFiles } from '../storage/snapshot-files.js';

export interface SoundEngineOptions {
  readonly groupId: number;
  /** Makes an engine over `path`. The one before it is closed by then. */
  readonly createEngine: () => Engine;
  readonly path: string;
  readonly disk: Disk;
  readonly log: LogReader;
  readonly files: SnapshotFiles | undefined;
  readonly logger: Logger;
}

export interface SoundEngine {
  readonly engine: Engine;
  /** Whether the state was lost, and was made again. */
  readonly isMended: boolean;
}

/** The state is lost, and neither the log nor a snapshot here can bring it back. */
export class StateLostError extends Error {
  override readonly name = 'StateLostError';
}

/**
 * Resolves with an open engine that the log continues. Rejects with a `StateLostError`, or as the
 * engine does for all that is no loss: a full disk, a state that belongs to another shard.
 *
 * Cost of mending: an install of the newest snapshot that fits, or applying the whole log again.
 */
export async function openSoundEngine(options: SoundEngineOptions): Promise<SoundEngine> {
  const { groupId, log, logger } = options;
  const engine = options.createEngine();
  const loss = await lossOf(engine, log);
  if (loss === undefined) return { engine, isMended: false };
  await engine.close().catch(() => undefined);
  logger.error({ groupId, loss }, 'the state of a replica is lost: its log is whole');
  const restored = (await fromSnapshot(options)) ?? (await fromLog(options));
  if (restored === undefined) throw new StateLostError(loss);
  return { engine: restored, isMended: true };
}

/** Opens the engine; answers what is wrong with its state. Closes it where it rejects. */
async function lossOf(engine: Engine, log: LogReader): Promise<string | undefined> {
  try {
    const { appliedIndex } = await engine.open();
    const before = log.firstIndex() - 1;
    if (appliedIndex >= before) return undefined;
    return `the state ends at ${appliedIndex}, the log begins after ${before}`;
  } catch (thrown) {
    if (isFlotillaError(thrown) && thrown.reason === 'LOG_DAMAGED') return thrown.message;
    await engine.close().catch(() => undefined);
    throw thrown;
  }
}

async function fromSnapshot(options: SoundEngineOptions): Promise<Engine | undefined> {
  const { groupId, files, log, logger } = options;
  for (const file of snapshotsBelow(log, files?.list(groupId) ?? [])) {
    const engine = options.createEngine();
    try {
      await engine.installSnapshot(file.path);
      await engine.open();
      logger.warn({ groupId, index: file.index }, 'the state is made again from a snapshot');
      return engine;
    } catch (thrown) {
      await engine.close().catch(() => undefined);
      const error = toFlotillaError(thrown);
      if (error.reason !== 'LOG_DAMAGED') throw error;
      logger.error({ groupId, path: file.path }, 'a snapshot file is damaged: it is removed');
      await files?.remove(file);
    }
  }
  return undefined;
}

/** From nothing, where the log has its first entry still. */
async function fromLog(options: SoundEngineOptions): Promise<Engine | undefined> {
  const { groupId, log, disk, path, logger } = options;
  if (log.firstIndex() > 1) return undefined;
  await clearPointStore(disk, path);
  const engine = options.createEngine();
  try {
    await engine.open();
  } catch (thrown) {
    await engine.close().catch(() => undefined);
    throw thrown;
  }
  logger.warn({ groupId, lastIndex: log.lastIndex() }, 'the state is made again from the log');
  return engine;
}

/** What an engine that opens, or one that stopped, has rejected with. */
export function isPassing(error: FlotillaError): boolean {
  return error.reason === 'STORE_POISONED' || error.reason === 'NODE_NOT_READY';
}
