/** Whether anybody takes connections at an address, before a channel is opened to it. */
import net from 'node:net';
import { onAbort } from './abort.js';

/** How long an address may take to accept a connection. */
const PROBE_TIMEOUT_MS = 1_000;

const PARTS = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/;

/**
 * Connects, and hangs up. A channel of grpc-js that is closed while it connects goes on with that,
 * for minutes where packets are dropped, and keeps the process alive; this gives up after a second,
 * and at once when `signal` is aborted.
 */
export function isListening(address: string, signal: AbortSignal): Promise<boolean> {
  const [, v6, host = v6, port] = PARTS.exec(address) ?? [];
  const isAddress = host !== undefined && Number(port) < 65_536;
  if (!isAddress || signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: Number(port) });
    const finish = (isTaken: boolean): void => {
      clearTimeout(timer);
      endWait();
      socket.destroy();
      resolve(isTaken);
    };
    const timer = setTimeout(() => finish(false), PROBE_TIMEOUT_MS).unref();
    const endWait = onAbort(signal, () => finish(false));
    socket.unref();
    socket.once('connect', () => finish(true));
    socket.on('error', () => finish(false));
  });
}
