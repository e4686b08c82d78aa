/**
 * The one seam between Flotilla and the world: clock, timers, randomness, disk and network.
 *
 * Production code never touches `Date`, `setTimeout`, `Math.random`, `fs` or sockets; it receives
 * an `Environment` from the composition root. The real one lives in `src/node`; tests pass a
 * virtual one, so that the same production code runs in both.
 */
import type { GiveUpSignal } from './give-up.js';
import type { Kv, KvOptions } from './kv.js';

/** Two clocks that must never be mixed up. */
export interface Clock {
  /** Wall-clock milliseconds since the Unix epoch. May jump. Only for stamps that people read. */
  wallMs(): number;
  /** Milliseconds since an arbitrary origin of this process. Never goes backwards. */
  monotonicMs(): number;
}

/** A pending timer. */
export interface Timer {
  /** Stops the timer. Safe to call at any time, more than once. */
  cancel(): void;
}

/** Timers. Callbacks never run synchronously inside the call that sets them. */
export interface Scheduler {
  /** Runs `task` once, not before `delayMs` have passed. */
  after(delayMs: number, task: () => void): Timer;
  /** Runs `task` each `periodMs`, at most once per callback: missed periods are dropped. */
  every(periodMs: number, task: () => void): Timer;
  /** Runs `task` after the I/O that is already waiting has been handed over. */
  soon(task: () => void): void;
}

/** Randomness; seeded in the simulator. */
export interface Random {
  /** A float in [0, 1). */
  next(): number;
  /** A random (version 4) UUID, in lower case with dashes. */
  uuid(): string;
}

/** Files and key-value databases below the directories that the node was given. */
export interface Disk {
  /** Opens (and creates) a key-value database. Only one opener at a time per path. */
  openKv(path: string, options?: KvOptions): Promise<Kv>;
  /** The file's bytes, or `undefined` where there is no such file. */
  readFile(path: string): Promise<Uint8Array | undefined>;
  /** Replaces the file atomically: temp file, fsync, rename, fsync of the directory. */
  writeFile(path: string, bytes: Uint8Array): Promise<void>;
  /**
   * Opens a file piece by piece. 'write' also reads; it makes the file, its name durable, where
   * there is none, and keeps the content of one that is there. 'read' rejects where there is none.
   */
  openFile(path: string, mode: 'read' | 'write'): Promise<DiskFile>;
  /**
   * Grows the file to at least `sizeBytes` of space that the file system has really set aside,
   * durably; makes it where there is none. What is in it means nothing. Grown as far as it got
   * when it rejects.
   */
  allocateFile(path: string, sizeBytes: number): Promise<void>;
  /**
   * Moves a file, over the one that may be at `to`, atomically; durable when it resolves. Only the
   * name: content that was not synced before can still be lost.
   */
  rename(from: string, to: string): Promise<void>;
  /** Names (not paths) in a directory, sorted; empty where it does not exist. */
  list(path: string): Promise<string[]>;
  /** Creates a directory and its parents. */
  makeDirectory(path: string): Promise<void>;
  /** Removes a file or a whole directory. Nothing happens where there is none. */
  remove(path: string): Promise<void>;
  /**
   * Where native code finds the file that the disk has at `path`. Absent where the files are not
   * the operating system's: in the twins.
   */
  nativePath?(path: string): string;
  /** Bytes free for new data on the file system that holds `path`, and its size. */
  space(path: string): Promise<{ freeBytes: number; totalBytes: number }>;
}

/** An open file. Calls may overlap where their ranges do not. */
export interface DiskFile {
  /** Grows with the writes through this handle. */
  readonly sizeBytes: number;
  /** The bytes from `offset` on; fewer than asked for only at the end of the file. */
  read(offset: number, lengthBytes: number): Promise<Uint8Array>;
  /**
   * The same into memory of the caller, who gets it back, for others to fill, when the promise
   * settles: the number of bytes read, less than `target` has only at the end of the file.
   */
  readInto(offset: number, target: Uint8Array): Promise<number>;
  /**
   * Overwrites or extends; a gap reads as zeros. May be lost, in part too, until `sync` resolves.
   * After a write or sync that failed, nothing since the last good sync is to be trusted (S6).
   */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Makes what was written before the call durable. */
  sync(): Promise<void>;
  /** Does not sync. Idempotent. */
  close(): Promise<void>;
}

/** One side of an open, ordered, reliable, message-preserving link between two nodes. */
export interface Connection {
  /** The other side's address, for logs. */
  readonly remoteAddress: string;
  /**
   * Queues one frame. The frame must not be changed afterwards, unless `onSent` gives it back.
   * Returns false when the link's buffer is full: the caller should wait for `onDrain`. Frames sent
   * after `close` are dropped.
   */
  send(frame: Uint8Array): boolean;
  /** Sets the receivers; frames that came before are kept until this is called. */
  start(handlers: ConnectionHandlers): void;
  /** Closes the link. Idempotent. The own `onClose` is called as well, once. */
  close(): void;
}

export interface ConnectionHandlers {
  onFrame(frame: Uint8Array): void;
  onDrain(): void;
  /**
   * Nobody reads that frame of this side any more: its memory may be used again. Called once a
   * frame, in a later turn than its `send`, by links that copy frames; those that hand them over by
   * reference never call it, none calls it for a frame that was lost.
   */
  onSent?(frame: Uint8Array): void;
  /** Called exactly once. `error` is absent after an orderly close. */
  onClose(error?: Error): void;
}

export interface Listener {
  /** The address really bound; the port is filled in where 0 was asked for. */
  readonly address: string;
  /** Stops accepting and closes the accepted connections. */
  close(): Promise<void>;
}

/** Links between nodes. Real: bidirectional gRPC streams. Twin: queues in memory. */
export interface Network {
  listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener>;
  /** Rejects when the peer refuses or does not answer within `timeoutMs`. */
  dial(address: string, options: { timeoutMs: number }): Promise<Connection>;
}

export interface Environment {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly disk: Disk;
  readonly network: Network;
}

/** Resolves after `delayMs`, or as soon as `signal` is aborted (it never rejects). */
export function sleep(scheduler: Scheduler, delayMs: number, signal?: GiveUpSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const finish = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', finish);
      resolve();
    };
    const timer = scheduler.after(delayMs, finish);
    signal?.addEventListener('abort', finish, { once: true });
  });
}
