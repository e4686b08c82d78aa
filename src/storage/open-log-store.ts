/**
 * Opening a log store: who the directory is, what the database still holds, which groups are whole.
 *
 *     IDENTITY   store id, incarnation, groups ever held, quarantine
 *     LOW-WATER  states that the database is known to have synced
 *     blobs/     small records of the node
 *     log/       the database: entries, meta and genesis of all groups
 */
import type { Disk, Environment, Random, Timer } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { Kv } from '../shared/kv.js';
import type { Logger } from '../shared/logger.js';
import { recordFailure } from '../shared/sealed-record.js';
import { BlobFiles } from './blob-files.js';
import { EntryCache } from './entry-cache.js';
import { checkGroup, DamageError, type IntactGroup } from './group-check.js';
import { IdentityFile, type IdentityRecord } from './identity-file.js';
import { ALL_KEYS } from './keys.js';
import { KvLogStore } from './kv-log-store.js';
import type { GroupDamage, LogStore } from './log-store.js';
import { LOW_WATER_PERIOD_MS, LowWaterFile } from './low-water-file.js';

const MEBIBYTE = 1024 * 1024;
const ENTRY_CACHE_SIZE_BYTES = 64 * MEBIBYTE;
/** Large, because what is compacted before it is written to a table costs nothing. */
const WRITE_BUFFER_SIZE_BYTES = 32 * MEBIBYTE;

/** How LevelDB says in its own log that it left records out when it opened. */
const DROPPED = /^.*(?:dropping|ignoring error).*$/im;

export interface LogStoreOptions {
  readonly environment: Pick<Environment, 'disk' | 'scheduler' | 'random'>;
  /** Belongs to the store alone. Made where it does not exist. */
  readonly directory: string;
  readonly logger: Logger;
  /** Memory for recent entries of all groups. @default 64 MiB */
  readonly cacheSizeBytes?: number;
}

/**
 * Opens the store of a directory and checks it. Every open counts the incarnation up.
 *
 * A group is whole, or it is in `damaged()` with the reason: acknowledged entries never go missing
 * in silence, with the one exception that low-water-file.ts describes. What only the database's own
 * log tells, at the one open that meets it, is kept as a quarantine.
 *
 * Reads every entry of every group once, as a scan in pages: the time grows with the size of the
 * logs, the memory does not. Rejects with LOG_DAMAGED when the directory as a whole cannot be
 * trusted (IDENTITY gone, it or LOW-WATER damaged, LevelDB refuses to open), with
 * UNSUPPORTED_VERSION when one of these files is of a newer version, and with NODE_NOT_READY when
 * the database is open elsewhere.
 */
export async function openLogStore(options: LogStoreOptions): Promise<LogStore> {
  const { environment, directory } = options;
  await environment.disk.makeDirectory(directory);
  // The database first: its lock keeps a second process away from the files.
  const kv = await environment.disk.openKv(`${directory}/log`, {
    writeBufferSizeBytes: WRITE_BUFFER_SIZE_BYTES,
  });
  try {
    return await openWithDatabase(options, kv);
  } catch (thrown) {
    await kv.close();
    throw thrown;
  }
}

async function openWithDatabase(options: LogStoreOptions, kv: Kv): Promise<LogStore> {
  const { directory, logger } = options;
  const { disk, random, scheduler } = options.environment;
  const identityFile = new IdentityFile(disk, directory);
  const lowWater = new LowWaterFile(disk, directory);
  const blobs = new BlobFiles(disk, directory);
  await readFile(`${directory}/LOW-WATER`, lowWater.load());
  const known = await readFile(`${directory}/IDENTITY`, identityFile.read());
  const used =
    lowWater.groups().length > 0 || (await holdsAnything(kv)) || !(await blobs.isEmpty());
  if (used && !known) {
    throw new FlotillaError('LOG_DAMAGED', `${directory} has been used and has no IDENTITY file`);
  }
  const dropped = await droppedLine(disk, `${directory}/log/LOG`);
  const identity = nextIncarnation(known ?? newIdentity(random), lowWater.groups(), dropped);
  const groups: IntactGroup[] = [];
  const damaged: GroupDamage[] = [];
  for (const groupId of [...identity.groups].sort((a, b) => a - b)) {
    const checked = await checkOrDamage(kv, groupId, identity, lowWater);
    if ('reason' in checked) damaged.push(checked);
    else groups.push(checked);
  }
  for (const damage of damaged) logger.error(damage, 'a log is damaged: its replica stays out');
  // Only now: until then, a crash leaves the next open everything to find again.
  await identityFile.write(identity);
  const cache = new EntryCache(options.cacheSizeBytes ?? ENTRY_CACHE_SIZE_BYTES);
  const everyPeriod = (task: () => void): Timer => scheduler.every(LOW_WATER_PERIOD_MS, task);
  const { storeId, incarnation } = identity;
  logger.info({ storeId, incarnation, groups: groups.length }, 'the log store is open');
  const files = { identityFile, lowWater, blobs };
  return new KvLogStore({ kv, cache, files, identity, groups, damaged, logger, everyPeriod });
}

async function readFile<T>(path: string, read: Promise<T>): Promise<T> {
  try {
    return await read;
  } catch (thrown) {
    throw recordFailure(path, thrown);
  }
}

async function holdsAnything(kv: Kv): Promise<boolean> {
  for await (const page of kv.scan({ ...ALL_KEYS, limit: 1 })) if (page.length > 0) return true;
  return false;
}

/** The line of LevelDB's log, begun anew at each open, that tells of lost records. */
async function droppedLine(disk: Disk, path: string): Promise<string | undefined> {
  const bytes = await disk.readFile(path);
  return bytes && DROPPED.exec(Buffer.from(bytes).toString('latin1'))?.[0];
}

function newIdentity(random: Random): IdentityRecord {
  const storeId = random.uuid();
  return { storeId, incarnation: 0, groups: new Set(), quarantined: new Map() };
}

/** A group that only LOW-WATER knows was being created when the node stopped. */
function nextIncarnation(
  known: IdentityRecord,
  marked: readonly number[],
  dropped: string | undefined,
): IdentityRecord {
  const groups = new Set([...known.groups, ...marked]);
  const lost = dropped === undefined ? [] : [...groups].map((id) => [id, dropped] as const);
  const quarantined = new Map([...lost, ...known.quarantined]);
  return { storeId: known.storeId, incarnation: known.incarnation + 1, groups, quarantined };
}

async function checkOrDamage(
  kv: Kv,
  groupId: number,
  identity: IdentityRecord,
  lowWater: LowWaterFile,
): Promise<IntactGroup | GroupDamage> {
  const lost = identity.quarantined.get(groupId);
  if (lost !== undefined) return { groupId, reason: 'database-log', message: lost };
  try {
    return await checkGroup(kv, groupId, lowWater.get(groupId));
  } catch (thrown) {
    if (!(thrown instanceof DamageError)) throw thrown;
    return { groupId, reason: thrown.reason, message: thrown.message };
  }
}
