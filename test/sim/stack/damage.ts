/**
 * Goal: a disk that is not what it was when its node comes back. Method: damage as LevelDB lets it
 * through, in one group's log or one replica's point store, and only in what somebody still needs.
 */
import { unreachable } from '../../../src/shared/assert.js';
import { utf8 } from '../../../src/shared/bytes.js';
import type { KvEntry, KvRange } from '../../../src/shared/kv.js';
import { IdentityFile } from '../../../src/storage/identity-file.js';
import {
  configurationKey,
  entryRange,
  genesisKey,
  groupRange,
  metaKey,
} from '../../../src/storage/keys.js';
import { decodeMeta, type GroupMeta } from '../../../src/storage/meta-record.js';
import type { SimDisk } from '../kit/sim-disk.js';
import type { SimRandom } from '../kit/sim-random.js';

/**
 * `flip`: a bit of a value. `keys`: a run of neighbouring keys is hidden. `batches`: a run of
 * batches of the write-ahead log is left out.
 */
export type DamageKind = 'flip' | 'keys' | 'batches';

export type DamagedStore = 'log' | 'points';

/** What damage was really done. */
export interface Damage {
  readonly store: DamagedStore;
  readonly how: DamageKind;
  /** Groups whose log must be found damaged when the store opens next. */
  readonly groups: readonly number[];
}

const RAFT_DIRECTORY = 'data/raft';
const LOG_PATH = `${RAFT_DIRECTORY}/log`;
const POINTS_PATH = 'data/shards/';
const ALL_KEYS: KvRange = { gte: new Uint8Array(0), lt: new Uint8Array(64).fill(0xff) };
/** Hidden keys of a point store come with a table that does not pass its checksums. */
const DAMAGED_TABLE = '000005.ldb';

/** Only while no process runs. Undefined where there was nothing to damage. */
export async function damageDisk(
  disk: SimDisk,
  { store, how }: Pick<Damage, 'store' | 'how'>,
  random: SimRandom,
): Promise<Damage | undefined> {
  return store === 'log' ? damageLog(disk, how, random) : damagePoints(disk, how, random);
}

async function damageLog(
  disk: SimDisk,
  how: DamageKind,
  random: SimRandom,
): Promise<Damage | undefined> {
  if (!disk.databases.includes(LOG_PATH)) return undefined;
  const groups = await liveGroups(disk);
  if (groups.length === 0) return undefined;
  if (how === 'batches') {
    const lost = await disk.loseMiddle(LOG_PATH);
    return lost === 0 ? undefined : { store: 'log', how, groups };
  }
  const groupId = random.pick(groups);
  const isLive = await liveKeys(disk, groupId);
  const isDone = await changeKeys(disk, LOG_PATH, how, groupRange(groupId), isLive);
  return isDone ? { store: 'log', how, groups: [groupId] } : undefined;
}

async function damagePoints(
  disk: SimDisk,
  how: DamageKind,
  random: SimRandom,
): Promise<Damage | undefined> {
  const paths = disk.databases.filter((path) => path.startsWith(POINTS_PATH));
  if (paths.length === 0) return undefined;
  const path = random.pick(paths);
  if (how === 'batches') {
    const lost = await disk.loseMiddle(path);
    return lost === 0 ? undefined : { store: 'points', how, groups: [] };
  }
  if (!(await changeKeys(disk, path, how, ALL_KEYS))) return undefined;
  if (how === 'keys') await disk.content.writeFile(`${path}/${DAMAGED_TABLE}`, utf8('no table'));
  return { store: 'points', how, groups: [] };
}

async function changeKeys(
  disk: SimDisk,
  path: string,
  how: 'flip' | 'keys',
  range: KvRange,
  isLive?: (entry: KvEntry) => boolean,
): Promise<boolean> {
  switch (how) {
    case 'flip':
      return disk.flipBit(path, range, isLive);
    case 'keys':
      return (await disk.loseKeys(path, range, isLive)) > 0;
    default:
      return unreachable(how);
  }
}

/** Groups that the store holds: those that were removed may have left keys behind. */
async function liveGroups({ content }: SimDisk): Promise<number[]> {
  const identity = await new IdentityFile(content, RAFT_DIRECTORY).read();
  const groups = [...(identity?.groups ?? [])];
  return groups.filter(([, { isRemoved }]) => !isRemoved).map(([groupId]) => groupId);
}

/** Not what lies before the first entry, behind the last, or has been replaced. */
async function liveKeys(disk: SimDisk, groupId: number): Promise<(entry: KvEntry) => boolean> {
  const meta = await metaOf(disk, groupId);
  if (meta === undefined) return () => false;
  const { gte, lt } = entryRange(groupId, meta.firstIndex, meta.lastIndex + 1);
  const records = [genesisKey(groupId), metaKey(groupId)];
  if (meta.configurationIndex !== undefined) records.push(configurationKey(groupId));
  return ({ key }) =>
    records.some((record) => Buffer.compare(record, key) === 0) ||
    (Buffer.compare(gte, key) <= 0 && Buffer.compare(key, lt) < 0);
}

/** Undefined where it is damaged already. */
async function metaOf({ content }: SimDisk, groupId: number): Promise<GroupMeta | undefined> {
  const key = metaKey(groupId);
  const kv = await content.openKv(LOG_PATH);
  try {
    const record = kv.getSync(key);
    return record && decodeMeta(key, record);
  } catch {
    return undefined;
  } finally {
    await kv.close();
  }
}
