/**
 * One open link to a peer whose greeting was accepted: sends from the outbox as the connection
 * takes it, gives Raft messages and requests to the handlers, answers to their callers.
 */
import { MalformedBytesError } from '../shared/bytes.js';
import type { Scheduler } from '../shared/environment.js';
import { FlotillaError } from '../shared/errors.js';
import type { FrameRecord, Hello } from './frame.js';
import type { FrameRooms } from './frame-rooms.js';
import { Outbox } from './outbox.js';
import { PendingRequests, type RequestOptions } from './pending-requests.js';
import type { RecordChannel, RecordReceiver } from './record-channel.js';
import { type Admission, ServedRequests } from './served-requests.js';
import type { TransportSettings } from './settings.js';
import type { GroupMessage, TransportHandlers } from './transport.js';

export interface LinkContext {
  readonly scheduler: Scheduler;
  readonly settings: TransportSettings;
  readonly handlers: TransportHandlers;
  readonly admission: Admission;
  readonly rooms: FrameRooms;
}

export class Link implements RecordReceiver {
  /** The peer's greeting. */
  readonly hello: Hello;
  readonly #channel: RecordChannel;
  readonly #context: LinkContext;
  readonly #onBroken: (error?: Error) => void;
  readonly #outbox: Outbox;
  readonly #pending: PendingRequests;
  readonly #served: ServedRequests;
  #blocked = false;
  #flushDue = false;
  #ended = false;

  /** Takes the channel over. `onBroken` is called once, after `close` as well. */
  constructor(
    channel: RecordChannel,
    hello: Hello,
    context: LinkContext,
    onBroken: (error?: Error) => void,
  ) {
    const { scheduler, settings, handlers, admission, rooms } = context;
    this.hello = hello;
    this.#channel = channel;
    this.#context = context;
    this.#onBroken = onBroken;
    this.#outbox = new Outbox(settings, rooms);
    const flush = (): void => this.#flushSoon();
    this.#pending = new PendingRequests(hello.identity.nodeId, this.#outbox, scheduler, flush);
    this.#served = new ServedRequests({
      from: hello.identity,
      onRequest: (from, payload, signal) => handlers.onRequest(from, payload, signal),
      admission,
      scheduler,
      answer: (requestId, payload, onSent) => {
        const answer = this.#outbox.addAnswer(requestId, payload, onSent);
        flush();
        return () => this.#outbox.drop(answer);
      },
      fail: (requestId, error) => {
        this.#outbox.addFailure(requestId, error);
        flush();
      },
    });
    channel.handOver(this);
  }

  get queuedBytes(): number {
    return this.#outbox.queuedBytes;
  }

  /** Returns how many messages were dropped for want of room. */
  send(messages: readonly GroupMessage[]): number {
    const dropped = this.#outbox.addMessages(messages);
    this.#flushSoon();
    return dropped;
  }

  request(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    return this.#pending.start(payload, options);
  }

  /** Fails what is under way, at once. Idempotent. */
  close(error?: Error): void {
    this.#channel.close(error);
    this.#end(error);
  }

  onRecord(record: FrameRecord): void {
    try {
      this.#take(record);
    } catch (error) {
      if (!(error instanceof MalformedBytesError)) throw error;
      this.close(error);
    }
  }

  onDrain(): void {
    this.#blocked = false;
    this.#flush();
  }

  onSent(frame: Uint8Array): void {
    this.#outbox.reuse(frame);
  }

  onClose(error?: Error): void {
    this.#end(error);
  }

  #take(record: FrameRecord): void {
    switch (record.kind) {
      case 'raft':
        this.#context.handlers.onMessages(this.hello.identity, record.messages);
        return;
      case 'request':
        this.#served.open(record.requestId, record.timeoutMs, record.sizeBytes, record.piece);
        return;
      case 'requestPart':
        this.#served.addPart(record.requestId, record.piece);
        return;
      case 'response':
        this.#pending.openAnswer(record.requestId, record.sizeBytes, record.piece);
        return;
      case 'responsePart':
        this.#pending.addPart(record.requestId, record.piece);
        return;
      case 'failure':
        this.#pending.fail(record.requestId, record.error);
        return;
      case 'cancel':
        this.#served.cancel(record.requestId);
        return;
      case 'refuse':
        // The dialling side checks last, when this side has taken the link for open.
        this.close(FlotillaError.fromBody(record.error));
        return;
      default:
        throw new MalformedBytesError(`a ${record.kind} record on an open link`);
    }
  }

  /** All that is queued in this turn goes together. */
  #flushSoon(): void {
    if (this.#flushDue || this.#blocked || this.#ended) return;
    this.#flushDue = true;
    this.#context.scheduler.soon(() => {
      this.#flushDue = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (!this.#blocked && !this.#ended) {
      const frame = this.#outbox.nextFrame();
      if (frame === undefined) return;
      if (!this.#channel.send(frame)) this.#blocked = true;
    }
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#served.cancelAll();
    this.#pending.failAll(error);
    this.#onBroken(error);
  }
}
