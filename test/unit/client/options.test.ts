// Goal: a client takes its addresses and options as documented, prints nothing and logs what fails.
// Method: clients of a server with a backend that fails on command, and a logger that keeps lines.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Flotilla, type FlotillaOptions } from '../../../src/client/index.js';
import { FlotillaError } from '../../../src/shared/errors.js';
import { type Logger, silentLogger } from '../../../src/shared/logger.js';
import { COLLECTION } from '../../api/fake-backend.js';
import { failureOf, type Harness, startHarness } from '../../api/harness.js';

let harness: Harness;
beforeEach(async () => {
  harness = await startHarness();
});
afterEach(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await harness[Symbol.asyncDispose]();
});

describe('addresses', () => {
  it('come from FLOTILLA_URL where none are given, separated by commas', async () => {
    vi.stubEnv('FLOTILLA_URL', `${harness.address}, 127.0.0.1:1`);
    await using client = new Flotilla();
    expect(await client.collection('notes').count()).toBe(0);
  });

  it('come from the caller where there are both', async () => {
    vi.stubEnv('FLOTILLA_URL', '127.0.0.1:1');
    await using client = new Flotilla(harness.address);
    expect(await client.collection('notes').count()).toBe(0);
  });

  it('may be several in one string', async () => {
    await using client = new Flotilla(`127.0.0.1:1,${harness.address}`);
    expect(await client.collection('notes').count()).toBe(0);
  });

  it.each([
    [undefined, 'FLOTILLA_URL'],
    ['', 'addresses[0]'],
    ['localhost', 'addresses[0]'],
    ['a:1,', 'addresses[1]'],
  ])('are refused where FLOTILLA_URL is %j, naming %s', (value, word) => {
    vi.stubEnv('FLOTILLA_URL', value);
    expect(() => new Flotilla()).toThrow(word);
  });
});

describe('options', () => {
  it.each([
    [{ routing: 'straight' }, 'routing is "straight", it must be one of direct, proxy'],
    [{ transport: 'steam' }, 'transport is "steam", it must be one of stream, unary'],
    [{ zone: '' }, 'zone is empty, leave it out'],
    [{ zone: 7 }, 'zone'],
  ])('refuse words that nobody knows: %j', (wrong, message) => {
    const open = () => new Flotilla(harness.address, wrong as unknown as FlotillaOptions);
    expect(open).toThrow(message);
  });

  it.each([
    [{ attemptsMax: 0 }, 'retry.attemptsMax'],
    [{ budgetShare: Number.NaN }, 'retry.budgetShare'],
    [{ budgetPerSecond: -1 }, 'retry.budgetPerSecond'],
    [{ waitMaxMs: '5' }, 'retry.waitMaxMs'],
  ])('refuse retries that make no sense: %j (P-9)', (retry, field) => {
    const open = () => new Flotilla(harness.address, { retry } as unknown as FlotillaOptions);
    expect(open).toThrow(expect.objectContaining({ field, code: 'INVALID_ARGUMENT' }));
  });

  it('take what is left undefined for their defaults', async () => {
    const retry = { attemptsMax: undefined } as unknown as { attemptsMax: number };
    harness.backend.before = () => {
      harness.backend.before = () => undefined;
      throw new FlotillaError('NO_LEADER', 'not yet');
    };
    expect(await harness.client({ retry }).collection('notes').count()).toBe(0);
  });

  it('tell a logger of failed attempts, and nobody else (K4)', async () => {
    const lines: string[] = [];
    const debug = (fields: object, message: string): void => {
      lines.push(`${message} ${JSON.stringify(fields)}`);
    };
    const logger: Logger = { ...silentLogger, debug };
    const printed = vi.spyOn(process.stdout, 'write');
    const complained = vi.spyOn(process.stderr, 'write');
    let failures = 1;
    harness.backend.before = () => {
      if (failures-- > 0) throw new FlotillaError('NO_LEADER', 'nobody leads');
    };
    const client = harness.client({ logger, retry: { waitMaxMs: 1 } });
    await client.collection('notes').count();
    expect(lines[0]).toContain('NO_LEADER');
    expect(printed).not.toHaveBeenCalled();
    expect(complained).not.toHaveBeenCalled();
  });
});

describe('openCollection', () => {
  it('creates what is not there, and hands out the records of it', async () => {
    const client = harness.client();
    const opened = await client.openCollection<{ year: number }>({ name: 'new', dimension: 4 });
    expect(opened.name).toBe('new');
    expect(harness.backend.calls).toEqual(['createCollection']);
    expect(harness.backend.collections.has('new')).toBe(true);
  });

  it('rejects as creating does', async () => {
    harness.backend.before = () => {
      throw new FlotillaError('COLLECTION_EXISTS', 'it is another one');
    };
    const opening = harness.client().openCollection({ ...COLLECTION, dimension: 7 });
    expect((await failureOf(opening)).reason).toBe('COLLECTION_EXISTS');
  });
});

describe('errors', () => {
  it('name the shard that has failed', async () => {
    harness.backend.before = () => {
      const details = { shards: '3,5' };
      throw new FlotillaError('SHARD_UNAVAILABLE', 'No answer from shard 3,5', { details });
    };
    const error = await failureOf(harness.client().collection('notes').count());
    expect(error).toMatchObject({ shard: 3, retryable: true, code: 'UNAVAILABLE' });
    expect(new FlotillaError('NO_LEADER', 'nobody').shard).toBeUndefined();
  });
});
