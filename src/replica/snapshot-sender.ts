/**
 * Sends snapshots of this node's groups to replicas on other nodes, piece by piece (P3).
 *
 * A few at a time share one bandwidth (P5). The receiver says where to go on, so that a cut link, a
 * restart of either side and a piece that was damaged or lost all come to the same: ask, obey. One
 * piece is on its way at a time, and the one behind it is read meanwhile. What makes no progress
 * for a while has failed; the caller always hears how it ended (P2, S-24).
 */
import type { Message } from '../raft/types.js';
import { unreachable } from '../shared/assert.js';
import { type Environment, sleep } from '../shared/environment.js';
import { isFlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { SnapshotFile, SnapshotId } from '../storage/snapshot-files.js';
import { TRANSPORT_DEFAULTS } from '../transport/settings.js';
import type { Transport } from '../transport/transport.js';
import { SnapshotPieces } from './snapshot-pieces.js';
import {
  decodeSnapshotAnswer,
  encodeSnapshotCall,
  type SnapshotAnswer,
  type SnapshotCall,
} from './snapshot-wire.js';
import { TransferMeter, type TransferProgress } from './transfer-meter.js';
import { TransferRate } from './transfer-rate.js';

export interface SnapshotSenderSettings {
  /** Snapshots that are sent at a time; others wait. */
  readonly concurrentMax: number;
  /** Best such that a call fits one piece of the transport, which the receiver need not join. */
  readonly chunkSizeBytes: number;
  /** For all together; may be infinite. */
  readonly bytesPerSecondMax: number;
  /** How long one call may take. */
  readonly callTimeoutMs: number;
  /** A transfer that has not come further for so long has failed. */
  readonly stalledTimeoutMs: number;
}

/** A multiple of what file systems and disks write at once, with room for the head of a call. */
const CHUNK_SIZE_BYTES = TRANSPORT_DEFAULTS.pieceBytesMax - 4_096;

export const SNAPSHOT_SENDER_DEFAULTS: SnapshotSenderSettings = {
  concurrentMax: 2,
  chunkSizeBytes: CHUNK_SIZE_BYTES,
  bytesPerSecondMax: 100_000_000,
  callTimeoutMs: 5_000,
  stalledTimeoutMs: 15_000,
};

export interface SnapshotSenderOptions {
  readonly environment: Pick<Environment, 'clock' | 'scheduler' | 'disk'>;
  readonly request: Transport['request'];
  readonly logger: Logger;
  readonly settings?: Partial<SnapshotSenderSettings>;
}

/**
 * How a transfer ended. `damaged`: the file is too short, or the receiver has all of it, and it is
 * not what its checksum says, so that sending the same file again is of no use.
 */
export type TransferOutcome = 'done' | 'failed' | 'damaged';

export interface SnapshotTransfer {
  readonly progress: TransferProgress;
  /** Never rejects. */
  readonly outcome: Promise<TransferOutcome>;
  /** Ends it as failed. Idempotent. */
  cancel(): void;
}

/** A pause before a call is tried again. */
const RETRY_PAUSE_MS = 100;

export class SnapshotSender {
  readonly #options: SnapshotSenderOptions;
  readonly #settings: SnapshotSenderSettings;
  readonly #rate: TransferRate;
  #sending = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(options: SnapshotSenderOptions) {
    this.#options = options;
    this.#settings = { ...SNAPSHOT_SENDER_DEFAULTS, ...options.settings };
    this.#rate = new TransferRate(options.environment, this.#settings.bytesPerSecondMax);
  }

  /** Sends `file`, to which the MsgSnap `message` belongs. */
  send(nodeId: number, message: Message, file: SnapshotFile): SnapshotTransfer {
    const cancelled = new AbortController();
    const { signal } = cancelled;
    const meter = new TransferMeter(this.#options.environment.clock, file.sizeBytes);
    const outcome = this.#inTurn(signal, () => this.#send(nodeId, message, file, meter, signal));
    return {
      get progress() {
        return meter.progress;
      },
      outcome: outcome.catch((thrown: unknown) => {
        const { message: error } = toFlotillaError(thrown);
        this.#options.logger.warn({ nodeId, path: file.path, error }, 'a snapshot was not sent');
        return isFlotillaError(thrown) && thrown.reason === 'LOG_DAMAGED' ? 'damaged' : 'failed';
      }),
      cancel: () => cancelled.abort(),
    };
  }

  async #inTurn(
    signal: AbortSignal,
    work: () => Promise<TransferOutcome>,
  ): Promise<TransferOutcome> {
    if (this.#sending >= this.#settings.concurrentMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#sending += 1;
    }
    try {
      return signal.aborted ? 'failed' : await work();
    } finally {
      // The place goes to the next one that waits, or is free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#sending -= 1;
      else next();
    }
  }

  async #send(
    nodeId: number,
    message: Message,
    file: SnapshotFile,
    meter: TransferMeter,
    signal: AbortSignal,
  ): Promise<TransferOutcome> {
    const content = await this.#options.environment.disk.openFile(file.path, 'read');
    try {
      const { groupId, index, term, sourceId, sizeBytes, crc32c } = file;
      const id = { groupId, index, term, sourceId, sizeBytes, crc32c };
      const pieces = new SnapshotPieces(content, id, this.#settings.chunkSizeBytes);
      const conversation = new Conversation(nodeId, message, id, pieces);
      return await this.#converse(conversation, meter, signal);
    } finally {
      await content.close();
    }
  }

  async #converse(
    conversation: Conversation,
    meter: TransferMeter,
    signal: AbortSignal,
  ): Promise<TransferOutcome> {
    const { clock, scheduler } = this.#options.environment;
    let lastProgressMs = clock.monotonicMs();
    while (!signal.aborted) {
      const answer = await this.#ask(conversation, signal);
      if (answer === undefined) {
        conversation.beginAgain();
        await sleep(scheduler, RETRY_PAUSE_MS, signal);
      } else {
        const outcome = conversation.take(answer);
        if (outcome !== undefined) return outcome;
        if (meter.reached(conversation.offset)) lastProgressMs = clock.monotonicMs();
      }
      if (clock.monotonicMs() - lastProgressMs > this.#settings.stalledTimeoutMs) return 'failed';
    }
    return 'failed';
  }

  /** Undefined where no answer came, for whatever reason. */
  async #ask(conversation: Conversation, signal: AbortSignal): Promise<SnapshotAnswer | undefined> {
    const call = await conversation.nextCall();
    try {
      if (call.method === 'chunk') await this.#rate.take(call.pieceSizeBytes, signal);
      const options = { timeoutMs: this.#settings.callTimeoutMs, signal };
      const { nodeId } = conversation;
      return decodeSnapshotAnswer(await this.#options.request(nodeId, call.payload, options));
    } catch (thrown) {
      const { message } = toFlotillaError(thrown);
      this.#options.logger.debug({ call: call.method, error: message }, 'a snapshot call failed');
      return undefined;
    } finally {
      // Whatever became of the call: the transport reads no payload of a request that is over.
      call.release();
    }
  }
}

interface NextCall {
  readonly method: SnapshotCall['method'];
  readonly payload: Uint8Array;
  /** Bytes of the file in it. */
  readonly pieceSizeBytes: number;
  /** Nobody reads the payload any more. To be called once. */
  release(): void;
}

/** What to say next to the receiver, by what it has answered. */
class Conversation {
  readonly nodeId: number;
  readonly #message: Message;
  readonly #id: SnapshotId;
  readonly #pieces: SnapshotPieces;
  #method: SnapshotCall['method'] = 'begin';
  /** Where the receiver wants the next piece from. */
  offset = 0;

  constructor(nodeId: number, message: Message, id: SnapshotId, pieces: SnapshotPieces) {
    this.nodeId = nodeId;
    this.#message = message;
    this.#id = id;
    this.#pieces = pieces;
  }

  /** Whatever is known of the receiver may be out of date. */
  beginAgain(): void {
    this.#method = 'begin';
  }

  async nextCall(): Promise<NextCall> {
    const id = this.#id;
    const method = this.#method;
    switch (method) {
      case 'begin':
        return callWithoutPiece({ method, id, message: this.#message });
      case 'chunk': {
        const { payload, sizeBytes, release } = await this.#pieces.take(this.offset);
        return { method, payload, pieceSizeBytes: sizeBytes, release };
      }
      case 'finish':
        return callWithoutPiece({ method, id });
      default:
        return unreachable(method);
    }
  }

  /** Undefined while there is more to say. */
  take(answer: SnapshotAnswer): TransferOutcome | undefined {
    switch (answer.kind) {
      case 'done':
        return 'done';
      case 'refused':
        return 'failed';
      case 'unknown':
        this.beginAgain();
        return undefined;
      case 'wanted': {
        const { sizeBytes } = this.#id;
        if (answer.offset > sizeBytes) return 'failed';
        if (this.#method === 'finish' && answer.offset < sizeBytes) return 'damaged';
        this.offset = answer.offset;
        this.#method = answer.offset === sizeBytes ? 'finish' : 'chunk';
        return undefined;
      }
      default:
        return unreachable(answer);
    }
  }
}

function callWithoutPiece(call: Exclude<SnapshotCall, { readonly method: 'chunk' }>): NextCall {
  const payload = encodeSnapshotCall(call);
  return { method: call.method, payload, pieceSizeBytes: 0, release: () => undefined };
}
