// Goal: commands about records ask the cluster for the right thing, and print what it has answered.
// Method: runCli with a fake client that records its calls.
import { describe, expect, it } from 'vitest';
import { CALL, clusterThatAnswers, run } from './fake-cluster.js';

/** What a read passes on that was told nothing else. */
const READ = { ...CALL, onServed: expect.any(Function) };

describe('search', () => {
  const found = {
    hits: [
      { id: 'a', version: '1', distance: 0.125, metadata: { title: 'x'.repeat(80) } },
      { id: 'b', version: '2', distance: 1, values: Float32Array.of(1, 2) },
    ],
    shards: { total: 4, ok: 3, failed: [2] },
    degraded: true,
    epoch: 4,
    served: [{ shardId: 0, nodeId: 3, ownershipVersion: 1, appliedIndex: 9, ageMs: 41.2 }],
  };

  it('sends the query and shows hits on stdout, shards on stderr', async () => {
    const cluster = clusterThatAnswers({ search: found });
    const options = '--k 2 --offset 1 --ef 64 --max-distance 0.5 --allow-partial';
    const { code, out, err } = await run(`search docs --vector '[1, 2.5]' ${options}`, cluster);
    expect(code).toBe(0);
    expect(cluster.calls).toEqual([
      [
        'search',
        'docs',
        { vector: [1, 2.5], k: 2, offset: 1, includeValues: false, ef: 64, scoreThreshold: 0.5 },
        { timeoutMs: 10_000, allowPartial: true },
      ],
    ]);
    expect(out.split('\n')[1]).toMatch(/^1 {2}a +0\.125000 {2}\{"title":"x+…$/);
    expect(err).toBe('2 hits from 3 of 4 shards, shards 2 are missing\n');
  });

  it('searches near a record, and prints vectors as plain JSON arrays', async () => {
    const cluster = clusterThatAnswers({ search: found });
    const { out } = await run('search docs --id a --values --json', cluster);
    expect(JSON.parse(out).hits[1].values).toEqual([1, 2]);
    expect(cluster.calls[0]?.[2]).toEqual({ id: 'a', k: 10, offset: 0, includeValues: true });
  });

  it('says how old an answer may be that any replica gave', async () => {
    const cluster = clusterThatAnswers({ search: found });
    const { err } = await run('search docs --id a --consistency bounded:500', cluster);
    expect(err.split('\n')[1]).toBe('answered by node 3, at most 42 ms old');
  });
});

const linesOf = (text: string): unknown[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('records by what they hold', () => {
  const filter = { year: { $gte: 2020 } };
  const given = `--filter '${JSON.stringify(filter)}'`;
  const records = [
    { id: 'a', version: '1', metadata: { year: 2020 } },
    { id: 'b', version: '2', values: Float32Array.of(1, 2) },
  ];

  it.each(['explain docs', 'search docs --explain'])('%s shows how a search goes', async (line) => {
    const shard = {
      shardId: 0,
      plan: 'exact-rows',
      reason: 'few records match',
      records: 1_000,
      estimatedMatches: 11,
      matches: 12,
      indexedFields: ['year'],
      scannedFields: ['colour'],
      visited: 1_234,
      compared: 12,
      durationMs: 0.5,
      choice: 'hedge',
      waitedMs: 6,
      networkMs: 1.25,
      foundHits: 10,
      usedHits: 4,
    };
    const whole = {
      shards: [shard],
      served: [{ shardId: 0, nodeId: 3, ownershipVersion: 1, appliedIndex: 1_500, ageMs: 41 }],
      epoch: 1,
      failed: [],
      degraded: false,
      skipped: [1, 2].map((shardId) => ({ shardId, why: 'shard-key' })),
      attempts: [{ shardId: 0, nodeId: 2, choice: 'leader', reason: 'NO_LEADER', durationMs: 5 }],
      stages: { routeMs: 0.25, fanOutMs: 7.75, mergeMs: 0.5 },
      cache: { verdict: 'miss', reason: 'nothing is kept of this search' },
    };
    const cluster = clusterThatAnswers({ explain: whole });
    const { out, err } = await run(`${line} --id a ${given}`, cluster);
    const query = { id: 'a', k: 10, offset: 0, includeValues: false, filter };
    expect(cluster.calls).toEqual([['explain', 'docs', query, { ...CALL, allowPartial: false }]]);
    expect(err).toBe('');
    expect(
      out.replaceAll(/ {2,}(?!-)/g, ' '),
    ).toBe(`8.50 ms = route 0.25 ms + shards 7.75 ms + merge 0.50 ms
1 of 1 shards answered, 2 were not asked

SHARD NODE WHY PLAN RECORDS EXPECTED MATCHES ASKED HITS USED WAITED NETWORK ENGINE APPLIED AGE
 0 3 hedge exact-rows 1,000 11 12 1,234 10 4 6.00 ms 1.25 ms 0.50 ms 1,500 41 ms

plans
  - shard 0: exact-rows: few records match; not indexed: colour

NO ANSWER OF SHARD NODE WHY ERROR AFTER
 0 2 leads NO_LEADER 5.00 ms

not asked
  - has none of the shard keys: shard 1, 2

cache: miss: nothing is kept of this search
`);
    const { out: json } = await run(`${line} --id a --json`, cluster);
    expect(JSON.parse(json)).toEqual(whole);
    cluster.answers.explain = { ...whole, failed: [1, 3], degraded: true };
    const partial = await run(`${line} --id a --allow-partial`, cluster);
    expect(partial.err).toBe('1 of 3 shards, shards 1, 3 are missing\n');
    expect(cluster.calls.at(-1)?.[3]).toEqual({ ...CALL, allowPartial: true });
  });

  it('reads take shard keys, and searches how much each shard is asked for', async () => {
    const cluster = clusterThatAnswers({
      count: 1,
      scrollPage: { records: [] },
      search: {
        hits: [],
        shards: { total: 2, ok: 2, failed: [] },
        degraded: false,
        cut: true,
        served: [],
      },
    });
    const keys = { shardKey: ['o1', 'o2'] };
    await run('count docs --shard-keys o1 o2', cluster);
    await run('scroll docs --limit 5 --shard-keys o1 o2', cluster);
    const { err } = await run('search docs --id a --shard-k 3 --shard-keys o1 o2', cluster);
    expect(err).toBe('0 hits from 2 of 2 shards, nearer ones may be missing: raise --shard-k\n');
    expect(cluster.calls).toEqual([
      ['count', 'docs', { ...READ, ...keys }],
      ['scrollPage', 'docs', { ...READ, ...keys, limit: 5, includeValues: false }],
      [
        'search',
        'docs',
        { id: 'a', k: 10, offset: 0, shardK: 3, includeValues: false },
        { ...CALL, ...keys, allowPartial: false },
      ],
    ]);
  });

  it('count prints a number', async () => {
    const cluster = clusterThatAnswers({ count: 1_234 });
    expect((await run(`count docs ${given}`, cluster)).out).toBe('1234\n');
    expect((await run('count docs --json', cluster)).out).toBe('{"count":1234,"served":[]}\n');
    expect(cluster.calls).toEqual([
      ['count', 'docs', { ...READ, filter }],
      ['count', 'docs', READ],
    ]);
  });

  it('scroll prints a table, or a line of JSON a record', async () => {
    const cluster = clusterThatAnswers({ scrollPage: { records } });
    const { out, err } = await run(`scroll docs --limit 5 ${given}`, cluster);
    expect(out.split('\n')[1]).toMatch(/^a +1 {2}\{"year":2020\}$/);
    expect(err).toBe('2 records\n');
    const lines = await run('scroll docs --all --values --json', cluster);
    expect(linesOf(lines.out)).toEqual([records[0], { id: 'b', version: '2', values: [1, 2] }]);
    expect(JSON.parse(lines.err)).toEqual({ count: 2, served: [] });
    expect(cluster.calls).toEqual([
      ['scrollPage', 'docs', { ...READ, limit: 5, includeValues: false, filter }],
      ['scrollPage', 'docs', { ...READ, limit: 1_000, includeValues: true }],
    ]);
  });

  it('scroll says where to go on, and goes on there', async () => {
    let page = 0;
    const scrollPage = () => ({ records, cursor: `c${++page}` });
    const cluster = clusterThatAnswers({ scrollPage });
    const { err } = await run('scroll docs --limit 3', cluster);
    expect(err).toBe('4 records, go on with --cursor c2\n');
    const next = await run('scroll docs --limit 2 --cursor c2 --json', cluster);
    expect(JSON.parse(next.err)).toEqual({ count: 2, cursor: 'c3', served: [] });
    const asked = cluster.calls.map((call) => call[2] as { limit: number; cursor?: string });
    expect(asked.map(({ limit, cursor }) => [limit, cursor])).toEqual([
      [3, undefined],
      [1, 'c1'],
      [2, 'c2'],
    ]);
    const stdout = { isTerminal: false, columns: 80, isClosed: true, write: () => undefined };
    // Whoever read it has gone: the rest of the collection is not listed for nobody.
    const left = await run('scroll docs --all --json', cluster, { stdout });
    expect(JSON.parse(left.err)).toEqual({ count: 2, cursor: 'c4', served: [] });
  });

  it('fetch shows versions and expiries, and ends with 1 where a record is missing', async () => {
    const mortal = { id: 'c', version: '3', expiresAtMs: Date.UTC(2026, 0, 31, 12) };
    const cluster = clusterThatAnswers({ fetch: [records[0], mortal] });
    const { code, out, err } = await run('fetch docs --id a b c', cluster);
    expect(out.split('\n').slice(0, 3)).toEqual([
      'ID  VERSION  EXPIRES               METADATA',
      'a         1                        {"year":2020}',
      'c         3  2026-01-31 12:00:00Z',
    ]);
    expect({ code, err }).toEqual({ code: 1, err: 'error: there is no record b\n' });
    const lines = await run('fetch docs --id a c --values --json', cluster);
    expect(linesOf(lines.out)).toEqual([records[0], mortal]);
    expect([lines.code, JSON.parse(lines.err)]).toEqual([0, { missing: [], served: [] }]);
    expect(JSON.parse((await run('fetch docs --id z --json', cluster)).err)).toEqual({
      missing: ['z'],
      served: [],
    });
    expect(cluster.calls.slice(0, 2)).toEqual([
      ['fetch', 'docs', ['a', 'b', 'c'], { ...READ, includeValues: false }],
      ['fetch', 'docs', ['a', 'c'], { ...READ, includeValues: true }],
    ]);
  });

  it('patch says how many it changed, and what was not', async () => {
    const applied = (id: string) => ({ id, kind: 'applied', version: '9', existed: true });
    const gone = {
      id: 'b',
      kind: 'not-applied',
      reason: 'RECORD_NOT_FOUND',
      message: 'it is gone',
    };
    const lost = { id: 'c', kind: 'unknown', reason: 'NO_LEADER', message: 'nobody leads' };
    const some = { outcomes: [applied('a'), gone, lost], appliedCount: 1 };
    const cluster = clusterThatAnswers({ patch: some });
    const { code, out, err } = await run(`patch docs --id a b c --metadata '{"x":null}'`, cluster);
    expect([code, out]).toEqual([1, 'patched 1 records\n']);
    expect(err.trimEnd().split('\n')).toEqual([
      'error: b is not changed: it is gone (RECORD_NOT_FOUND)',
      'error: c may be changed or not: nobody leads (NO_LEADER)',
    ]);
    cluster.answers.patch = { outcomes: [applied('a')], appliedCount: 1 };
    const one = await run(`patch docs --id a --metadata '{"y":1}' --if-version 7 --json`, cluster);
    expect([one.code, JSON.parse(one.out)]).toEqual([0, cluster.answers.patch]);
    const metadata = { x: null };
    expect(cluster.calls).toEqual([
      ['patch', 'docs', ['a', 'b', 'c'].map((id) => ({ id, metadata })), CALL],
      ['patch', 'docs', [{ id: 'a', metadata: { y: 1 }, ifVersion: '7' }], CALL],
    ]);
  });

  it('delete says how many it deleted, by filter and by id', async () => {
    const applied = (id: string, existed: boolean) => ({ id, kind: 'applied', existed });
    const cluster = clusterThatAnswers({
      deleteByFilter: { deletedCount: 1_500 },
      delete: { outcomes: [applied('a', true), applied('b', false)] },
    });
    expect((await run(`delete docs ${given}`, cluster)).out).toBe('deleted 1,500 records\n');
    const byId = await run('delete docs --id a b --json', cluster);
    expect(byId.out).toBe('{"deletedCount":1}\n');
    expect(cluster.calls).toEqual([
      ['deleteByFilter', 'docs', filter, { ...CALL, onProgress: expect.any(Function) }],
      ['delete', 'docs', ['a', 'b'], CALL],
    ]);
  });

  it('delete takes the version that one record must have', async () => {
    const cluster = clusterThatAnswers({
      delete: { outcomes: [{ id: 'a', kind: 'applied', existed: true }] },
    });
    const command = 'delete docs --id a --if-version 117';
    expect((await run(command, cluster)).out).toBe('deleted 1 records\n');
    await run(`${command} --shard-key order-7`, cluster);
    const target = { id: 'a', ifVersion: '117' };
    expect(cluster.calls).toEqual([
      ['delete', 'docs', [target], CALL],
      ['delete', 'docs', [{ ...target, shardKey: 'order-7' }], CALL],
    ]);
  });

  it.each([
    'delete docs --id a b --if-version 117',
    'delete docs --if-version 117',
    'delete docs --filter {} --if-version 117',
    "patch docs --id a b --metadata '{}' --if-version 117",
  ])('a version is that of one record: "%s" is refused', async (command) => {
    const cluster = clusterThatAnswers({});
    expect((await run(command, cluster)).code).toBe(2);
    expect(cluster.calls).toEqual([]);
  });

  it('delete ends with 1 and names a record that is still there', async () => {
    const failed = { id: 'b', kind: 'not-applied', reason: 'NO_LEADER', message: 'nobody leads' };
    const cluster = clusterThatAnswers({ delete: { outcomes: [failed] } });
    const { code, err } = await run('delete docs --id b', cluster);
    expect([code, err]).toEqual([1, expect.stringContaining('b is not deleted: nobody leads')]);
  });
});

describe('commands about records that are routed by shard key (M-19)', () => {
  const applied = { outcomes: [{ id: 'a', kind: 'applied', existed: true }], appliedCount: 1 };
  const record = { id: 'a', tenant: 'acme', shardKey: 'order-7', version: '1' };

  it('name the key of their ids, and show it', async () => {
    const cluster = clusterThatAnswers({
      fetch: [record],
      search: {
        hits: [{ ...record, distance: 0.5 }],
        shards: { total: 1, ok: 1, failed: [] },
        degraded: false,
        epoch: 1,
        served: [],
      },
      patch: applied,
      delete: applied,
    });
    const fetched = await run('fetch lines --id a --shard-key order-7', cluster);
    expect(fetched.out).toBe(
      'ID  TENANT  SHARD KEY  VERSION  METADATA\na   acme    order-7          1\n',
    );
    const found = await run('search lines --id a --shard-key order-7 --k 1', cluster);
    expect(found.out).toMatch(/1 {2}a {3}acme {4}order-7 +0\.5/);
    await run("patch lines --id a --shard-key order-7 --metadata '{}'", cluster);
    await run('delete lines --id a --shard-key order-7', cluster);
    const name = { id: 'a', shardKey: 'order-7' };
    expect(cluster.calls.map(([method, , what]) => [method, what])).toEqual([
      ['fetch', [name]],
      ['search', { ...name, k: 1, offset: 0, includeValues: false }],
      ['patch', [{ ...name, metadata: {} }]],
      ['delete', [name]],
    ]);
  });

  it('delete what matches among their keys', async () => {
    const cluster = clusterThatAnswers({ deleteByFilter: { deletedCount: 3 } });
    const { out } = await run('delete lines --filter {} --shard-keys order-7 order-8', cluster);
    expect(out).toBe('deleted 3 records\n');
    const options = { ...CALL, onProgress: expect.any(Function), shardKey: ['order-7', 'order-8'] };
    expect(cluster.calls).toEqual([['deleteByFilter', 'lines', {}, options]]);
  });

  it.each([
    'delete lines --id a --shard-keys order-7',
    'delete lines --shard-keys order-7',
    'delete lines --filter {} --shard-key order-7',
    "search lines --vector '[1]' --shard-key order-7",
  ])('are told which option it is: "%s" is refused', async (command) => {
    const cluster = clusterThatAnswers({});
    expect((await run(command, cluster)).code).toBe(2);
    expect(cluster.calls).toEqual([]);
  });
});

describe('commands about the records of all tenants (M-20)', () => {
  it('say so by name, and name no tenant beside', async () => {
    const cluster = clusterThatAnswers({
      count: 1,
      scrollPage: { records: [{ id: 'a', tenant: 'acme', version: '1' }] },
      search: { hits: [], shards: { total: 1, ok: 1, failed: [] }, degraded: false, served: [] },
    });
    for (const command of ['count docs', 'scroll docs', "search docs --vector '[1]'"]) {
      await run(`${command} --all-tenants`, cluster);
      await run(command, cluster);
      expect((await run(`${command} --all-tenants --tenant acme`, cluster)).code).toBe(2);
    }
    expect(cluster.calls.map((call) => call.at(-1))).toMatchObject(
      [true, undefined, true, undefined, true, undefined].map((allTenants) =>
        allTenants ? { allTenants } : expect.not.objectContaining({ allTenants: true }),
      ),
    );
  });
});

describe('commands about records', () => {
  it('are about those of the tenant that they name, or of nobody (U1)', async () => {
    const record = { id: 'a', version: '1' };
    const cluster = clusterThatAnswers({
      count: 1,
      fetch: [record],
      scrollPage: { records: [record] },
      search: { hits: [], shards: { total: 1, ok: 1, failed: [] }, degraded: false, served: [] },
      patch: { outcomes: [], appliedCount: 1 },
      delete: { outcomes: [], appliedCount: 1 },
    });
    const commands = [
      'count docs',
      'fetch docs --id a',
      'scroll docs',
      "search docs --vector '[1]'",
      "patch docs --id a --metadata '{}'",
      'delete docs --id a',
    ];
    for (const command of commands) {
      cluster.tenants.length = 0;
      await run(command, cluster);
      await run(`${command} --tenant acme`, cluster);
      expect([command, ...cluster.tenants]).toEqual([command, '', 'acme']);
    }
  });
});

describe('reads that any replica may answer', () => {
  const of = (shardId: number, nodeId: number, ageMs?: number) => ({
    shardId,
    nodeId,
    ownershipVersion: 1,
    appliedIndex: 7,
    ...(ageMs !== undefined && { ageMs }),
  });
  type Told = { readonly onServed: (served: readonly object[]) => void };
  const told =
    (served: readonly object[], answer: unknown) =>
    (...args: unknown[]) => {
      (args.at(-1) as Told).onServed(served);
      return answer;
    };

  it('say by which nodes, and how far behind they may be, on stderr', async () => {
    const served = [of(1, 2, 41.2), of(0, 1, 7)];
    const cluster = clusterThatAnswers({
      count: told(served, 12),
      fetch: told(served, [{ id: 'a', version: '1' }]),
      scrollPage: told(served, { records: [] }),
    });
    const line = 'answered by nodes 1, 2, at most 42 ms old\n';
    const counted = await run('count docs --consistency eventual', cluster);
    expect([counted.out, counted.err]).toEqual(['12\n', line]);
    const fetched = await run('fetch docs --id a b --consistency session:abc', cluster);
    expect(fetched.err).toBe(`error: there is no record b\n${line}`);
    const listed = await run('scroll docs --consistency bounded:900', cluster);
    expect(listed.err).toBe(`0 records\n${line}`);
  });

  it.each(['', ' --consistency strong', ' --consistency leased'])(
    'are no reads of leaders: count%s says nothing of age',
    async (level) => {
      const cluster = clusterThatAnswers({ count: told([of(0, 1, 3)], 12) });
      expect((await run(`count docs${level}`, cluster)).err).toBe('');
    },
  );

  it('name the shards whose age nobody knows, and none where nothing was told', async () => {
    const cluster = clusterThatAnswers({ count: told([of(2, 1), of(0, 1, 3), of(5, 1)], 12) });
    const { err } = await run('count docs --consistency eventual', cluster);
    expect(err).toBe('answered by node 1, how old is not known of shard 2, 5\n');
    cluster.answers.count = told([], 12);
    expect((await run('count docs --consistency eventual', cluster)).err).toBe('');
  });

  it('tell scripts the whole of it, by shard', async () => {
    const served = [of(1, 2, 41), of(0, 1, 7)];
    const cluster = clusterThatAnswers({ count: told(served, 12), fetch: told(served, []) });
    const counted = await run('count docs --consistency eventual --json', cluster);
    expect(JSON.parse(counted.out)).toEqual({ count: 12, served: [served[1], served[0]] });
    expect(counted.err).toBe('');
    const fetched = await run('fetch docs --id a --consistency eventual --json', cluster);
    expect(JSON.parse(fetched.err)).toEqual({ missing: ['a'], served: [served[1], served[0]] });
  });

  it('keep the oldest answer of each shard from the pages of a scroll', async () => {
    const pages = [[of(0, 1, 5)], [of(0, 2, 900)], [of(0, 1, 8)]];
    let page = 0;
    const cluster = clusterThatAnswers({
      scrollPage: (_: string, { onServed }: Told) => {
        onServed(pages[page++] ?? []);
        return { records: [], ...(page < pages.length && { cursor: `c${page}` }) };
      },
    });
    const { err } = await run('scroll docs --all --consistency eventual --json', cluster);
    expect(JSON.parse(err)).toEqual({ count: 0, served: [of(0, 2, 900)] });
  });
});

describe('writes', () => {
  const outcome = { id: 'a', kind: 'applied', version: '1', existed: true };
  const commands = [
    "patch docs --id a --metadata '{}'",
    'delete docs --id a',
    'delete docs --filter {}',
  ];
  const answers = {
    patch: { outcomes: [outcome], appliedCount: 1 },
    delete: { outcomes: [outcome], appliedCount: 1 },
    deleteByFilter: { deletedCount: 1 },
  };

  it.each(commands)('give the token for a session read of what "%s" wrote (R13)', async (line) => {
    const cluster = clusterThatAnswers(answers);
    cluster.sessionToken = 'AQIAAawG';
    const { out, err } = await run(line, cluster);
    expect(out).toMatch(/^(patched|deleted) 1 records\n$/);
    expect(err).toBe('read it anywhere with --consistency session:AQIAAawG\n');
    const plain = await run(`${line} --json`, cluster);
    expect([JSON.parse(plain.out).sessionToken, plain.err]).toEqual(['AQIAAawG', '']);
  });

  it.each(commands)('give none where the client has seen nothing of "%s"', async (line) => {
    const cluster = clusterThatAnswers(answers);
    expect((await run(line, cluster)).err).toBe('');
    expect((await run(`${line} --json`, cluster)).out).not.toContain('sessionToken');
  });
});
