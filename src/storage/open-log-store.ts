/**
 * Opening a log store: who the directory is, what the database still holds, which groups are whole.
 *
 *     IDENTITY   store id, incarnation, groups ever held and their replica ids, quarantine
 *     LOW-WATER  states that the database is known to have synced
 *     RESERVE    disk space that is given up when the disk is full
 *     OPENING    there while the store is being opened
 *     blobs/     small records of the node
 *     log/       the database: entries, meta, configuration and genesis of all groups
 */
import type { Environment, Random, Timer } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Kv, KvRange } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { recordFailure } from '../shared/sealed-record.js';
import { BlobFiles } from './blob-files.js';
import { isDiskFull } from './disk-full.js';
import { EntryCache } from './entry-cache.js';
import { checkGroup, DamageError, type IntactGroup } from './group-check.js';
import { IdentityFile, type IdentityRecord, type KnownGroup } from './identity-file.js';
import { ALL_KEYS, entryRange, groupRange, indexOfKey } from './keys.js';
import { KvLogStore, type KvLogStoreFiles, type Leftover } from './kv-log-store.js';
import type { GroupDamage, LogStore } from './log-store.js';
import { LOW_WATER_PERIOD_MS, LowWaterFile } from './low-water-file.js';
import { OpeningMark } from './opening-mark.js';
import {
  releaseReserve,
  reserveSizeBytes,
  SpaceGuard,
  type SpaceThresholds,
} from './space-guard.js';

const MEBIBYTE = 1024 * 1024;
const ENTRY_CACHE_SIZE_BYTES = 64 * MEBIBYTE;
/** Large, because what is compacted before it is written to a table costs nothing. */
const WRITE_BUFFER_SIZE_BYTES = 32 * MEBIBYTE;
const WRITE_BUFFER_MIN_BYTES = 64 * 1024;

export interface LogStoreOptions {
  readonly environment: Pick<Environment, 'disk' | 'scheduler' | 'random'>;
  /** Belongs to the store alone. Made where it does not exist. */
  readonly directory: string;
  readonly logger: Logger;
  /** Memory for recent entries of all groups. @default 64 MiB */
  readonly cacheSizeBytes?: number;
  /**
   * When the disk counts as nearly full, and what is kept for that time. A small reserve makes the
   * database's write buffer small, too.
   */
  readonly space?: SpaceThresholds;
  /** Told once, when the store is poisoned: maybe no group is open that would notice. */
  readonly onPoisoned?: (error: FlotillaError) => void;
}

/**
 * Opens the store of a directory and checks it. Every open counts the incarnation up.
 *
 * A group is whole, or it is in `damaged()` with the reason: acknowledged entries never go missing
 * in silence, with the one exception that low-water-file.ts describes. Damage is kept as a
 * quarantine: a later open might not see it again.
 *
 * Reads every entry of every group once, as a scan in pages: the time grows with the size of the
 * logs (about a second for 250 MB), the memory does not. On a full disk it gives up the reserve.
 * Rejects with LOG_DAMAGED when the directory as a whole cannot be trusted (IDENTITY gone, it or
 * LOW-WATER damaged, LevelDB refuses to open), with UNSUPPORTED_VERSION when one of these files is
 * of a newer version, and with NODE_NOT_READY when the database is open elsewhere.
 */
export async function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  const { environment, directory, logger } = options;
  const { disk } = environment;
  try {
    return await openOnce(options);
  } catch (thrown) {
    if (!isDiskFull(thrown) || !(await releaseReserve(disk, directory))) throw thrown;
    logger.warn({ error: thrown }, 'the disk is full: the reserve of the log store is given up');
    return openOnce(options);
  }
}

async function openOnce(options: LogStoreOptions): Promise<LogStore> {
  const { disk } = options.environment;
  const { directory } = options;
  await disk.makeDirectory(directory);
  const { totalBytes } = await disk.space(directory);
  const mark = await OpeningMark.set(disk, directory);
  // The database first: its lock keeps a second process away from the files.
  const kv = await disk.openKv(`${directory}/log`, {
    writeBufferSizeBytes: writeBufferSizeBytes(totalBytes, options.space ?? {}),
  });
  try {
    return await openWithDatabase(options, kv, mark);
  } catch (thrown) {
    await kv.close();
    throw thrown;
  }
}

/** Opening writes a table of up to two buffers: on a full disk the reserve has to hold it. */
function writeBufferSizeBytes(totalBytes: number, thresholds: SpaceThresholds): number {
  const fittingBytes = Math.floor(reserveSizeBytes(totalBytes, thresholds) / 2);
  return Math.max(WRITE_BUFFER_MIN_BYTES, Math.min(WRITE_BUFFER_SIZE_BYTES, fittingBytes));
}

async function openWithDatabase(
  options: LogStoreOptions,
  kv: Kv,
  mark: OpeningMark,
): Promise<LogStore> {
  const { directory, logger } = options;
  const { disk, scheduler } = options.environment;
  const dropped = await mark.droppedLine();
  const lowWater = new LowWaterFile(disk, directory);
  const blobs = new BlobFiles(disk, directory);
  const files = { identityFile: new IdentityFile(disk, directory), lowWater, blobs };
  await readFile(`${directory}/LOW-WATER`, lowWater.load());
  const known = await readIdentity(options, kv, files);
  const { groups, damaged } = await checkGroups(kv, known, lowWater, dropped);
  for (const damage of damaged) logger.error(damage, 'a log is damaged: its replica stays out');
  const identity = withFindings(known, groups, damaged);
  // Only now: until then, a crash leaves the next open everything to find again.
  await files.identityFile.write(identity);
  await mark.clear();
  for (const groupId of removedIn(identity)) lowWater.forget(groupId);
  const thresholds = options.space ?? {};
  const { storeId, incarnation } = identity;
  logger.info({ storeId, incarnation, groups: groups.length }, 'the log store is open');
  return new KvLogStore({
    kv,
    cache: new EntryCache(options.cacheSizeBytes ?? ENTRY_CACHE_SIZE_BYTES),
    files,
    identity,
    groups,
    damaged,
    leftovers: await findLeftovers(kv, logger, groups, removedIn(identity)),
    space: await SpaceGuard.open({ disk, directory, logger, thresholds }),
    releaseReserve: () => releaseReserve(disk, directory),
    logger,
    onPoisoned: options.onPoisoned ?? (() => undefined),
    everyPeriod: (task): Timer => scheduler.every(LOW_WATER_PERIOD_MS, task),
  });
}

async function readFile<T>(path: string, read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (thrown) {
    throw recordFailure(path, thrown);
  }
}

/** Who the directory is, and every group that it should hold, under the next incarnation. */
async function readIdentity(
  { environment, directory }: LogStoreOptions,
  kv: Kv,
  { identityFile, lowWater, blobs }: KvLogStoreFiles,
): Promise<IdentityRecord> {
  const found = await readFile(`${directory}/IDENTITY`, identityFile.read());
  const marked = lowWater.groups();
  const isNew = async (): Promise<boolean> =>
    marked.length === 0 && (await blobs.isEmpty()) && !(await firstKey(kv, ALL_KEYS));
  if (!found && !(await isNew())) {
    throw new FlotillaError('LOG_DAMAGED', `${directory} has been used and has no IDENTITY file`);
  }
  const known = found ?? newIdentity(environment.random);
  const groups = new Map(known.groups);
  // A group that only LOW-WATER knows was being created when the node stopped.
  for (const groupId of marked) {
    if (!groups.has(groupId)) groups.set(groupId, { replicaId: 0, isRemoved: false });
  }
  return { ...known, incarnation: known.incarnation + 1, groups };
}

function newIdentity(random: Random): IdentityRecord {
  const storeId = random.uuid();
  return { storeId, incarnation: 0, groups: new Map(), quarantined: new Map() };
}

async function firstKey(kv: Kv, range: KvRange): Promise<Uint8Array | undefined> {
  for await (const [entry] of kv.scan({ ...range, limit: 1 })) return entry?.key;
  return undefined;
}

interface CheckedGroups {
  readonly groups: readonly IntactGroup[];
  readonly damaged: readonly GroupDamage[];
}

/** All groups but the removed ones, whole or damaged; with `dropped` they are all damaged. */
async function checkGroups(
  kv: Kv,
  identity: IdentityRecord,
  lowWater: LowWaterFile,
  dropped: string | undefined,
): Promise<CheckedGroups> {
  const groups: IntactGroup[] = [];
  const damaged: GroupDamage[] = [];
  const present = [...identity.groups].filter(([, { isRemoved }]) => !isRemoved);
  for (const [groupId, { replicaId }] of present.sort(([a], [b]) => a - b)) {
    const lost = dropped && { reason: 'database-log' as const, message: dropped };
    const quarantine = identity.quarantined.get(groupId) ?? lost;
    try {
      if (quarantine) throw new DamageError(quarantine.reason, quarantine.message);
      groups.push(await checkGroup(kv, groupId, replicaId, lowWater.get(groupId)));
    } catch (thrown) {
      if (!(thrown instanceof DamageError)) throw thrown;
      const { reason, message } = thrown;
      damaged.push({ groupId, replicaId, reason, message });
    }
  }
  return { groups, damaged };
}

/** With the quarantine of what is damaged, and with replica ids that no file had yet. */
function withFindings(
  known: IdentityRecord,
  intact: readonly IntactGroup[],
  damaged: readonly GroupDamage[],
): IdentityRecord {
  const groups = new Map<number, KnownGroup>(known.groups);
  for (const { genesis } of intact) {
    groups.set(genesis.groupId, { replicaId: genesis.replicaId, isRemoved: false });
  }
  const quarantined = new Map(known.quarantined);
  for (const { groupId, reason, message } of damaged) {
    // A newer version of this program will read it.
    if (reason !== 'unsupported-version') quarantined.set(groupId, { reason, message });
  }
  return { ...known, groups, quarantined };
}

function removedIn(identity: IdentityRecord): number[] {
  return [...identity.groups].filter(([, { isRemoved }]) => isRemoved).map(([groupId]) => groupId);
}

/** What a crash, or a close, has left of compacted logs and removed groups. A seek each. */
async function findLeftovers(
  kv: Kv,
  logger: Logger,
  groups: readonly IntactGroup[],
  removed: readonly number[],
): Promise<Leftover[]> {
  const leftovers: Leftover[] = [];
  try {
    for (const groupId of removed) {
      if (await firstKey(kv, groupRange(groupId))) leftovers.push({ kind: 'group', groupId });
    }
    for (const { genesis, state } of groups) {
      const { groupId } = genesis;
      const end = state.meta.firstIndex;
      const key = await firstKey(kv, entryRange(groupId, 0, end));
      if (key) leftovers.push({ kind: 'entries', groupId, first: indexOfKey(key), end });
    }
  } catch (error) {
    // Nobody needs what is there: all that anybody does was read before.
    logger.warn({ error }, 'what is left of old logs cannot be read, and stays');
  }
  return leftovers;
}
