/**
 * Links between nodes as bidirectional gRPC streams: one method, raw bytes, no message schema.
 *
 * Each dial makes a channel of its own, so that a peer that came back is reached at once instead
 * of after the backoff that grpc-js shares between calls. The channel closes with its link.
 */
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  credentials,
  type handleBidiStreamingCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  status,
} from '@grpc/grpc-js';
import type {
  Connection,
  ConnectionHandlers,
  Listener,
  Network,
  Scheduler,
} from '../shared/environment.js';
import { channelOptions, serverOptions } from '../shared/grpc/channel-options.js';
import { connectionFault } from '../shared/grpc/connection-fault.js';
import { forceClose } from '../shared/grpc/force-close.js';
import { checkFrameSize } from './frame-size.js';
import { ConnectionRefusedError } from './link-end.js';

/** Above this many bytes not yet handed to the socket, `send` answers false. */
const HIGH_WATER_BYTES = 1024 * 1024;
/** Below this many, `onDrain` is called. */
const LOW_WATER_BYTES = 256 * 1024;
/** How long a closed link may go on delivering what was sent before. */
const CLOSE_GRACE_MS = 1_000;

const LINK_METHOD = '/flotilla.internal.v1.Peer/Link';

/**
 * The dialling side's last frame, before it closes. Without it the accepting side would take a
 * process that died for one that closed: grpc-js ends a server stream in the same way for both.
 * The other direction has the trailing status instead. Frames begin with their format, never 0.
 */
const FAREWELL = Buffer.from('\0farewell');

const asBuffer = (frame: Uint8Array): Buffer =>
  Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
// Not a Buffer: `slice` of one is a view, of a Uint8Array a copy; receivers know only the latter.
const asFrame = (bytes: Buffer): Uint8Array =>
  new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

const PEER_SERVICE = {
  link: {
    path: LINK_METHOD,
    requestStream: true,
    responseStream: true,
    requestSerialize: asBuffer,
    requestDeserialize: asFrame,
    responseSerialize: asBuffer,
    responseDeserialize: asFrame,
  },
} as const;

export interface GrpcNetworkOptions {
  readonly scheduler: Scheduler;
  /** What listeners prove and ask for. @default no TLS */
  readonly serverCredentials?: ServerCredentials;
  /** What dialled links prove and ask for. @default no TLS */
  readonly channelCredentials?: ChannelCredentials;
}

type ServerStream = ServerDuplexStream<Uint8Array, Uint8Array>;
type ClientStream = ClientDuplexStream<Uint8Array, Uint8Array>;

export class GrpcNetwork implements Network {
  readonly #scheduler: Scheduler;
  readonly #serverCredentials: ServerCredentials;
  readonly #channelCredentials: ChannelCredentials;

  constructor(options: GrpcNetworkOptions) {
    this.#scheduler = options.scheduler;
    this.#serverCredentials = options.serverCredentials ?? ServerCredentials.createInsecure();
    this.#channelCredentials = options.channelCredentials ?? credentials.createInsecure();
  }

  async listen(address: string, onConnection: (connection: Connection) => void): Promise<Listener> {
    const server = new Server(serverOptions());
    const link: handleBidiStreamingCall<Uint8Array, Uint8Array> = (stream) => {
      // Headers at once: they are what tells the dialling side that the link stands.
      stream.sendMetadata(new Metadata());
      onConnection(new GrpcConnection(serverSide(stream), this.#scheduler));
    };
    server.addService(PEER_SERVICE, { link });
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, this.#serverCredentials, (error, bound) => {
        if (error === null) return resolve(bound);
        server.forceShutdown();
        reject(error);
      });
    });
    const bound = `${hostOf(address)}:${port}`;
    return {
      address: bound,
      close: async () => forceClose(server, bound),
    };
  }

  async dial(address: string, options: { timeoutMs: number }): Promise<Connection> {
    const client = new Client(
      address,
      this.#channelCredentials,
      channelOptions({ ownConnection: true }),
    );
    const stream = client.makeBidiStreamRequest(LINK_METHOD, asBuffer, asFrame, new Metadata());
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void => {
        timer.cancel();
        stream.off('error', fail).cancel();
        client.close();
        const details = 'details' in error ? String(error.details) : error.message;
        const message = `cannot reach ${address}: ${connectionFault(details) ?? error.message}`;
        const isRefused = error.message.includes('ECONNREFUSED');
        const options = { cause: error };
        reject(
          isRefused ? new ConnectionRefusedError(message, options) : new Error(message, options),
        );
      };
      const timer = this.#scheduler.after(options.timeoutMs, () =>
        fail(new Error(`no answer within ${options.timeoutMs} ms`)),
      );
      // Stays attached: an error event without a listener would end the process.
      stream.once('error', fail).on('error', () => undefined);
      stream.once('metadata', () => {
        timer.cancel();
        stream.off('error', fail);
        resolve(new GrpcConnection(clientSide(stream, client, address), this.#scheduler));
      });
    });
  }
}

/** What differs between the two ends of a stream. */
interface StreamSide {
  readonly stream: ServerStream | ClientStream;
  readonly remoteAddress: string;
  /** Sets who gets the frames. */
  receive(onFrame: (frame: Uint8Array) => void): void;
  /** Tells the other side that the end which follows is meant. */
  announceEnd(): void;
  /** Calls back once, when the stream has ended for whatever reason. */
  watchEnd(ended: (error?: Error) => void): void;
  /** Gives the stream's resources back, dropping what was not sent. */
  abandon(): void;
}

function serverSide(stream: ServerStream): StreamSide {
  let isFarewellSaid = false;
  return {
    stream,
    remoteAddress: stream.getPeer(),
    receive: (onFrame) => {
      stream.on('data', (frame: Uint8Array) => {
        if (FAREWELL.equals(frame)) isFarewellSaid = true;
        else onFrame(frame);
      });
    },
    // The trailing status does.
    announceEnd: () => undefined,
    watchEnd: (ended) => {
      const end = (): void => ended(isFarewellSaid ? undefined : new Error('the link was reset'));
      stream.once('cancelled', end);
      stream.once('error', ended);
      stream.once('end', end);
    },
    // grpc-js has no way to reset a server stream. Where its graceful end cannot be delivered,
    // keepalive ends the connection.
    abandon: () => undefined,
  };
}

function clientSide(stream: ClientStream, client: Client, address: string): StreamSide {
  return {
    stream,
    remoteAddress: address,
    receive: (onFrame) => void stream.on('data', onFrame),
    announceEnd: () => void stream.write(FAREWELL),
    watchEnd: (ended) => {
      stream.once('status', ({ code, details }) => {
        client.close();
        if (code !== status.OK) ended(new Error(details));
      });
      // Comes after the last frame was read, unlike the status.
      stream.once('end', () => ended());
    },
    abandon: () => {
      stream.cancel();
      client.close();
    },
  };
}

class GrpcConnection implements Connection {
  readonly remoteAddress: string;
  readonly #side: StreamSide;
  readonly #scheduler: Scheduler;
  #handlers: ConnectionHandlers | undefined;
  #unsentBytes = 0;
  #full = false;
  #closed = false;
  /** How the link ended, while nobody was told yet. */
  #end: { readonly error: Error | undefined } | undefined;

  constructor(side: StreamSide, scheduler: Scheduler) {
    this.#side = side;
    this.#scheduler = scheduler;
    this.remoteAddress = side.remoteAddress;
    side.watchEnd((error) => this.#finish(error));
  }

  send(frame: Uint8Array): boolean {
    checkFrameSize(frame.length);
    if (this.#closed) return false;
    this.#unsentBytes += frame.length;
    this.#side.stream.write(frame, (error?: Error | null) => this.#sent(frame, error));
    if (this.#unsentBytes > HIGH_WATER_BYTES) this.#full = true;
    return !this.#full;
  }

  start(handlers: ConnectionHandlers): void {
    this.#handlers = handlers;
    this.#side.receive((frame) => {
      if (!this.#closed) handlers.onFrame(frame);
    });
    if (this.#end !== undefined) this.#tellEnd();
  }

  close(): void {
    if (this.#closed) return;
    this.#side.announceEnd();
    this.#finish(undefined);
    this.#scheduler.after(CLOSE_GRACE_MS, () => this.#side.abandon());
  }

  /** grpc-js calls back when its own copy of the frame, behind a message header, is on its way. */
  #sent(frame: Uint8Array, error: Error | null | undefined): void {
    this.#unsentBytes -= frame.length;
    if (!error && !this.#closed) this.#handlers?.onSent?.(frame);
    if (!this.#full || this.#unsentBytes > LOW_WATER_BYTES) return;
    this.#full = false;
    if (!this.#closed) this.#handlers?.onDrain();
  }

  #finish(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#end = { error };
    this.#side.stream.end();
    if (this.#handlers !== undefined) this.#tellEnd();
  }

  #tellEnd(): void {
    this.#scheduler.soon(() => {
      const end = this.#end;
      this.#end = undefined;
      if (end !== undefined) this.#handlers?.onClose(end.error);
    });
  }
}

function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(':'));
}
