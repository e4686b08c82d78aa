// Goal: an import writes what its file holds, says what was not applied, and goes on where it was.
// Method: runCli over files in a folder of its own, with a fake client that records its calls.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FlotillaError } from '../../../src/shared/errors.js';
import { clusterThatAnswers, run } from './fake-cluster.js';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'flotilla-cli-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('import', () => {
  const applyAll = (_: string, records: readonly { id: string }[]) => ({
    outcomes: records.map(({ id }) => ({ id, kind: 'applied', version: '1', existed: false })),
    appliedCount: records.length,
  });

  async function input(name: string, ids: readonly string[]): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, ids.map((id) => `{"id": "${id}", "values": [1, 2]}\n`).join(''));
    return path;
  }

  it('creates the collection by the dimension of the file, writes all and sums up', async () => {
    const path = await input('all.jsonl', ['a', 'b', 'c']);
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const options = '--collection docs --create --metric dot --batch 2';
    const { code, out, err } = await run(`import ${path} ${options}`, cluster);
    expect(code).toBe(0);
    expect(cluster.calls.map(([method]) => method)).toEqual([
      'createCollection',
      'upsert',
      'upsert',
    ]);
    expect(cluster.calls[0]?.[1]).toEqual({ name: 'docs', dimension: 2, metric: 'dot' });
    expect(out).toBe('3 records in 0 ms, 0 records/s, 0 failures\n');
    expect(err).toContain('100.00 %  3 records\n');
  });

  it('gives the token for a session read of what it wrote (R13)', async () => {
    const path = await input('token.jsonl', ['a']);
    const cluster = clusterThatAnswers({ upsert: applyAll });
    cluster.sessionToken = 'AQIAAawG';
    const { err } = await run(`import ${path} --collection docs`, cluster);
    expect(err).toMatch(/\nread it anywhere with --consistency session:AQIAAawG\n$/);
    const { out } = await run(`import ${path} --collection docs --json`, cluster);
    expect(JSON.parse(out)).toMatchObject({ complete: true, sessionToken: 'AQIAAawG' });
  });

  it('writes in the mode that it is told, and records that live as long as that', async () => {
    const path = join(folder, 'mortal.jsonl');
    const lines = [{ id: 'a' }, { id: 'b', expiresAtMs: 1 }];
    await writeFile(path, lines.map((one) => JSON.stringify({ ...one, values: [1] })).join('\n'));
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const command = `import ${path} --collection docs`;
    await run(`${command} --mode insert-only --ttl-ms 60000`, cluster);
    await run(`${command} --mode update-only`, cluster);
    const written = cluster.calls.map(([, , records, options]) => ({
      ttls: (records as readonly { ttlMs?: number }[]).map(({ ttlMs }) => ttlMs),
      options,
    }));
    // The file's word on a record goes before what all are told.
    expect(written).toEqual([
      { ttls: [60_000, 1], options: { timeoutMs: 60_000, mode: 'insert-only' } },
      { ttls: [undefined, 1], options: { timeoutMs: 60_000, mode: 'update-only' } },
    ]);
  });

  it.each(['--mode upsert', '--ttl-ms -1', '--ttl-ms 1.5', '--ttl-ms 3153600000001'])(
    'refuses %s before anything is written',
    async (option) => {
      const path = await input('refused.jsonl', ['a']);
      const cluster = clusterThatAnswers({ upsert: applyAll });
      const { code } = await run(`import ${path} --collection docs ${option}`, cluster);
      expect(code).toBe(2);
      expect(cluster.calls).toEqual([]);
    },
  );

  it('says how to write into a collection that has other settings', async () => {
    const path = await input('other.jsonl', ['a']);
    const exists = new FlotillaError('COLLECTION_EXISTS', 'Collection docs exists with the m 8');
    const cluster = clusterThatAnswers({
      createCollection: async () => {
        throw exists;
      },
    });
    const { code, err } = await run(`import ${path} --collection docs --create`, cluster);
    expect(code).toBe(1);
    expect(err).toContain('exists with the m 8; or leave out --create');
  });

  it('ends with 1 and names the records that were not applied', async () => {
    const path = await input('some.jsonl', ['a', 'b']);
    const refused = { id: 'b', kind: 'not-applied', reason: 'LIMIT_EXCEEDED', message: 'too big' };
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => ({
        outcomes: [...applyAll(name, records).outcomes.slice(1), refused],
      }),
    });
    const { code, out, err } = await run(`import ${path} --collection docs --json`, cluster);
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({ complete: false, records: 1, failures: 1 });
    expect(err).toContain('nothing is known to be done: when that is mended, start it again');
  });

  it('ends with 3 when the cluster is lost, does not start over unasked, and resumes', async () => {
    const path = await input('lost.jsonl', ['a', 'b', 'c', 'd']);
    const command = `import ${path} --collection docs --batch 1 --concurrency 1`;
    let written: string[] = [];
    let left = 2;
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => {
        if (left-- === 0) throw new FlotillaError('NO_LEADER', 'no leader');
        written.push(...records.map(({ id }) => id));
        return applyAll(name, records);
      },
    });
    const lost = await run(command, cluster);
    expect(lost.code).toBe(3);
    expect(lost.err).toContain('error: no leader (NO_LEADER)');
    expect(lost.err).toContain(`go on with --resume; how far it got is in ${path}`);
    expect(written).toEqual(['a', 'b']);

    expect((await run(command, cluster)).err).toContain('go on with --resume, or remove the file');
    written = [];
    const resumed = await run(`${command} --resume`, cluster);
    expect(resumed).toMatchObject({ code: 0 });
    expect(resumed.err).toContain('going on after record 2\n');
    expect(written).toEqual(['c', 'd']);
  });

  it('writes for the tenant that it is told, or for whom each record names (M-21)', async () => {
    const path = join(folder, 'tenants.jsonl');
    const lines = ['acme', undefined, 'beta', 'acme'].map((tenant, at) =>
      JSON.stringify({ id: `r${at}`, values: [1, 2], tenant }),
    );
    await writeFile(path, lines.join('\n'));
    const written: string[][] = [];
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => {
        written.push([cluster.tenants.at(-1) ?? '', ...records.map(({ id }) => id)]);
        return applyAll(name, records);
      },
    });
    expect((await run(`import ${path} --collection docs`, cluster)).code).toBe(0);
    expect(written).toEqual([
      ['acme', 'r0', 'r3'],
      ['', 'r1'],
      ['beta', 'r2'],
    ]);
    const other = await run(`import ${path} --collection docs --tenant acme`, cluster);
    expect(other.code).toBe(1);
    expect(other.err).toContain('record 2 (id "r2") belongs to tenant "beta", not to "acme"');
    const plain = await input('plain.jsonl', ['a', 'b']);
    written.length = 0;
    await run(`import ${plain} --collection docs --tenant acme`, cluster);
    expect(written).toEqual([['acme', 'a', 'b']]);
  });

  it('takes shard keys from the records, or from a field of their metadata (M-19)', async () => {
    const path = join(folder, 'keys.jsonl');
    const lines = [
      { id: 'a', shardKey: 'own', metadata: { order: { id: 'order-7' } } },
      { id: 'b', metadata: { order: { id: 'order-7' } } },
      { id: 'c', metadata: { order: { id: 8 } } },
    ].map((line) => JSON.stringify({ ...line, values: [1, 2] }));
    await writeFile(path, lines.join('\n'));
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const command = `import ${path} --collection docs --shard-key-field order.id`;
    expect((await run(command, cluster)).code).toBe(0);
    const keysOf = (call: unknown[] | undefined): unknown =>
      ((call ?? [])[2] as { shardKey?: string }[]).map(({ shardKey }) => shardKey);
    expect(keysOf(cluster.calls[0])).toEqual(['own', 'order-7', '8']);
    await writeFile(path, JSON.stringify({ id: 'd', values: [1, 2], metadata: { order: {} } }));
    const without = await run(command, cluster);
    expect(without.code).toBe(1);
    expect(without.err).toContain(
      'record 0 (id "d") has no text or number in its metadata field order.id',
    );
  });

  it('goes on for the tenant that it was begun for, and for no other', async () => {
    const path = await input('begun.jsonl', ['a', 'b']);
    const command = `import ${path} --collection docs --batch 1 --concurrency 1 --tenant acme`;
    let left = 1;
    const cluster = clusterThatAnswers({
      upsert: (name: string, records: readonly { id: string }[]) => {
        if (left-- === 0) throw new FlotillaError('NO_LEADER', 'no leader');
        return applyAll(name, records);
      },
    });
    expect((await run(command, cluster)).code).toBe(3);
    const other = await run(`${command.replace('acme', 'beta')} --resume`, cluster);
    expect(other.code).not.toBe(0);
    expect(other.err).toContain(
      'is of an import into "docs" with the id prefix "", for tenant "acme"',
    );
    expect((await run(`${command} --resume`, cluster)).code).toBe(0);
  });

  it('names the record of the file that a request for one tenant has refused', async () => {
    const path = join(folder, 'refused.jsonl');
    const lines = ['acme', 'beta', 'acme'].map((tenant, at) =>
      JSON.stringify({ id: `r${at}`, values: [1, 2], tenant }),
    );
    await writeFile(path, lines.join('\n'));
    const field = 'records[1].values';
    const refused = new FlotillaError('ZERO_VECTOR', 'it has a length of 0', { field });
    const { err } = await run(
      `import ${path} --collection docs`,
      clusterThatAnswers({ upsert: refused }),
    );
    expect(err).toContain('record 2 (id "r2"): it has a length of 0');
  });

  it('names the line of a malformed file', async () => {
    const path = join(folder, 'bad.jsonl');
    await writeFile(path, '{"id": "a", "values": [1]}\n{"id": "b"}\n');
    const cluster = clusterThatAnswers({ upsert: applyAll });
    const { code, err } = await run(`import ${path} --collection docs`, cluster);
    expect(code).toBe(1);
    expect(err).toContain(`error: ${path}:2 has no "values"`);
  });

  it('fails for a file that does not exist', async () => {
    const { code, err } = await run(`import ${folder}/none.fvecs --collection docs`);
    expect(code).toBe(1);
    expect(err).toContain('the file cannot be read: ENOENT');
  });
});
