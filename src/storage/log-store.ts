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

/** What one group wants durable. Order within a group is kept; groups are independent. */
export interface GroupWrite {
  readonly groupId: number;
  readonly hardState?: HardState;
  /** Consecutive; entries at and after the first one's index are replaced. */
  readonly entries: readonly Entry[];
  /** Whether the write must be on disk before its promise resolves (S2). */
  readonly mustSync: boolean;
}

/** Why a group cannot be used: found at open, named, never repaired silently (S5). */
export interface GroupDamage {
  readonly groupId: number;
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

export interface LogStore {
  readonly identity: StoreIdentity;
  /** Groups that hold together, by ascending id. */
  groups(): readonly GroupGenesis[];
  /** Groups that were found damaged at open. They have no reader and take no writes. */
  damaged(): readonly GroupDamage[];
  /** Creates a group, durably. Idempotent for an equal genesis; another one is an error. */
  createGroup(genesis: GroupGenesis): Promise<void>;
  /**
   * The group's persisted log for the core. It shows a write once its promise has resolved.
   * Reads are synchronous: recent entries come from memory, older ones from the database.
   */
  reader(groupId: number): LogReader;
  /**
   * Appends, in one atomic batch with what other groups have waiting (group commit). Rejects with
   * STORE_POISONED after any write error, for ever: nothing written since is to be trusted.
   */
  write(write: GroupWrite): Promise<void>;
  /** A small opaque blob of the node, such as the bootstrap record, written with an fsync. */
  putBlob(name: string, bytes: Uint8Array): Promise<void>;
  getBlob(name: string): Promise<Uint8Array | undefined>;
  /** Set after a write error. */
  readonly poisoned: Error | undefined;
  /** Waits for the writes under way, then closes. Idempotent. */
  close(): Promise<void>;
}
