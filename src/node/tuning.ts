import type { CompactionPolicy } from '../replica/log-compaction.js';
import type { SnapshotSenderSettings } from '../replica/snapshot-sender.js';
import type { TransportSettings } from '../transport/settings.js';

/**
 * Times and sizes that nobody configures, since one value suits every node. Whoever puts a node
 * under other conditions than production has sets them: the simulator, where all is small.
 */
export interface NodeTuning {
  /** How long the logs of groups get. @default COMPACTION_DEFAULTS */
  readonly compaction?: CompactionPolicy;
  /** How snapshots are sent. @default SNAPSHOT_SENDER_DEFAULTS */
  readonly snapshotSender?: Partial<SnapshotSenderSettings>;
  /** The links between nodes. @default TRANSPORT_DEFAULTS */
  readonly transport?: Partial<TransportSettings>;
}
