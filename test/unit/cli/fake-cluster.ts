/** A cluster behind the client of commands: it records their calls and answers as it is told. */
import type { CliContext } from '../../../src/cli/context.js';
import type { Flotilla } from '../../../src/client/index.js';
import { type CommandRun, runCommand } from './run-command.js';

/** What a command passes on that was told nothing else. */
export const CALL = { timeoutMs: 10_000 };

/** The calls that a command made, and what they answer. */
export class FakeCluster {
  readonly calls: unknown[][] = [];
  readonly addresses: (readonly string[])[] = [];
  /** Of the collections that were opened. */
  readonly tenants: string[] = [];
  closed = 0;
  /** What the client says that it has seen. */
  sessionToken = '';
  answers: Record<string, unknown> = {};

  readonly client = new Proxy(
    {},
    {
      get: (_, method) => {
        // A client is no promise: `await` must not take it for one.
        if (method === 'then') return undefined;
        if (method === 'sessionToken') return this.sessionToken;
        if (method === 'close') return () => this.#close();
        if (method === 'collection') {
          return (name: string, { tenant = '' } = {}) => {
            this.tenants.push(tenant);
            return this.#collection(name);
          };
        }
        return (...args: unknown[]) => this.#answer(String(method), args);
      },
    },
  ) as Flotilla;

  #close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }

  #collection(name: string): unknown {
    const method = (verb: string) => (what: unknown, options: unknown) =>
      this.#answer(verb, [name, what, options]);
    return {
      search: method('search'),
      upsert: method('upsert'),
      explain: method('explain'),
      delete: method('delete'),
      deleteByFilter: method('deleteByFilter'),
      fetch: method('fetch'),
      patch: method('patch'),
      count: (options: unknown) => this.#answer('count', [name, options]),
      scrollPage: (options: unknown) => this.#answer('scrollPage', [name, options]),
    };
  }

  async #answer(method: string, args: unknown[]): Promise<unknown> {
    this.calls.push([method, ...args]);
    const answer = this.answers[method];
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer(...args) : answer;
  }
}

/** Runs a command line, with quotes as in a shell, that finds this cluster at every address. */
export async function run(
  args: string,
  cluster = new FakeCluster(),
  overrides: Partial<CliContext> = {},
): Promise<CommandRun> {
  const words = args.match(/'[^']*'|\S+/g) ?? [];
  return runCommand(
    words.map((word) => word.replace(/^'|'$/g, '')),
    {
      connect: async (addresses) => {
        cluster.addresses.push(addresses);
        return cluster.client;
      },
      ...overrides,
    },
  );
}

/** By the name of the method: a value, an error, or what makes one of the arguments. */
export function clusterThatAnswers(answers: Record<string, unknown>): FakeCluster {
  const cluster = new FakeCluster();
  cluster.answers = answers;
  return cluster;
}
