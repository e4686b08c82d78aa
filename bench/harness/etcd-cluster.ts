/**
 * Three etcd processes on loopback, for the same work in the same run: what a reader knows. It
 * comes with Debian as `etcd-server`; where it is absent, benchmarks say so and go without.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import { freePorts } from '../../src/cli/demo/free-ports.js';
import { waitUntil } from '../../test/support/wait-until.js';

const MEMBERS = 3;
const CALL_TIMEOUT_MS = 10_000;

/** The version that is installed; undefined for none. */
export function etcdVersion(): string | undefined {
  const { stdout, status } = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  return status === 0 ? /etcd Version: (\S+)/.exec(stdout)?.[1] : undefined;
}

/** Default heartbeat (100 ms) and election timeout (1 s); every write is synced, as by default. */
export class EtcdCluster {
  readonly #directory = mkdtempSync(join(tmpdir(), 'etcd-bench-'));
  readonly #members: ChildProcess[] = [];
  readonly #clients: Client[] = [];
  #calls = 0;

  /** Resolves when all members answer linearizable reads. */
  static async start(): Promise<EtcdCluster> {
    const cluster = new EtcdCluster();
    const ports = await freePorts(2 * MEMBERS);
    const url = (at: number): string => `http://127.0.0.1:${ports[at]}`;
    const members = Array.from({ length: MEMBERS }, (_, at) => `m${at}=${url(MEMBERS + at)}`);
    for (let at = 0; at < MEMBERS; at++) {
      cluster.#startMember(`m${at}`, url(at), url(MEMBERS + at), members.join(','));
      cluster.#clients.push(new Client(`127.0.0.1:${ports[at]}`, credentials.createInsecure()));
    }
    for (let member = 0; member < MEMBERS; member++) {
      await waitUntil('etcd answers', () =>
        cluster.get('ready').then(
          () => true,
          () => false,
        ),
      );
    }
    return cluster;
  }

  /** Resolves when the value is on a quorum's disks. */
  put(key: string, value: Uint8Array): Promise<void> {
    return this.#call('Put', Buffer.concat([field(1, Buffer.from(key)), field(2, value)]));
  }

  /** A linearizable read: ReadIndex, as by default. */
  get(key: string): Promise<void> {
    return this.#call('Range', field(1, Buffer.from(key)));
  }

  async destroy(): Promise<void> {
    for (const client of this.#clients) client.close();
    await Promise.all(
      this.#members.map((member) => {
        const ended = new Promise((resolve) => member.once('exit', resolve));
        member.kill('SIGTERM');
        return ended;
      }),
    );
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #startMember(name: string, clientUrl: string, peerUrl: string, members: string): void {
    const options = {
      name,
      'data-dir': join(this.#directory, name),
      'listen-client-urls': clientUrl,
      'advertise-client-urls': clientUrl,
      'listen-peer-urls': peerUrl,
      'initial-advertise-peer-urls': peerUrl,
      'initial-cluster': members,
      'log-level': 'error',
    };
    const args = Object.entries(options).map(([option, value]) => `--${option}=${value}`);
    this.#members.push(spawn('etcd', args, { stdio: 'ignore' }));
  }

  /** Calls go to the members in turn, as those of a client that knows all of them. */
  #call(method: string, request: Buffer): Promise<void> {
    const client = this.#clients[this.#calls++ % this.#clients.length] as Client;
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        `/etcdserverpb.KV/${method}`,
        (bytes: Buffer) => bytes,
        () => undefined,
        request,
        { deadline: Date.now() + CALL_TIMEOUT_MS },
        (error) => (error === null ? resolve() : reject(error)),
      );
    });
  }
}

/** A length-delimited protobuf field of less than 128 bytes with a number below 16. */
function field(number: number, bytes: Uint8Array): Buffer {
  if (bytes.length >= 128) throw new RangeError(`${bytes.length} bytes take a longer length`);
  return Buffer.concat([Uint8Array.of((number << 3) | 2, bytes.length), bytes]);
}
