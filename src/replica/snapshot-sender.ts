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
import { crc32c } from '../shared/crc32c.js';
import { type DiskFile, type Environment, sleep } from '../shared/environment.js';
import { toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { SnapshotFile, SnapshotId } from '../storage/snapshot-files.js';
import type { Transport } from '../transport/transport.js';
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
  readonly chunkSizeBytes: number;
  /** For all together; may be infinite. */
  readonly bytesPerSecondMax: number;
  /** How long one call may take. */
  readonly callTimeoutMs: number;
  /** A transfer that has not come further for so long has failed. */
  readonly stalledTimeoutMs: number;
}

export const SNAPSHOT_SENDER_DEFAULTS: SnapshotSenderSettings = {
  concurrentMax: 2,
  chunkSizeBytes: 512 * 1024,
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
 * How a transfer ended. `damaged`: the receiver has got the whole file, and it is not what its
 * checksum says, so that sending the same file again is of no use.
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
        return 'failed' as const;
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
      const conversation = new Conversation(nodeId, message, file, content);
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
    const { chunkSizeBytes, callTimeoutMs } = this.#settings;
    const call = await conversation.nextCall(chunkSizeBytes);
    if (call.method === 'chunk') await this.#rate.take(call.bytes.length, signal);
    try {
      const payload = encodeSnapshotCall(call);
      const options = { timeoutMs: callTimeoutMs, signal };
      const { nodeId } = conversation;
      return decodeSnapshotAnswer(await this.#options.request(nodeId, payload, options));
    } catch (thrown) {
      const { message } = toFlotillaError(thrown);
      this.#options.logger.debug({ call: call.method, error: message }, 'a snapshot call failed');
      return undefined;
    }
  }
}

/** What to say next to the receiver, by what it has answered. */
class Conversation {
  readonly nodeId: number;
  readonly #message: Message;
  readonly #file: SnapshotFile;
  readonly #id: SnapshotId;
  readonly #content: DiskFile;
  #method: SnapshotCall['method'] = 'begin';
  /** Where the receiver wants the next piece from. */
  offset = 0;
  /** The piece that it will most likely want after the one on its way. */
  #ahead: { readonly offset: number; readonly call: Promise<SnapshotCall> } | undefined;

  constructor(nodeId: number, message: Message, file: SnapshotFile, content: DiskFile) {
    const { groupId, index, term, sourceId, sizeBytes } = file;
    this.nodeId = nodeId;
    this.#message = message;
    this.#file = file;
    this.#id = { groupId, index, term, sourceId, sizeBytes, crc32c: file.crc32c };
    this.#content = content;
  }

  /** Whatever is known of the receiver may be out of date. */
  beginAgain(): void {
    this.#method = 'begin';
  }

  async nextCall(chunkSizeBytes: number): Promise<SnapshotCall> {
    const id = this.#id;
    switch (this.#method) {
      case 'begin':
        return { method: 'begin', id, message: this.#message };
      case 'chunk': {
        const { offset } = this;
        const ahead = this.#ahead?.offset === offset ? this.#ahead.call : undefined;
        const call = ahead ?? this.#chunk(offset, chunkSizeBytes);
        this.#readAhead(offset + chunkSizeBytes, chunkSizeBytes);
        return call;
      }
      case 'finish':
        return { method: 'finish', id };
      default:
        return unreachable(this.#method);
    }
  }

  async #chunk(offset: number, sizeBytes: number): Promise<SnapshotCall> {
    const bytes = await this.#content.read(offset, sizeBytes);
    return { method: 'chunk', id: this.#id, offset, crc32c: crc32c(bytes), bytes };
  }

  #readAhead(offset: number, sizeBytes: number): void {
    this.#ahead = undefined;
    if (offset >= this.#id.sizeBytes) return;
    const call = this.#chunk(offset, sizeBytes);
    // Whoever asks for it is told.
    call.catch(() => undefined);
    this.#ahead = { offset, call };
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
        const { sizeBytes } = this.#file;
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
