// Goal: each record of a run has one name, and tenants come one after the other.
// Method: names there and back; the tenants of a run by hand.
import { describe, expect, it } from 'vitest';
import { COLLECTION, HOME, idOf, isIn, keyOf, spaceOf, TENANT_COLLECTION } from './address.js';
import { type Tenancy, Tenants } from './tenants.js';

const TENANCY: Tenancy = {
  mixed: 1,
  residents: 2,
  newcomersMax: 1,
  keys: 1,
  shares: { count: 1, scroll: 1 },
  allTenants: 0,
  changePauseMs: 1,
};

describe('the name of a record', () => {
  it.each([
    ['nobody', HOME],
    ['a tenant', { collection: COLLECTION, tenant: 'acme' }],
    ['a tenant elsewhere', { collection: TENANT_COLLECTION, tenant: 'acme' }],
  ])('says that it is of %s', (_, space) => {
    const key = keyOf(space, 'id');
    expect(spaceOf(key)).toEqual(space);
    expect(idOf(key)).toBe('id');
    expect(isIn(space, key)).toBe(true);
    expect(isIn({ ...space, tenant: undefined }, key)).toBe(true);
    expect(isIn({ ...space, tenant: 'another' }, key)).toBe(false);
  });
});

describe('the tenants of a run', () => {
  it('are nobody where there are none', () => {
    const tenants = new Tenants(undefined);
    expect(tenants.spaces).toEqual([HOME]);
    expect(tenants.newcomer()).toBeUndefined();
  });

  it('are written for from when they are open, the newest of them', () => {
    const tenants = new Tenants(TENANCY);
    expect(tenants.spaces).toHaveLength(4);
    const newcomer = tenants.newcomer();
    if (newcomer === undefined) throw new Error('nobody comes');
    expect(tenants.residents).not.toContainEqual(newcomer);
    tenants.open(newcomer);
    expect(tenants.residents.at(-1)).toEqual(newcomer);
    expect(tenants.newcomer()).toBeUndefined();
  });
});
