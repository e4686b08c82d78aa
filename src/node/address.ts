/** `host:port` as text and in parts. IPv6 hosts stand in brackets. */

export interface HostPort {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

/** The parts of `host:port`, or `undefined` where it is malformed. */
export function parseAddress(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535) return undefined;
  return { host, port };
}

export function formatAddress({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Whether only processes of the same machine can reach the host. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/** Whether the host stands for all interfaces, so that nobody can dial it. */
export function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::';
}

/** The advertised address, with the port that was really bound where it says 0. */
export function withPort(advertised: string, bound: string): string {
  const [port] = bound.split(':').slice(-1);
  return advertised.endsWith(':0') ? `${advertised.slice(0, -1)}${port}` : advertised;
}
