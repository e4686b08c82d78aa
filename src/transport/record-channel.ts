import { MalformedBytesError } from '../shared/bytes.js';
import type { Connection } from '../shared/environment.js';
import { decodeFrame, type FrameRecord } from './frame.js';
import { LinkResetError } from './link-end.js';

export interface RecordReceiver {
  onRecord(record: FrameRecord): void;
  onDrain(): void;
  /** As in `ConnectionHandlers`, also of frames from before the handover. */
  onSent?(frame: Uint8Array): void;
  /** Called exactly once, last. */
  onClose(error?: Error): void;
}

/**
 * A connection that speaks records. Whoever greets hands it over to whoever uses it. A frame that
 * cannot be decoded closes the link, with the reason, and delivers nothing of itself.
 */
export class RecordChannel {
  readonly remoteAddress: string;
  readonly #connection: Connection;
  #receiver: RecordReceiver;
  #closing = false;
  #closeError: Error | undefined;

  constructor(connection: Connection, receiver: RecordReceiver) {
    this.#connection = connection;
    this.#receiver = receiver;
    this.remoteAddress = connection.remoteAddress;
    connection.start({
      onFrame: (frame) => this.#onFrame(frame),
      onDrain: () => this.#receiver.onDrain(),
      onSent: (frame) => this.#receiver.onSent?.(frame),
      onClose: (error) => {
        const reset = error && new LinkResetError(error.message, { cause: error });
        this.#receiver.onClose(this.#closeError ?? reset);
      },
    });
  }

  /** What arrives from now on goes to another receiver. */
  handOver(receiver: RecordReceiver): void {
    this.#receiver = receiver;
  }

  /** As `Connection.send`. */
  send(frame: Uint8Array): boolean {
    return this.#connection.send(frame);
  }

  /** Closes the link; the receiver is told the error. What still arrives is dropped. Idempotent. */
  close(error?: Error): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#closeError = error;
    this.#connection.close();
  }

  #onFrame(frame: Uint8Array): void {
    if (this.#closing) return;
    let records: FrameRecord[];
    try {
      records = decodeFrame(frame);
    } catch (error) {
      this.close(error instanceof Error ? error : new MalformedBytesError(String(error)));
      return;
    }
    for (const record of records) {
      if (this.#closing) return;
      this.#receiver.onRecord(record);
    }
  }
}
