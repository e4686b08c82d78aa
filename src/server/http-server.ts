/**
 * The HTTP endpoint for operators: /metrics for Prometheus, /healthz for "is the process alive",
 * /readyz for "may it get traffic". Errors are problem+json (RFC 9457).
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import { type Environment, sleep } from '../shared/environment.js';
import type { Logger } from '../shared/logger.js';
import { Listener } from './listener.js';

export interface Readiness {
  readonly ready: boolean;
  /** What is missing, a sentence each: "shard 3 has no leader". Empty when ready. */
  readonly missing: readonly string[];
  /** Replicas of this node that do not take part, a sentence each. @default none */
  readonly faults?: readonly string[];
}

export interface HttpServerOptions {
  /** "host:port"; port 0 takes a free one. */
  readonly address: string;
  readonly registry: Registry;
  readonly readiness: () => Readiness | Promise<Readiness>;
  readonly scheduler: Environment['scheduler'];
  readonly logger: Logger;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** How long `close` waits for requests in flight. */
const DRAIN_LIMIT_MS = 1_000;

export class HttpServer {
  readonly #listener: Listener;
  readonly #scheduler: Environment['scheduler'];
  #closed: Promise<void> | undefined;

  private constructor(listener: Listener, scheduler: Environment['scheduler']) {
    this.#listener = listener;
    this.#scheduler = scheduler;
  }

  static async start(options: HttpServerOptions): Promise<HttpServer> {
    const server = createServer((request, response) => {
      void respond(options, request, response);
    });
    return new HttpServer(await Listener.of(server, options.address), options.scheduler);
  }

  /** "host:port" as really bound. */
  get address(): string {
    return this.#listener.address;
  }

  /** Accepts no more requests, waits up to `limitMs` for those in flight, then cuts. Idempotent. */
  close(limitMs: number = DRAIN_LIMIT_MS): Promise<void> {
    this.#closed ??= this.#drain(limitMs);
    return this.#closed;
  }

  async #drain(limitMs: number): Promise<void> {
    const giveUp = new AbortController();
    const stopped = this.#listener.stop();
    await Promise.race([stopped, sleep(this.#scheduler, limitMs, giveUp.signal)]);
    giveUp.abort();
    this.#listener.cut();
    await stopped;
  }
}

async function respond(
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let answer: Answer;
  try {
    answer = await answerTo(options, request);
  } catch (error) {
    options.logger.error({ error, url: request.url }, 'an HTTP request failed');
    answer = problem(500, 'Internal error', 'See the log of the node.');
  }
  response.writeHead(answer.status, {
    'content-type': answer.contentType,
    'content-length': Buffer.byteLength(answer.body),
    ...(answer.status === 405 && { allow: 'GET, HEAD' }),
  });
  response.end(request.method === 'HEAD' ? undefined : answer.body);
}

async function answerTo(options: HttpServerOptions, request: IncomingMessage): Promise<Answer> {
  const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
  const route = ROUTES[path];
  if (route === undefined) {
    const known = Object.keys(ROUTES).join(', ');
    return problem(404, 'Not found', `There is no such page; there are ${known}.`);
  }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return problem(405, 'Method not allowed', 'These pages can only be read.');
  }
  return route(options);
}

const ROUTES: Record<string, (options: HttpServerOptions) => Promise<Answer>> = {
  '/healthz': async () => json(200, { status: 'ok' }),
  '/readyz': async ({ readiness }) => {
    const { ready, missing, faults = [] } = await readiness();
    return json(ready ? 200 : 503, { status: ready ? 'ready' : 'not ready', missing, faults });
  },
  '/metrics': async ({ registry }) => ({
    status: 200,
    contentType: registry.contentType,
    body: await registry.metrics(),
  }),
};

function json(status: number, body: object): Answer {
  return { status, contentType: 'application/json', body: JSON.stringify(body) };
}

function problem(status: number, title: string, detail: string): Answer {
  const body = JSON.stringify({ type: 'about:blank', title, status, detail });
  return { status, contentType: 'application/problem+json', body };
}
