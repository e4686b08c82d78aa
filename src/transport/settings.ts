/** Times and sizes of a transport. The defaults suit one data centre. */
export interface TransportSettings {
  /** How long a dial may take. @default 1000 */
  readonly dialTimeoutMs: number;
  /** How long an open link may wait for the peer's greeting. @default 2000 */
  readonly greetingTimeoutMs: number;
  /** First and largest pause between dials; it doubles in between, with jitter. @default 20, 250 */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** The same after the peer or this node refused the greeting. @default 1000, 5000 */
  readonly refusedBackoffMinMs: number;
  readonly refusedBackoffMaxMs: number;
  /** Raft messages waiting for one peer; more are dropped. @default 32 MiB */
  readonly raftQueueBytesMax: number;
  /**
   * Requests and answers waiting for one peer; requests above that are refused. One always goes
   * while nothing waits. @default 64 MiB
   */
  readonly requestQueueBytesMax: number;
  /** Frames end near this size; a record that is larger has a frame of its own. @default 1 MiB */
  readonly frameBytesTarget: number;
  /** Larger requests and answers travel in pieces, with heartbeats in between. @default 512 KiB */
  readonly pieceBytesMax: number;
  /** Memory of frames from this size on is used again; smaller is not worth it. @default 64 KiB */
  readonly frameRoomBytesMin: number;
}

export const TRANSPORT_DEFAULTS: TransportSettings = {
  dialTimeoutMs: 1_000,
  greetingTimeoutMs: 2_000,
  backoffMinMs: 20,
  backoffMaxMs: 250,
  refusedBackoffMinMs: 1_000,
  refusedBackoffMaxMs: 5_000,
  raftQueueBytesMax: 32 * 1024 * 1024,
  requestQueueBytesMax: 64 * 1024 * 1024,
  frameBytesTarget: 1024 * 1024,
  pieceBytesMax: 512 * 1024,
  frameRoomBytesMin: 64 * 1024,
};
