/** A gRPC server that does with a stream of calls what a test says. */
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import {
  type CallBatch,
  decodeCallBatch,
  EXCHANGE_PATH,
  encodeAnswerBatch,
  type StreamedAnswer,
  type StreamedCall,
} from '../../../src/shared/codec/call-stream-messages.js';
import { NO_BYTES, ProtobufWriter } from '../../../src/shared/codec/protobuf-wire.js';
import { API } from '../../../src/shared/codec/public-api.js';

const asIs = (bytes: Buffer): Buffer => bytes;
const buffers = {
  requestSerialize: asIs,
  requestDeserialize: asIs,
  responseSerialize: asIs,
  responseDeserialize: asIs,
};

/** One stream, and all that has come over it. */
export class ScriptedStream {
  readonly batches: CallBatch[] = [];
  isCancelled = false;
  readonly grpc: ServerDuplexStream<Buffer, Buffer>;

  constructor(grpc: ServerDuplexStream<Buffer, Buffer>, onCall: OnCall) {
    this.grpc = grpc;
    grpc.on('data', (message: Buffer) => {
      const batch = decodeCallBatch(message);
      this.batches.push(batch);
      for (const call of batch.calls) onCall(call, this);
    });
    grpc.on('error', () => undefined);
    grpc.once('cancelled', () => {
      this.isCancelled = true;
    });
  }

  get calls(): StreamedCall[] {
    return this.batches.flatMap((batch) => batch.calls);
  }

  get cancelled(): number[] {
    return this.batches.flatMap((batch) => batch.cancelled);
  }

  answer(...answers: (Partial<StreamedAnswer> & { readonly id: number })[]): void {
    const defaults = { response: NO_BYTES, more: false, code: 0, status: NO_BYTES };
    const filled = answers.map((answer) => ({ ...defaults, ...answer }));
    this.grpc.write(encodeAnswerBatch({ answers: filled, closing: false }));
  }

  announceEnd(): void {
    this.grpc.write(encodeAnswerBatch({ answers: [], closing: true }));
  }
}

export type OnCall = (call: StreamedCall, stream: ScriptedStream) => void;

/** The answer to a count. */
export const countOf = (count: number): Buffer => new ProtobufWriter().uint(1, count).finish();

export interface ScriptedNode extends AsyncDisposable {
  readonly address: string;
  readonly streams: ScriptedStream[];
  /** Unary calls by path. */
  readonly unary: string[];
}

export interface Script {
  /** @default answers with a count of 7 */
  readonly onCall?: OnCall;
  /** Whether it knows the stream at all. @default true */
  readonly knowsStreams?: boolean;
  /** "host:port" @default a free one */
  readonly address?: string;
}

export async function startScriptedNode(script: Script = {}): Promise<ScriptedNode> {
  const streams: ScriptedStream[] = [];
  const unary: string[] = [];
  const { knowsStreams = true, address = '127.0.0.1:0' } = script;
  const onCall: OnCall =
    script.onCall ?? (({ id }, stream) => stream.answer({ id, response: countOf(7) }));
  const server = new Server();
  const counting = { path: API.count.path, requestStream: false, responseStream: false };
  server.addService(
    { Count: { ...counting, ...buffers } },
    {
      Count: (_call: unknown, callback: (error: null, answer: Buffer) => void) => {
        unary.push(API.count.path);
        callback(null, countOf(1));
      },
    },
  );
  if (knowsStreams) {
    server.addService(
      { Exchange: { path: EXCHANGE_PATH, requestStream: true, responseStream: true, ...buffers } },
      {
        Exchange: (grpc: ServerDuplexStream<Buffer, Buffer>) => {
          streams.push(new ScriptedStream(grpc, onCall));
        },
      },
    );
  }
  const credentials = ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    streams,
    unary,
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}
