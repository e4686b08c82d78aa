/**
 * The durable Raft state of all groups of a node: entries, term, vote, commit.
 *
 * One store per node, one synced batch for all groups that have something to write. The store
 * knows nothing of what an entry means.
 */
import type { ConfState, Entry, HardState, LogReader } from '../raft/types.js';

/** A replica of a group and where it lives: the log-ordered truth that votes are checked by. */
export interface GroupMember {
  readonly replicaId: number;
  readonly nodeId: number;
  /** Identity of the data directory. A wiped node has another one, and cannot vote (M8). */
  readonly storeId: string;
}

/** What a group starts from: identical on all of its replicas but for `replicaId`. */
export interface GroupGenesis {
  readonly groupId: number;
  /** The replica that lives in this store. */
  readonly replicaId: number;
  readonly confState: ConfState;
  readonly members: readonly GroupMember[];
}

/** Who the replicas of a group are, and up to where that is known. */
export interface GroupConfiguration {
  /**
   * The last configuration entry (or snapshot) that it covers; 0 is the genesis. Entries up to
   * here change it no more when they are applied again after a restart.
   */
  readonly index: number;
  readonly confState: ConfState;
  readonly members: readonly GroupMember[];
}

/** A snapshot that takes the place of the log: of exactly the state after the entry at `index`. */
export interface GroupSnapshot {
  readonly index: number;
  readonly term: number;
  readonly configuration: GroupConfiguration;
}

/** What one group wants durable. Order within a group is kept; groups are independent. */
export interface GroupWrite {
  readonly groupId: number;
  /**
   * Drops the whole log, and puts this in its place, before anything else of the write (P4): the
   * first index becomes `index + 1` and commit at least `index`. Not below the commit index. The
   * state that it stands for must be durable already (S3). Always synced.
   */
  readonly snapshot?: GroupSnapshot;
  readonly hardState?: HardState;
  /** Consecutive; entries at and after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /** Replaces the stored configuration. Its index is in the log and never goes back. */
  readonly configuration?: GroupConfiguration;
  /**
   * Entries up to here, which are committed, may go: the first index becomes `compactedIndex + 1`
   * (nothing happens where it is beyond that already). Always synced; the space comes back later,
   * in small batches, and over a restart. Never beyond what a durable snapshot covers.
   */
  readonly compactedIndex?: number;
  /** Whether the write must be on disk before its promise resolves (S2). */
  readonly mustSync: boolean;
}

/**
 * Why a group cannot be used: found at open, named, never repaired silently (S5). It stays, over
 * restarts, until `replaceGroup` or `removeGroup`; an unsupported version until it is supported.
 */
export interface GroupDamage {
  readonly groupId: number;
  /** The replica whose log it was; 0 where the store no longer knows. */
  readonly replicaId: number;
  readonly reason:
    | 'entry-checksum'
    | 'entry-missing'
    | 'entry-terms'
    | 'meta-checksum'
    | 'meta-mismatch'
    | 'database-log'
    | 'unsupported-version';
  readonly message: string;
}

/** Who this data directory is. Made once, when the directory is first used. */
export interface StoreIdentity {
  readonly storeId: string;
  /** Counts the opens of the store: a peer that greets with a higher one has restarted. */
  readonly incarnation: number;
}

/**
 * After a write error, or an entry that the disk does not give back, the store is poisoned, and
 * with it all its groups (S6): whether something is lost, an open can tell. The node then stops
 * the groups, closes the store (which gives back its reserve of disk space when the disk was full),
 * and opens it again: everything is verified as at any start. If that fails, the node ends.
 */
export interface LogStore {
  readonly identity: StoreIdentity;
  /**
   * Whether there is room: 'low' below the low-water mark of the file system, until there is
   * clearly more again. Leaders then refuse proposals, while compaction, deletes and changes of
   * membership go on (S7). Sampled each second.
   */
  readonly space: 'ok' | 'low';
  /** Set after a write error, or a failed read of an entry. */
  readonly poisoned: Error | undefined;
  /** Groups that hold together, by ascending id. */
  groups(): readonly GroupGenesis[];
  /** Groups that were found damaged. They have no reader and take no writes. */
  damaged(): readonly GroupDamage[];
  /**
   * Creates a group, durably. Idempotent for an equal genesis. SETTINGS_MISMATCH for another one,
   * and for a replica id that this store has used for the group before (M8).
   */
  createGroup(genesis: GroupGenesis): Promise<void>;
  /**
   * Forgets what is here of the group, damaged or not, for good, and creates it anew. The replica
   * id must be higher than any that the store had for the group, else SETTINGS_MISMATCH (M8).
   * Idempotent for the genesis that is there. A crash may leave the group removed and not yet
   * created. Takes as long as deleting the old entries does.
   */
  replaceGroup(genesis: GroupGenesis): Promise<void>;
  /**
   * Forgets the group's replica for ever: also after a crash, once resolved, its id is refused
   * (M8). The entries go later. Idempotent.
   */
  removeGroup(groupId: number): Promise<void>;
  /**
   * The group's persisted log for the core. It shows a write once its promise has resolved; its
   * initial configuration is that of `configuration`. It knows no snapshots: those are the host's.
   * Reads are synchronous: recent entries come from memory, older ones from the database.
   */
  reader(groupId: number): LogReader;
  /** The configuration that is durable. */
  configuration(groupId: number): GroupConfiguration;
  /** Data bytes of the entries from first to last; an estimate once some were compacted. */
  logSizeBytes(groupId: number): number;
  /**
   * Appends, in one atomic batch with what other groups have waiting (group commit). Rejects with
   * STORE_POISONED after any write error, for ever: nothing written since is to be trusted.
   */
  write(write: GroupWrite): Promise<void>;
  /** A small opaque blob of the node, such as the bootstrap record, written with an fsync. */
  putBlob(name: string, bytes: Uint8Array): Promise<void>;
  getBlob(name: string): Promise<Uint8Array | undefined>;
  /** Waits for the writes under way, then closes. Idempotent. */
  close(): Promise<void>;
}
