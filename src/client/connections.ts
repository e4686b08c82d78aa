/** One gRPC channel per address; calls go round robin, and fail over to the next. */
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ApiMethod } from '../shared/codec/public-api.js';
import { FlotillaError } from '../shared/errors.js';
import { channelOptions } from '../shared/grpc/channel-options.js';
import { fromServiceError } from './errors.js';

export interface AttemptOptions {
  /** Wall-clock milliseconds. */
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether the call can change anything; decides what a lost answer means. */
  readonly writes: boolean;
  /** @default none */
  readonly headers?: Metadata;
}

export class Connections {
  readonly #clients: readonly Client[];
  #next = 0;
  #closed = false;

  /** `addresses` are "host:port". Connects when the first call needs it. */
  constructor(addresses: readonly string[]) {
    if (addresses.length === 0) throw new TypeError('a client needs at least one address');
    this.#clients = addresses.map(
      (address) => new Client(address, credentials.createInsecure(), channelOptions()),
    );
  }

  get count(): number {
    return this.#clients.length;
  }

  /** Sends the call once, to the next address. Rejects with `FlotillaError`. */
  attempt<Request, Response>(
    method: ApiMethod<Request, Response>,
    request: Request,
    { deadlineMs, signal, writes, headers }: AttemptOptions,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw new FlotillaError('CANCELLED', 'the client is closed');
      if (signal?.aborted) throw new FlotillaError('CANCELLED', 'the caller gave up');
      const cancel = (): void => call.cancel();
      const call = this.#take().makeUnaryRequest(
        method.path,
        method.encodeRequest,
        method.decodeResponse,
        request,
        headers ?? new Metadata(),
        { deadline: deadlineMs },
        (error, response) => {
          signal?.removeEventListener('abort', cancel);
          if (error !== null) reject(fromServiceError(error, writes));
          else resolve(response as Response);
        },
      );
      signal?.addEventListener('abort', cancel, { once: true });
    });
  }

  /** Closes all channels. Calls under way end with CANCELLED or an answer. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const client of this.#clients) client.close();
  }

  #take(): Client {
    const client = this.#clients[this.#next % this.#clients.length];
    this.#next = (this.#next + 1) % this.#clients.length;
    return client as Client;
  }
}
