/**
 * A wide HTTP/2 receive window for gRPC servers.
 *
 * grpc-js lets a client choose its window, but its servers stay at HTTP/2's 64 KiB: throughput
 * from client to server is then 64 KiB per round trip, 6 MB/s at 10 ms. This file sets both
 * windows (stream and connection) of the servers that carry our marker, and of no others: the
 * wrapped functions of `node:http2` pass every other call through unchanged.
 *
 * It turns itself off for a grpc-js that announces a wide window by itself.
 */
import http2, { type ServerHttp2Session } from 'node:http2';

/** Bytes that a server takes ahead, per stream and per connection. Bounds the memory. */
export const FLOW_CONTROL_WINDOW_BYTES = 8 * 1024 * 1024;

/**
 * What a client takes ahead. `node:http2` reads nothing while a write of its own waits for the
 * kernel: two ends that both wait would wait for ever. So what may be on the way to a client has to
 * fit into the buffers of the two kernels, of which a new connection has some 150 KB. Then the
 * server's write ends, it reads, and the client's write ends too.
 */
export const CLIENT_WINDOW_BYTES = 128 * 1024;

/**
 * `grpc-node.max_session_memory` for servers that want the window. grpc-js hands the value on to
 * `node:http2` (where it means "no limit"), which is how those servers are recognised.
 */
export const WIDE_WINDOW_MARKER = Number.MAX_SAFE_INTEGER - 1;

const INSTALLED = Symbol.for('flotilla.http2-window');

interface ServerOptions {
  readonly maxSessionMemory?: number;
  readonly settings?: { readonly initialWindowSize?: number };
}

interface SessionSource {
  on(event: 'session', listener: (session: ServerHttp2Session) => void): unknown;
}

type CreateServer = (options?: unknown, ...rest: readonly unknown[]) => SessionSource;

/** Wraps the two server constructors of `node:http2`. Idempotent, across copies of this module. */
export function installWideServerWindow(): void {
  if (INSTALLED in http2) return;
  Object.defineProperty(http2, INSTALLED, { value: true });
  for (const name of ['createServer', 'createSecureServer'] as const) {
    Object.defineProperty(http2, name, {
      value: widened(http2[name] as CreateServer),
      configurable: true,
      enumerable: true,
      writable: true,
    });
  }
}

/** Whether grpc-js left the window of the server that it is about to make to us. */
export function needsWideWindow(options: unknown): options is ServerOptions {
  if (typeof options !== 'object' || options === null) return false;
  const { maxSessionMemory, settings } = options as ServerOptions;
  if (maxSessionMemory !== WIDE_WINDOW_MARKER) return false;
  return (settings?.initialWindowSize ?? 0) < FLOW_CONTROL_WINDOW_BYTES;
}

function widened(create: CreateServer): CreateServer {
  return (options, ...rest) => {
    if (!needsWideWindow(options)) return create(options, ...rest);
    const settings = { ...options.settings, initialWindowSize: FLOW_CONTROL_WINDOW_BYTES };
    const server = create({ ...options, settings }, ...rest);
    server.on('session', (session) => session.setLocalWindowSize(FLOW_CONTROL_WINDOW_BYTES));
    return server;
  };
}
