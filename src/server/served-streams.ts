/** All streams of calls of a node: opened by clients, drained when the node stops. */
import type { Server } from '@grpc/grpc-js';
import { EXCHANGE_PATH } from '../shared/codec/call-stream-messages.js';
import { type GrpcStream, ServedStream, type ServedStreamContext } from './served-stream.js';

const asIs = (bytes: Buffer): Buffer => bytes;

const DEFINITION = {
  Exchange: {
    path: EXCHANGE_PATH,
    requestStream: true,
    responseStream: true,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  },
} as const;

export class ServedStreams {
  readonly #context: ServedStreamContext;
  readonly #streams = new Set<ServedStream>();
  #isDraining = false;

  constructor(context: ServedStreamContext) {
    this.#context = context;
  }

  addTo(server: Server): void {
    server.addService(DEFINITION, { Exchange: (stream: GrpcStream) => this.#serve(stream) });
  }

  /** Lets all streams end as their calls are answered. */
  drain(): void {
    this.#isDraining = true;
    for (const stream of this.#streams) stream.drain();
  }

  #serve(grpcStream: GrpcStream): void {
    const stream = new ServedStream(grpcStream, this.#context, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    if (this.#isDraining) stream.drain();
  }
}
