// Goal: commands about tenants ask for what was named, and print answers for people and scripts.
// Method: runCli with a fake client that records its calls.
import { describe, expect, it } from 'vitest';
import { FlotillaError } from '../../../src/shared/errors.js';
import { CALL, clusterThatAnswers, run } from './fake-cluster.js';

describe('tenant', () => {
  const AUDIT = { changeId: 1, action: 'assignTenant', tenant: 'acme', by: 'ops', atMs: 0 };
  const DESCRIPTION = {
    assignments: [{ tenant: 'acme', shardId: 1 }],
    dedicatedShards: [1],
    shards: [
      { shardId: 0, tenants: 18, vectors: 300_001 },
      { shardId: 1, tenants: 1, vectors: 5 },
    ],
    findings: [
      { shardId: 0, what: 'tenants', level: 'warning', count: 18, max: 20 },
      { shardId: 0, what: 'vectors', level: 'exceeded', count: 300_001, max: 300_000 },
    ],
    audit: [
      { ...AUDIT, shardId: 1, fromShardId: 0, refused: 'TENANT_HAS_DATA' },
      { ...AUDIT, changeId: 2, shardId: 1, fromShardId: 0, refused: '' },
    ],
  };

  it('assign, release, dedicate and share say what they did (M-18, M-19)', async () => {
    const done = { changed: true, epoch: 5 };
    const cluster = clusterThatAnswers({
      assignTenant: done,
      releaseTenant: { ...done, changed: false },
      dedicateShard: done,
      shareShard: done,
    });
    const told: string[] = [];
    for (const words of [
      'assign acme --shard 3 --by ops',
      'release acme',
      'dedicate --shard 3',
      'share --shard 3',
    ]) {
      told.push((await run(`tenant ${words}`, cluster, { environment: { USER: 'me' } })).out);
    }
    expect(told).toEqual([
      'tenant acme is on shard 3\n',
      'tenant acme is spread by hash already\n',
      'shard 3 is dedicated\n',
      'shard 3 is shared\n',
    ]);
    expect(cluster.calls).toEqual([
      ['assignTenant', { tenant: 'acme', shardId: 3 }, { ...CALL, by: 'ops' }],
      ['releaseTenant', 'acme', { ...CALL, by: 'me' }],
      ['dedicateShard', 3, { ...CALL, by: 'me' }],
      ['shareShard', 3, { ...CALL, by: 'me' }],
    ]);
    expect((await run('tenant assign acme')).code).toBe(2);
  });

  it('assign ends with an error where the tenant has records', async () => {
    const error = new FlotillaError('TENANT_HAS_DATA', 'it has');
    const { code, err } = await run(
      'tenant assign acme --shard 3',
      clusterThatAnswers({ assignTenant: error }),
    );
    expect(code).toBe(1);
    expect(err).toContain('TENANT_HAS_DATA');
  });

  it('stats shows what shards hold, and warns of limits (M-21)', async () => {
    const cluster = clusterThatAnswers({ describeTenants: DESCRIPTION });
    const { out, err } = await run('tenant stats', cluster);
    expect(out).toBe(
      'SHARD  TENANTS  VECTORS  ASSIGNED  KIND\n' +
        '    0       18  300,001         0  shared\n' +
        '    1        1        5         1  dedicated\n',
    );
    expect(err).toBe(
      'warning: shard 0 holds 18 tenants, the limit is 20\n' +
        'too much: shard 0 holds 300,001 vectors, the limit is 300,000\n',
    );
    const { audit: _, ...shown } = DESCRIPTION;
    expect(JSON.parse((await run('tenant stats --json', cluster)).out)).toEqual(shown);
  });

  it('stats shows the change under way, and who is where while a shard is away', async () => {
    const { by, atMs } = AUDIT;
    const change = { changeId: 3, action: 'dedicateShard', tenant: '', shardId: 1, by, atMs };
    const cluster = clusterThatAnswers({
      describeTenants: {
        ...DESCRIPTION,
        shards: [],
        findings: [],
        change: { ...change, stage: 'fencing' },
      },
    });
    const { code, out, err } = await run('tenant stats', cluster);
    expect(code).toBe(3);
    expect(out).toBe('TENANT  ASSIGNED TO\nacme              1\n');
    expect(err).toBe(
      'a shard does not answer: what they hold is not known\n' +
        'change 3 is under way, fencing: dedicateShard on shard 1\n',
    );
    expect((await run('tenant stats --json', cluster)).code).toBe(3);
  });

  it('cancel gives up a change by its number (O4)', async () => {
    const cluster = clusterThatAnswers({ cancelTenantChange: { changed: true, epoch: 5 } });
    const { code, out } = await run('tenant cancel --change 3', cluster);
    expect([code, out]).toEqual([0, 'change 3 is given up\n']);
    expect(cluster.calls).toEqual([['cancelTenantChange', 3, CALL]]);
    expect((await run('tenant cancel', cluster)).code).toBe(2);
    const late = new FlotillaError('CHANGE_NOT_FOUND', 'it is decided');
    const failed = await run(
      'tenant cancel --change 3',
      clusterThatAnswers({ cancelTenantChange: late }),
    );
    expect(failed.code).toBe(1);
    expect(failed.err).toContain('CHANGE_NOT_FOUND');
  });

  it('stats of a collection shows its tenants, and where to go on', async () => {
    const counts = [
      { tenant: '', shardId: 0, records: 1 },
      { tenant: 'acme', shardId: 1, records: 1_234 },
    ];
    const cluster = clusterThatAnswers({ countTenants: { counts, hasMore: true } });
    const { out, err } = await run('tenant stats --collection notes --limit 2 --after A', cluster);
    expect(out).toBe(
      'TENANT    SHARD  RECORDS\n(nobody)      0        1\nacme          1    1,234\n',
    );
    expect(err).toBe('there are more: --after "acme"\n');
    expect(cluster.calls).toEqual([['countTenants', 'notes', { ...CALL, limit: 2, after: 'A' }]]);
  });

  it('audit shows the newest changes last (M-18)', async () => {
    const cluster = clusterThatAnswers({ describeTenants: DESCRIPTION });
    const { out } = await run('tenant audit', cluster);
    const [, first, second] = out.split('\n');
    expect(first).toMatch(/^ +1 +1970-01-01T00:00:00.000Z +assignTenant +acme +0 +1 +ops +TENANT/);
    expect(second).toMatch(/done$/);
    const last = await run('tenant audit --limit 1 --json', cluster);
    expect(JSON.parse(last.out)).toMatchObject([{ changeId: 2 }]);
    // Of a shard that is away the log can be read all the same.
    expect(cluster.calls[0]).toEqual(['describeTenants', { ...CALL, withUsage: false }]);
  });
});
