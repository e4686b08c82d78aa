/**
 * What is read of each group when the store opens, and found whole or damaged. LevelDB opens
 * without an error when its files are damaged, so nothing in it is believed unchecked (S5, M8).
 */
import { messageOf } from '../shared/errors.js';
import type { Kv, KvEntry } from '../shared/kv.js';
import { RecordError } from '../shared/sealed-record.js';
import { decodeConfiguration } from './configuration-record.js';
import { decodeEntry } from './entry-codec.js';
import { decodeGenesis } from './genesis-record.js';
import { configurationKey, entryRange, genesisKey, indexOfKey, metaKey } from './keys.js';
import { LogSizes } from './log-sizes.js';
import { type LogState, newLogState } from './log-state.js';
import type { GroupConfiguration, GroupDamage, GroupGenesis } from './log-store.js';
import { behind, type LowWaterMark } from './low-water-file.js';
import { decodeMeta, type GroupMeta } from './meta-record.js';
import { TermRuns } from './term-runs.js';

const SCAN_PAGE_ENTRIES = 1024;

export interface IntactGroup {
  readonly genesis: GroupGenesis;
  readonly state: LogState;
  readonly sizes: LogSizes;
}

/** Why a group cannot be used. */
export class DamageError extends Error {
  override readonly name = 'DamageError';
  readonly reason: GroupDamage['reason'];

  constructor(reason: GroupDamage['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/**
 * Reads a group and checks all of it: checksums and versions, the replica that IDENTITY says (0
 * where it does not know), first to last entry without a gap, terms that do not decrease and end
 * as the meta record says, the configuration that it says, nothing behind the low-water mark
 * (which every group has from its creation on). Throws a `DamageError`. Reads every entry of the
 * log once, a page at a time.
 */
export async function checkGroup(
  kv: Kv,
  groupId: number,
  replicaId: number,
  mark: LowWaterMark | undefined,
): Promise<IntactGroup> {
  const genesis = readRecord(kv, genesisKey(groupId), decodeGenesis);
  if (replicaId !== 0 && genesis.replicaId !== replicaId) {
    const message = `the database has replica ${genesis.replicaId}, created was ${replicaId}`;
    throw new DamageError('meta-mismatch', message);
  }
  const meta = readRecord(kv, metaKey(groupId), decodeMeta);
  const lost = mark ? behind(mark, meta) : 'the LOW-WATER file does not know the group';
  if (lost !== undefined) throw new DamageError('meta-mismatch', lost);
  checkMeta(meta);
  const configuration = readConfiguration(kv, genesis, meta);
  const { terms, sizes } = await checkEntries(kv, groupId, meta);
  return { genesis, state: { meta, terms, configuration }, sizes };
}

/** The configuration of the genesis, unless the meta record tells of a later one. */
function readConfiguration(kv: Kv, genesis: GroupGenesis, meta: GroupMeta): GroupConfiguration {
  const { configurationIndex } = meta;
  if (configurationIndex === undefined) return newLogState(genesis).configuration;
  const key = configurationKey(genesis.groupId);
  const configuration = readRecord(kv, key, decodeConfiguration);
  if (configuration.index === configurationIndex) return configuration;
  const message = `the configuration is of ${configuration.index}, not of ${configurationIndex}`;
  throw new DamageError('meta-mismatch', message);
}

type Decode<T> = (key: Uint8Array, record: Uint8Array) => T;

function readRecord<T>(kv: Kv, key: Uint8Array, decode: Decode<T>): T {
  let record: Uint8Array | undefined;
  try {
    record = kv.getSync(key);
  } catch (thrown) {
    throw unreadable('meta-checksum', thrown);
  }
  if (!record) throw new DamageError('meta-mismatch', 'the database has no record of the group');
  return decodeAs('meta-checksum', decode, key, record);
}

/** The pages of a scan; that the database cannot read its own files is damage, too. */
async function* readable(pages: AsyncIterable<KvEntry[]>): AsyncGenerator<KvEntry[]> {
  try {
    yield* pages;
  } catch (thrown) {
    throw unreadable('entry-checksum', thrown);
  }
}

function unreadable(reason: GroupDamage['reason'], thrown: unknown): DamageError {
  return new DamageError(reason, `the database cannot be read: ${messageOf(thrown)}`);
}

function decodeAs<T>(
  checksumReason: GroupDamage['reason'],
  decode: Decode<T>,
  key: Uint8Array,
  record: Uint8Array,
): T {
  try {
    return decode(key, record);
  } catch (thrown) {
    if (!(thrown instanceof RecordError)) throw thrown;
    const reason = thrown.reason === 'checksum' ? checksumReason : thrown.reason;
    throw new DamageError(reason, thrown.message);
  }
}

function checkMeta(meta: GroupMeta): void {
  const { term, commit, firstIndex, previousTerm, lastIndex, lastTerm } = meta;
  const { configurationIndex } = meta;
  const ordered =
    firstIndex >= 1 &&
    lastIndex >= firstIndex - 1 &&
    commit >= firstIndex - 1 &&
    commit <= lastIndex &&
    (configurationIndex ?? 0) <= lastIndex &&
    previousTerm <= lastTerm &&
    lastTerm <= term;
  if (!ordered) throw new DamageError('meta-mismatch', JSON.stringify(meta));
}

async function checkEntries(
  kv: Kv,
  groupId: number,
  meta: GroupMeta,
): Promise<Pick<IntactGroup['state'], 'terms'> & Pick<IntactGroup, 'sizes'>> {
  const range = entryRange(groupId, meta.firstIndex, meta.lastIndex + 1);
  const sizes = new LogSizes();
  let terms = TermRuns.after(meta.firstIndex - 1, meta.previousTerm);
  let lastTerm = meta.previousTerm;
  let next = meta.firstIndex;
  for await (const page of readable(kv.scan(range, { pageSize: SCAN_PAGE_ENTRIES }))) {
    for (const { key, value } of page) {
      const index = indexOfKey(key);
      if (index !== next) throw missing(next, meta);
      const entry = decodeAs('entry-checksum', decodeEntry, key, value);
      const { term } = entry;
      sizes.put([entry]);
      if (term < lastTerm) {
        throw new DamageError('entry-terms', `term ${term} at ${index} follows term ${lastTerm}`);
      }
      if (term > lastTerm) terms = terms.replaceFrom([{ index, term }]);
      lastTerm = term;
      next += 1;
    }
  }
  if (next <= meta.lastIndex) throw missing(next, meta);
  if (lastTerm !== meta.lastTerm) {
    const message = `the last entry has term ${lastTerm}, the meta record says ${meta.lastTerm}`;
    throw new DamageError('entry-terms', message);
  }
  return { terms, sizes };
}

function missing(index: number, meta: GroupMeta): DamageError {
  const range = `${meta.firstIndex} to ${meta.lastIndex}`;
  return new DamageError('entry-missing', `entry ${index} of ${range} is not in the database`);
}
