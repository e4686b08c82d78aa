import type { Server } from '@grpc/grpc-js';

/**
 * Stops a server and resets its connections. `boundAddress` is host:port with the port really
 * bound.
 *
 * `forceShutdown` alone forgets the connections of a server without channelz (grpc-js 1.14);
 * draining without a grace period resets them.
 */
export function forceClose(server: Server, boundAddress: string): void {
  server.drain(boundAddress, 0);
  server.forceShutdown();
}
