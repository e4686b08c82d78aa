/**
 * Receives snapshots for the groups of this node, one at a time for each group (P3).
 *
 * What has arrived is durable piece by piece and outlives a restart. A piece is answered when the
 * one before it is durable, so that the disk works while the next one is on its way; what is lost
 * with the last one is asked for again. The MsgSnap goes to the group's core only when the whole
 * file is there and agrees with its checksum, read back from the disk, so that never half a
 * snapshot is to be seen: the core begins the log anew behind it, and then there is no way back.
 */
import type { Message } from '../raft/types.js';
import { unreachable } from '../shared/assert.js';
import { crc32c } from '../shared/crc32c.js';
import type { Clock } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type {
  SnapshotFile,
  SnapshotFiles,
  SnapshotId,
  StagedSnapshot,
} from '../storage/snapshot-files.js';
import type { PeerIdentity } from '../transport/transport.js';
import {
  decodeSnapshotCall,
  encodeSnapshotAnswer,
  type SnapshotAnswer,
  type SnapshotCall,
} from './snapshot-wire.js';
import { TransferMeter, type TransferProgress } from './transfer-meter.js';

/** The group that a snapshot is for, as the receiver needs it. */
export interface SnapshotRecipient {
  readonly term: number;
  readonly commitIndex: number;
  /** Why the group does not want this MsgSnap from this peer; undefined where it does. */
  refusal(from: PeerIdentity, message: Message): string | undefined;
  /** The snapshot's file is whole: the core decides what becomes of it. */
  takeSnapshot(from: PeerIdentity, message: Message): void;
}

export interface SnapshotReceiverOptions {
  readonly files: SnapshotFiles;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly recipientOf: (groupId: number) => SnapshotRecipient | undefined;
}

interface Session {
  readonly id: SnapshotId;
  readonly message: Message;
  readonly from: PeerIdentity;
  readonly staged: StagedSnapshot;
  readonly meter: TransferMeter;
  /** Where the next piece is wanted from: behind all that is durable or on its way to the disk. */
  nextOffset: number;
  /** The write of the last piece. */
  writing: Promise<void>;
}

const UNKNOWN: SnapshotAnswer = { kind: 'unknown' };
const DONE: SnapshotAnswer = { kind: 'done' };

export class SnapshotReceiver {
  readonly #options: SnapshotReceiverOptions;
  readonly #sessions = new Map<number, Session>();
  /** The calls of each group are carried out one after the other. */
  readonly #lastCalls = new Map<number, Promise<unknown>>();
  #closed = false;

  constructor(options: SnapshotReceiverOptions) {
    this.#options = options;
  }

  /** What is arriving for a group. */
  progress(groupId: number): TransferProgress | undefined {
    return this.#sessions.get(groupId)?.meter.progress;
  }

  /**
   * Answers one call of a sender. Rejects with NODE_NOT_READY where the group is not open here, and
   * with what the disk says; the sender asks again.
   */
  async serve(from: PeerIdentity, payload: Uint8Array): Promise<Uint8Array> {
    const call = decodeSnapshotCall(payload);
    const { groupId } = call.id;
    const before = this.#lastCalls.get(groupId) ?? Promise.resolve();
    const answer = before.catch(() => undefined).then(() => this.#carryOut(from, call));
    this.#lastCalls.set(groupId, answer);
    try {
      return encodeSnapshotAnswer(await answer);
    } finally {
      if (this.#lastCalls.get(groupId) === answer) this.#lastCalls.delete(groupId);
    }
  }

  /** Ends what is arriving for a group; what is staged stays on disk for later. */
  async abandon(groupId: number): Promise<void> {
    await this.#lastCalls.get(groupId)?.catch(() => undefined);
    const session = this.#sessions.get(groupId);
    this.#sessions.delete(groupId);
    await session?.staged.close();
  }

  /**
   * Drops what groups have got past without it, such as after their leader has changed. To be
   * called now and then.
   */
  review(): void {
    const { files, recipientOf, logger } = this.#options;
    const begun = [...this.#sessions.values()].map(({ id }) => id);
    for (const { groupId, index } of [...begun, ...files.arriving]) {
      const isOver = (recipientOf(groupId)?.commitIndex ?? 0) >= index;
      if (!isOver || this.#lastCalls.has(groupId) || this.#closed) continue;
      this.#sessions.delete(groupId);
      files.removeStaged(groupId).catch((thrown: unknown) => {
        const { message: error } = toFlotillaError(thrown);
        logger.warn({ groupId, index, error }, 'a snapshot that nobody needs stays on disk');
      });
    }
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    const groupIds = new Set([...this.#sessions.keys(), ...this.#lastCalls.keys()]);
    await Promise.all([...groupIds].map((groupId) => this.abandon(groupId)));
  }

  #carryOut(from: PeerIdentity, call: SnapshotCall): Promise<SnapshotAnswer> {
    const recipient = this.#options.recipientOf(call.id.groupId);
    if (recipient === undefined || this.#closed) {
      const message = `group ${call.id.groupId} is not open here`;
      return Promise.reject(new FlotillaError('NODE_NOT_READY', message));
    }
    switch (call.method) {
      case 'begin':
        return this.#begin(recipient, from, call.id, call.message);
      case 'chunk':
        return this.#write(call);
      case 'finish':
        return this.#finish(recipient, call.id);
      default:
        return unreachable(call);
    }
  }

  async #begin(
    recipient: SnapshotRecipient,
    from: PeerIdentity,
    id: SnapshotId,
    message: Message,
  ): Promise<SnapshotAnswer> {
    const current = this.#sessions.get(id.groupId);
    const why = recipient.refusal(from, message) ?? outdated(recipient, current, id, message);
    if (why !== undefined) return { kind: 'refused', why };
    if (id.index <= recipient.commitIndex) {
      // Only the core's answer tells the leader so (P2).
      recipient.takeSnapshot(from, message);
      return DONE;
    }
    const session = await this.#openSession(current, from, id, message);
    this.#sessions.set(id.groupId, session);
    const { nextOffset: offset } = session;
    session.meter.reached(offset);
    return { kind: 'wanted', offset };
  }

  /** Goes on with what is there of the same file; anything else of the group goes (S-38). */
  async #openSession(
    current: Session | undefined,
    from: PeerIdentity,
    id: SnapshotId,
    message: Message,
  ): Promise<Session> {
    const { files, clock, logger } = this.#options;
    if (current !== undefined && sameFile(current.id, id)) return { ...current, from, message };
    this.#sessions.delete(id.groupId);
    await current?.staged.discard();
    const meter = new TransferMeter(clock, id.sizeBytes);
    const staged = await files.stage(id);
    const { groupId, index, sizeBytes } = id;
    const { nextOffset } = staged;
    logger.info({ groupId, index, sizeBytes, nextOffset }, 'a snapshot arrives');
    return { id, from, message, meter, staged, nextOffset, writing: Promise.resolve() };
  }

  async #write(call: SnapshotCall & { readonly method: 'chunk' }): Promise<SnapshotAnswer> {
    const { id, offset, bytes } = call;
    const session = this.#sessionOf(id);
    if (session === undefined) return UNKNOWN;
    const isWanted = offset === session.nextOffset && offset + bytes.length <= id.sizeBytes;
    // A piece that is damaged, late or too early is not taken; the answer has it sent again.
    if (isWanted && crc32c(bytes) === call.crc32c) {
      await this.#orForget(session, () => session.writing);
      session.writing = session.staged.write(offset, bytes, call.crc32c);
      // Whoever comes next is told of a failure.
      session.writing.catch(() => undefined);
      session.nextOffset += bytes.length;
      session.meter.reached(session.nextOffset);
    }
    return { kind: 'wanted', offset: session.nextOffset };
  }

  async #finish(recipient: SnapshotRecipient, id: SnapshotId): Promise<SnapshotAnswer> {
    const session = this.#sessionOf(id);
    if (session === undefined) return UNKNOWN;
    const { staged, from, message, nextOffset } = session;
    if (nextOffset < id.sizeBytes) return { kind: 'wanted', offset: nextOffset };
    await this.#orForget(session, () => session.writing);
    const damage = await this.#orForget(session, () => this.#complete(staged));
    this.#sessions.delete(id.groupId);
    switch (damage) {
      case 'none':
        recipient.takeSnapshot(from, message);
        return DONE;
      case 'at-source':
        this.#options.logger.warn({ ...id }, 'a snapshot is not what its sender announced');
        return { kind: 'wanted', offset: 0 };
      case 'here':
        // The file of the sender is in order: all of it is asked for once more.
        this.#options.logger.error({ ...id }, 'a snapshot was damaged on this disk: fetched again');
        return UNKNOWN;
      default:
        return unreachable(damage);
    }
  }

  /** Lists the file, unless it is damaged: then nothing is left of it. */
  async #complete(staged: StagedSnapshot): Promise<'none' | 'at-source' | 'here'> {
    const file = await finishWhole(staged);
    if (file === undefined) return 'at-source';
    return (await this.#options.files.verify(file)) ? 'none' : 'here';
  }

  /** After a failure of the disk nothing of the session is trusted but what is durable (S6). */
  async #orForget<T>(session: Session, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#sessions.delete(session.id.groupId);
      await session.staged.close().catch(() => undefined);
      throw error;
    }
  }

  #sessionOf(id: SnapshotId): Session | undefined {
    const session = this.#sessions.get(id.groupId);
    return session !== undefined && sameFile(session.id, id) ? session : undefined;
  }
}

/** Undefined where the file is not what its checksum says. */
async function finishWhole(staged: StagedSnapshot): Promise<SnapshotFile | undefined> {
  try {
    return await staged.finish();
  } catch (thrown) {
    if (toFlotillaError(thrown).reason === 'LOG_DAMAGED') return undefined;
    throw thrown;
  }
}

/** A newer leader, or the same one with a newer snapshot, is not to be held up by an older one. */
function outdated(
  recipient: SnapshotRecipient,
  current: Session | undefined,
  id: SnapshotId,
  message: Message,
): string | undefined {
  const newestTerm = Math.max(recipient.term, current?.message.term ?? 0);
  if (message.term < newestTerm) return `term ${message.term} is over, it is ${newestTerm}`;
  if (current === undefined || message.term > current.message.term) return undefined;
  const isOlder = id.index < current.id.index;
  return isOlder ? `snapshot ${current.id.index} is arriving already` : undefined;
}

function sameFile(one: SnapshotId, other: SnapshotId): boolean {
  return (
    one.groupId === other.groupId &&
    one.index === other.index &&
    one.term === other.term &&
    one.sourceId === other.sourceId &&
    one.sizeBytes === other.sizeBytes &&
    one.crc32c === other.crc32c
  );
}
