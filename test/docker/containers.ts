/** Three nodes of the image, each in a container of its own, on a network of their own. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import { waitUntil } from '../support/wait-until.js';

const run = promisify(execFile);

const NODE_IDS = [1, 2, 3] as const;
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

async function docker(...args: readonly string[]): Promise<string> {
  const { stdout } = await run('docker', args, { maxBuffer: OUTPUT_BYTES_MAX });
  return stdout.trim();
}

/** Whether a Docker engine answers on this machine. */
export function hasDockerEngine(): boolean {
  try {
    execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** Builds the image from the working tree; BASE_IMAGE and RUN_IMAGE replace the default bases. */
export async function buildImage(tag: string): Promise<void> {
  const bases = ['BASE_IMAGE', 'RUN_IMAGE'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : ['--build-arg', `${name}=${value}`];
  });
  await docker('build', '--tag', tag, ...bases, '.');
}

export class Containers {
  readonly #image: string;
  readonly #network: string;

  constructor(image: string) {
    this.#image = image;
    this.#network = `flotilla-test-${process.pid}`;
  }

  /** Starts all nodes; the first one makes the cluster. Resolves when all are healthy. */
  async start(): Promise<void> {
    await docker('network', 'create', this.#network);
    for (const nodeId of NODE_IDS) await this.#create(nodeId);
    await this.healthy(...NODE_IDS);
  }

  /** host:port at which each running node serves clients. */
  async clientAddresses(): Promise<string[]> {
    const running = await docker('ps', '--quiet', '--filter', `network=${this.#network}`);
    const ports = running.split('\n').map((id) => docker('port', id, '7700/tcp'));
    return (await Promise.all(ports)).map((lines) => lines.split('\n')[0] ?? '');
  }

  /** Kills the process of a node: no orderly stop. */
  async kill(nodeId: number): Promise<void> {
    await docker('kill', '--signal', 'KILL', this.#nameOf(nodeId));
  }

  /** Stops a node as an orchestrator does, and tells its exit code. */
  async stop(nodeId: number): Promise<number> {
    await docker('stop', '--time', '30', this.#nameOf(nodeId));
    return Number(await docker('inspect', '--format', '{{.State.ExitCode}}', this.#nameOf(nodeId)));
  }

  /** Starts a node again that was stopped or killed, on the data that it had. */
  async startAgain(nodeId: number): Promise<void> {
    await docker('start', this.#nameOf(nodeId));
    await this.healthy(nodeId);
  }

  /** Waits for what the image's HEALTHCHECK finds. */
  async healthy(...nodeIds: readonly number[]): Promise<void> {
    for (const nodeId of nodeIds) {
      const format = '{{.State.Health.Status}}';
      await waitUntil(`node ${nodeId} is healthy`, async () => {
        const status = await docker('inspect', '--format', format, this.#nameOf(nodeId));
        return status === 'healthy';
      });
    }
  }

  /** What a command answers inside a node's container. */
  async execute(nodeId: number, ...command: readonly string[]): Promise<string> {
    return docker('exec', this.#nameOf(nodeId), ...command);
  }

  /** The last lines of all nodes' logs, for a failed test. */
  async logs(): Promise<string> {
    const all = NODE_IDS.map((nodeId) =>
      docker('logs', '--tail', '50', this.#nameOf(nodeId)).catch(String),
    );
    return (await Promise.all(all)).join('\n');
  }

  async remove(): Promise<void> {
    for (const nodeId of NODE_IDS) {
      await docker('rm', '--force', '--volumes', this.#nameOf(nodeId)).catch(() => undefined);
    }
    await docker('network', 'rm', this.#network).catch(() => undefined);
  }

  #nameOf(nodeId: number): string {
    return `${this.#network}-${nodeId}`;
  }

  async #create(nodeId: number): Promise<void> {
    const host = (id: number): string => `node-${id}`;
    const settings = {
      NODE__ID: String(nodeId),
      CLUSTER__NODES: NODE_IDS.map((id) => `${id}=${host(id)}:7701`).join(','),
      CLUSTER__BOOTSTRAP: String(nodeId === 1),
      LISTEN__CLIENT: '0.0.0.0:7700',
      LISTEN__PEER: '0.0.0.0:7701',
      LISTEN__HTTP: '0.0.0.0:7702',
      ADVERTISE__CLIENT: `${host(nodeId)}:7700`,
      ADVERTISE__HTTP: `${host(nodeId)}:7702`,
    };
    const environment = Object.entries(settings).flatMap(([name, value]) => [
      '--env',
      `FLOTILLA_${name}=${value}`,
    ]);
    const name = ['--name', this.#nameOf(nodeId), '--network-alias', host(nodeId)];
    const network = ['--network', this.#network, '--publish', '127.0.0.1::7700'];
    await docker('run', '--detach', ...name, ...network, ...environment, this.#image);
  }
}
