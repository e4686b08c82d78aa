/**
 * Opens links to one peer, for the side of the pair that dials: dial, greet, hand over; again with
 * growing pauses until it succeeds, and at once after a link that had held breaks.
 */
import type {
  Clock,
  Connection,
  Network,
  Random,
  Scheduler,
  Timer,
} from '../shared/environment.js';
import { FlotillaError, toFlotillaError } from '../shared/errors.js';
import { encodeFrame, type FrameRecord, type Hello } from './frame.js';
import { makeHello, refuse } from './greeting.js';
import { RecordChannel } from './record-channel.js';
import type { TransportSettings } from './settings.js';
import type { PeerAddress, PeerIdentity } from './transport.js';

/** What a transport takes of the environment. */
export interface TransportEnvironment {
  readonly clock: Clock;
  readonly scheduler: Scheduler;
  readonly random: Random;
  readonly network: Network;
}

export interface DialerEvents {
  /** Why the peer's greeting is not acceptable; `undefined` where it is. */
  check(hello: Hello): FlotillaError | undefined;
  /** The link is open and both sides accepted; whoever takes it hands the channel over. */
  onGreeted(channel: RecordChannel, hello: Hello): void;
  /** An attempt failed: refused connection, no answer, a link that broke while greeting. */
  onFailed(error: Error): void;
  /** One of the sides does not accept the other. */
  onRefused(error: FlotillaError): void;
}

export class Dialer {
  readonly #environment: TransportEnvironment;
  readonly #settings: TransportSettings;
  readonly #self: PeerIdentity;
  readonly #peer: PeerAddress;
  readonly #events: DialerEvents;
  #retry: Timer | undefined;
  #greeting: RecordChannel | undefined;
  #stopped = false;
  /** The next pause; starts over once a link has held. */
  #pauseMs = 0;
  #linkedAtMs = 0;

  constructor(
    environment: TransportEnvironment,
    settings: TransportSettings,
    self: PeerIdentity,
    peer: PeerAddress,
    events: DialerEvents,
  ) {
    this.#environment = environment;
    this.#settings = settings;
    this.#self = self;
    this.#peer = peer;
    this.#events = events;
  }

  dial(): void {
    if (this.#stopped) return;
    const { dialTimeoutMs } = this.#settings;
    this.#environment.network.dial(this.#peer.address, { timeoutMs: dialTimeoutMs }).then(
      (connection) => {
        if (this.#stopped) connection.close();
        else this.#greet(connection);
      },
      (error: unknown) => this.#failed(toError(error)),
    );
  }

  /** The link that was handed over broke. Dials at once if it had held, else after a pause. */
  linkBroke(): void {
    const heldMs = this.#environment.clock.monotonicMs() - this.#linkedAtMs;
    if (heldMs < this.#settings.backoffMaxMs) {
      this.#dialLater(this.#settings.backoffMinMs, this.#settings.backoffMaxMs);
      return;
    }
    this.#pauseMs = 0;
    this.dial();
  }

  /** Idempotent. A link that was handed over is not closed. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
    this.#greeting?.close();
  }

  #greet(connection: Connection): void {
    let settled = false;
    const settle = (): boolean => {
      if (settled) return false;
      settled = true;
      timer.cancel();
      this.#greeting = undefined;
      return true;
    };
    const channel = new RecordChannel(connection, {
      onRecord: (record) => {
        if (settle()) this.#onAnswer(channel, record);
      },
      onDrain: () => undefined,
      onClose: (error) => {
        if (settle()) this.#failed(error ?? new Error('the link closed during the greeting'));
      },
    });
    const timer = this.#environment.scheduler.after(this.#settings.greetingTimeoutMs, () =>
      channel.close(new Error('no greeting came')),
    );
    this.#greeting = channel;
    const wallMs = this.#environment.clock.wallMs();
    channel.send(
      encodeFrame([{ kind: 'hello', hello: makeHello(this.#self, this.#peer, wallMs) }]),
    );
  }

  #onAnswer(channel: RecordChannel, record: FrameRecord): void {
    if (this.#stopped) {
      channel.close();
    } else if (record.kind === 'hello') {
      const refusal = this.#events.check(record.hello);
      if (refusal === undefined) {
        this.#linkedAtMs = this.#environment.clock.monotonicMs();
        this.#events.onGreeted(channel, record.hello);
        return;
      }
      refuse(this.#environment.scheduler, channel, refusal);
      this.#refused(refusal);
    } else if (record.kind === 'refuse') {
      channel.close();
      this.#refused(FlotillaError.fromBody(record.error));
    } else {
      channel.close();
      this.#failed(new Error(`a ${record.kind} record came instead of a greeting`));
    }
  }

  #failed(error: Error): void {
    if (this.#stopped) return;
    this.#dialLater(this.#settings.backoffMinMs, this.#settings.backoffMaxMs);
    this.#events.onFailed(error);
  }

  #refused(error: FlotillaError): void {
    // A node that is not ready yet will be soon; the other reasons need somebody to act.
    if (error.reason === 'NODE_NOT_READY') {
      this.#failed(error);
      return;
    }
    this.#dialLater(this.#settings.refusedBackoffMinMs, this.#settings.refusedBackoffMaxMs);
    this.#events.onRefused(error);
  }

  #dialLater(minMs: number, maxMs: number): void {
    if (this.#stopped) return;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, minMs), maxMs);
    // Between half and all of the pause, so that the nodes of a cluster do not dial in step.
    const delayMs = this.#pauseMs * (0.5 + this.#environment.random.next() / 2);
    this.#retry?.cancel();
    this.#retry = this.#environment.scheduler.after(delayMs, () => this.dial());
  }
}

function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : toFlotillaError(thrown);
}
