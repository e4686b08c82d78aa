/**
 * Links that others opened and that have not said yet who they are. Each becomes a peer's link, is
 * refused, or asks its one control question.
 */
import type { Connection, Scheduler, Timer } from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import { checkControlSize } from './control.js';
import { encodeFrame, type FrameRecord, type Hello } from './frame.js';
import { refuse } from './greeting.js';
import { RecordChannel } from './record-channel.js';

/** Links without a greeting that are kept at once; more are closed unheard. */
const UNGREETED_MAX = 256;

export interface ReceptionContext {
  readonly scheduler: Scheduler;
  readonly greetingTimeoutMs: number;
  readonly logger: Logger;
  /** Takes the channel over, or says why it is not wanted. */
  onHello(channel: RecordChannel, hello: Hello): FlotillaError | undefined;
  onControl(payload: Uint8Array): Promise<Uint8Array>;
}

export class Reception {
  readonly #context: ReceptionContext;
  readonly #ungreeted = new Set<RecordChannel>();

  constructor(context: ReceptionContext) {
    this.#context = context;
  }

  accept(connection: Connection): void {
    if (this.#ungreeted.size >= UNGREETED_MAX) {
      connection.close();
      return;
    }
    const leave = (): void => {
      timer.cancel();
      this.#ungreeted.delete(channel);
    };
    const channel = new RecordChannel(connection, {
      onRecord: (record) => {
        leave();
        this.#onFirst(channel, record);
      },
      onDrain: () => undefined,
      onClose: (error) => {
        leave();
        const fields = { remote: channel.remoteAddress, error: error?.message };
        this.#context.logger.debug(fields, 'a link closed without a greeting');
      },
    });
    const timer = this.#context.scheduler.after(this.#context.greetingTimeoutMs, () =>
      channel.close(new Error('no greeting came')),
    );
    this.#ungreeted.add(channel);
  }

  /** Closes the links that are still here. */
  close(): void {
    for (const channel of this.#ungreeted) channel.close();
  }

  #onFirst(channel: RecordChannel, record: FrameRecord): void {
    if (record.kind === 'hello') {
      const refusal = this.#context.onHello(channel, record.hello);
      if (refusal !== undefined) refuse(this.#context.scheduler, channel, refusal);
    } else if (record.kind === 'control') {
      void this.#answerControl(channel, record.payload);
    } else {
      channel.close(new Error(`a ${record.kind} record came before the greeting`));
    }
  }

  async #answerControl(channel: RecordChannel, payload: Uint8Array): Promise<void> {
    let open = true;
    let farewell: Timer | undefined;
    // The caller closes the link when it has its answer; a second record is not expected.
    channel.handOver({
      onRecord: () => channel.close(),
      onDrain: () => undefined,
      onClose: () => {
        open = false;
        farewell?.cancel();
      },
    });
    let answer: FrameRecord;
    try {
      const answered = await this.#context.onControl(payload);
      checkControlSize(answered);
      answer = { kind: 'controlAnswer', payload: answered };
    } catch (thrown) {
      answer = { kind: 'failure', requestId: 0, error: toFlotillaError(thrown).body };
    }
    if (!open) return;
    channel.send(encodeFrame([answer]));
    // The caller may be gone without its link knowing.
    const { scheduler, greetingTimeoutMs } = this.#context;
    farewell = scheduler.after(greetingTimeoutMs, () => channel.close());
  }
}

/** For links that come before the node knows who it is. */
export function notReady(): FlotillaError {
  return new FlotillaError('NODE_NOT_READY', 'the node has not joined a cluster yet');
}
