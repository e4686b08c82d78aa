// Goal: every log store keeps the promises of storage/log-store.ts, the twin like the real one.
// Method: the same cases against whatever the factory opens; a reopen stands for a restart.
import { afterEach, describe, expect, it } from 'vitest';
import { CompactedError, type Entry, UnavailableError } from '../../src/raft/types.js';
import { InvariantError } from '../../src/shared/assert.js';
import { isFlotillaError } from '../../src/shared/errors.js';
import type { LogStore } from '../../src/storage/log-store.js';
import {
  configurationOf,
  described,
  entriesOf,
  entry,
  genesisOf,
  hardStateOf,
  writeOf,
} from '../unit/storage/harness.js';

export interface LogStorePlace {
  /** Opens the store, or opens it again after a close. */
  open(): Promise<LogStore>;
  /** Makes the next write to the disk fail. */
  failNextWrite(error: Error): void;
  remove(): Promise<void>;
}

const ALL = Number.MAX_SAFE_INTEGER;

function everything(store: LogStore, groupId: number): readonly Entry[] {
  const reader = store.reader(groupId);
  return reader.entries(reader.firstIndex(), reader.lastIndex() + 1, ALL);
}

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const thrown: unknown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  return isFlotillaError(thrown) ? thrown.reason : String(thrown);
}

export function logStoreSuite(name: string, makePlace: () => Promise<LogStorePlace>): void {
  describe(`${name} as a log store`, () => {
    const places: LogStorePlace[] = [];

    async function newPlace(): Promise<LogStorePlace> {
      const place = await makePlace();
      places.push(place);
      return place;
    }

    /** A store with group 7, still empty. */
    async function newStore(): Promise<LogStore> {
      const store = await (await newPlace()).open();
      await store.createGroup(genesisOf(7));
      return store;
    }

    afterEach(async () => {
      for (const place of places.splice(0)) await place.remove();
    });

    it('starts a group empty, with its genesis as the configuration', async () => {
      const store = await newStore();
      const reader = store.reader(7);
      expect(reader.firstIndex()).toBe(1);
      expect(reader.lastIndex()).toBe(0);
      expect(reader.term(0)).toBe(0);
      expect(reader.snapshot()).toBeUndefined();
      expect(reader.entries(1, 1, ALL)).toEqual([]);
      const { confState } = genesisOf(7);
      expect(reader.initialState()).toEqual({ hardState: hardStateOf(0), confState });
      await store.close();
    });

    it('shows entries and hard state once their write has resolved, and not before', async () => {
      const store = await newStore();
      const reader = store.reader(7);
      const writing = store.write(writeOf(7, entriesOf(1, 3, 1), hardStateOf(1, 2, 1)));
      expect(reader.lastIndex()).toBe(0);
      await writing;
      expect(reader.lastIndex()).toBe(3);
      expect(reader.initialState().hardState).toEqual(hardStateOf(1, 2, 1));
      expect(everything(store, 7)).toEqual(entriesOf(1, 3, 1));
      await store.close();
    });

    it('keeps every type of entry, and empty data', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      const entries: Entry[] = [
        entry(1, 1, ''),
        { ...entry(2, 1), type: 'EntryConfChange' },
        { ...entry(3, 1), type: 'EntryConfChangeV2' },
      ];
      await store.write(writeOf(7, entries, hardStateOf(1)));
      expect(everything(store, 7)).toEqual(entries);
      await store.close();
      const again = await place.open();
      expect(everything(again, 7)).toEqual(entries);
      await again.close();
    });

    it('does not notice when the caller changes its buffers afterwards', async () => {
      const store = await newStore();
      const data = Buffer.from('before');
      await store.write(writeOf(7, [{ ...entry(1, 1), data }], hardStateOf(1)));
      const stored = Buffer.from(everything(store, 7)[0]?.data ?? []).toString();
      expect(stored).toBe('before');
      await store.close();
    });

    it('replaces a suffix, so that the old one is gone after a reopen too (L1)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      await store.write(writeOf(7, entriesOf(1, 9, 1), hardStateOf(1)));
      await store.write(writeOf(7, entriesOf(4, 5, 2), hardStateOf(2)));
      const expected = ['1@1', '2@1', '3@1', '4@2', '5@2'];
      expect(described(everything(store, 7))).toEqual(expected);
      expect(() => store.reader(7).term(6)).toThrow(UnavailableError);
      await store.close();
      const again = await place.open();
      expect(again.damaged()).toEqual([]);
      expect(described(everything(again, 7))).toEqual(expected);
      await again.write(writeOf(7, entriesOf(6, 6, 2)));
      expect(described(everything(again, 7))).toEqual([...expected, '6@2']);
      await again.close();
    });

    it('keeps the order of writes of a group that were submitted at once', async () => {
      const store = await newStore();
      await Promise.all([
        store.write(writeOf(7, entriesOf(1, 4, 1), hardStateOf(1))),
        store.write(writeOf(7, entriesOf(3, 3, 2), hardStateOf(2))),
        store.write(writeOf(7, entriesOf(4, 6, 2), hardStateOf(2, 0, 5))),
      ]);
      expect(described(everything(store, 7))).toEqual(['1@1', '2@1', '3@2', '4@2', '5@2', '6@2']);
      expect(store.reader(7).initialState().hardState.commit).toBe(5);
      await store.close();
    });

    it('keeps groups apart', async () => {
      const place = await newPlace();
      const store = await place.open();
      const groups = [0, 1, 7, 255, 256, 70_000];
      await Promise.all(groups.map((groupId) => store.createGroup(genesisOf(groupId))));
      await Promise.all(
        groups.map((groupId) =>
          store.write(writeOf(groupId, entriesOf(1, 2 + (groupId % 3), 1), hardStateOf(1))),
        ),
      );
      await store.close();
      const again = await place.open();
      expect(again.groups().map((genesis) => genesis.groupId)).toEqual(groups);
      for (const groupId of groups) {
        expect(again.groups()).toContainEqual(genesisOf(groupId));
        expect(everything(again, groupId)).toEqual(entriesOf(1, 2 + (groupId % 3), 1));
      }
      await again.close();
    });

    it('bounds entries() by size, but always gives the first one (L11)', async () => {
      const store = await newStore();
      const entries = [1, 2, 3, 4].map((index) => entry(index, 1, 'x'.repeat(10)));
      await store.write(writeOf(7, entries, hardStateOf(1)));
      const count = (sizeMaxBytes: number): number =>
        store.reader(7).entries(1, 5, sizeMaxBytes).length;
      expect([0, 9, 10, 19, 20, 29, 30, 39, 40, ALL].map(count)).toEqual([
        1, 1, 1, 1, 2, 2, 3, 3, 4, 4,
      ]);
      expect(described(store.reader(7).entries(2, 4, ALL))).toEqual(['2@1', '3@1']);
      await store.close();
    });

    it('throws by the side on which an index is outside the log (L5)', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 3, 1), hardStateOf(1)));
      const reader = store.reader(7);
      expect(() => reader.entries(0, 2, ALL)).toThrow(CompactedError);
      expect(() => reader.entries(3, 5, ALL)).toThrow(UnavailableError);
      expect(() => reader.term(4)).toThrow(UnavailableError);
      expect(() => reader.term(-1)).toThrow(CompactedError);
      expect(reader.entries(4, 4, ALL)).toEqual([]);
      expect([0, 1, 3].map((index) => reader.term(index))).toEqual([0, 1, 1]);
      await store.close();
    });

    it('takes writes that need no sync, and shows them', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 3, 1), hardStateOf(1)));
      await store.write(writeOf(7, [], hardStateOf(1, 0, 2), false));
      expect(store.reader(7).initialState().hardState).toEqual(hardStateOf(1, 0, 2));
      await store.close();
    });

    it.each([
      ['a gap after the log', writeOf(7, entriesOf(6, 6, 2))],
      ['a gap inside', writeOf(7, [entry(4, 2), entry(6, 2)])],
      ['replacing what is committed (S-17)', writeOf(7, entriesOf(2, 4, 2))],
      ['terms that decrease', writeOf(7, [entry(4, 1)])],
      ['an entry of a term that is not persisted (S1)', writeOf(7, [entry(4, 3)])],
      ['a term that goes back', writeOf(7, [], hardStateOf(1, 0, 2))],
      ['a second vote in a term (E4)', writeOf(7, [], hardStateOf(2, 1, 2))],
      ['a commit that goes back', writeOf(7, [], hardStateOf(2, 3, 1))],
      ['a commit beyond the log (S-41)', writeOf(7, [], hardStateOf(2, 3, 4))],
      ['a vote that is no id', writeOf(7, [], hardStateOf(3, -1, 2))],
      ['a term that is no whole number', writeOf(7, [], hardStateOf(2.5, 3, 2))],
      ['an index that is no whole number', writeOf(7, [entry(3.5, 2)])],
    ])('refuses a write with %s, alone and for no other', async (_, bad) => {
      const store = await newStore();
      await store.createGroup(genesisOf(8));
      const entries = [entry(1, 1), entry(2, 1), entry(3, 2)];
      await store.write(writeOf(7, entries, hardStateOf(2, 3, 2)));
      const other = store.write(writeOf(8, entriesOf(1, 1, 1), hardStateOf(1)));
      await expect(store.write(bad)).rejects.toThrow(InvariantError);
      await other;
      expect(described(everything(store, 7))).toEqual(['1@1', '2@1', '3@2']);
      expect(store.reader(7).initialState().hardState).toEqual(hardStateOf(2, 3, 2));
      expect(store.poisoned).toBeUndefined();
      await store.close();
    });

    it('creates a group once: the same again is fine, another one is refused', async () => {
      const place = await newPlace();
      const store = await place.open();
      await Promise.all([store.createGroup(genesisOf(7)), store.createGroup(genesisOf(7))]);
      await store.write(writeOf(7, entriesOf(1, 2, 1), hardStateOf(1)));
      await store.createGroup(genesisOf(7));
      expect(store.reader(7).lastIndex()).toBe(2);
      expect(await reasonOf(store.createGroup(genesisOf(7, 2)))).toBe('SETTINGS_MISMATCH');
      await store.close();
      const again = await place.open();
      await again.createGroup(genesisOf(7));
      expect(await reasonOf(again.createGroup(genesisOf(7, 2)))).toBe('SETTINGS_MISMATCH');
      expect(again.reader(7).lastIndex()).toBe(2);
      await again.close();
    });

    it('takes writes of a group as soon as its creation was asked for', async () => {
      const store = await (await newPlace()).open();
      const created = store.createGroup(genesisOf(7));
      const written = store.write(writeOf(7, entriesOf(1, 1, 1), hardStateOf(1)));
      await Promise.all([created, written]);
      expect(store.reader(7).lastIndex()).toBe(1);
      await store.close();
    });

    it('knows no group that was not created', async () => {
      const store = await newStore();
      expect(() => store.reader(8)).toThrow(InvariantError);
      await expect(store.write(writeOf(8, []))).rejects.toThrow(InvariantError);
      await expect(store.createGroup(genesisOf(2 ** 32))).rejects.toThrow(InvariantError);
      await store.close();
    });

    it('starts after a compaction where it was told to, and keeps the rest (S9)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      const entries = [...entriesOf(1, 400, 1), ...entriesOf(401, 600, 2)];
      await store.write(writeOf(7, entries, hardStateOf(2, 0, 590)));
      const whole = store.logSizeBytes(7);
      await store.write({ ...writeOf(7, []), compactedIndex: 500 });
      const check = (opened: LogStore): void => {
        const reader = opened.reader(7);
        expect(reader.firstIndex()).toBe(501);
        expect(reader.lastIndex()).toBe(600);
        expect(reader.term(500)).toBe(2);
        expect(() => reader.term(499)).toThrow(CompactedError);
        expect(() => reader.entries(500, 502, ALL)).toThrow(CompactedError);
        expect(everything(opened, 7)).toEqual(entriesOf(501, 600, 2));
        expect(opened.logSizeBytes(7)).toBeLessThan(whole / 4);
        expect(opened.logSizeBytes(7)).toBeGreaterThan(whole / 8);
      };
      check(store);
      // Again, and further back: nothing happens.
      await store.write({ ...writeOf(7, []), compactedIndex: 400 });
      check(store);
      await store.close();
      const again = await place.open();
      check(again);
      await again.write(writeOf(7, entriesOf(601, 601, 2)));
      await again.write({ ...writeOf(7, [], hardStateOf(2, 0, 601)), compactedIndex: 601 });
      expect([again.reader(7).firstIndex(), again.reader(7).lastIndex()]).toEqual([602, 601]);
      expect(again.reader(7).term(601)).toBe(2);
      expect(again.logSizeBytes(7)).toBe(0);
      await again.close();
      const third = await place.open();
      expect([third.reader(7).firstIndex(), third.reader(7).lastIndex()]).toEqual([602, 601]);
      await third.write(writeOf(7, entriesOf(602, 603, 2)));
      expect(described(everything(third, 7))).toEqual(['602@2', '603@2']);
      await third.close();
    });

    it('refuses to compact what is not committed', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 9, 1), hardStateOf(1, 0, 5)));
      for (const compactedIndex of [6, 10, -1, 2.5]) {
        const refused = store.write({ ...writeOf(7, []), compactedIndex });
        await expect(refused).rejects.toThrow(InvariantError);
      }
      expect(store.reader(7).firstIndex()).toBe(1);
      await store.close();
    });

    it('drops the whole log for a snapshot, also what is beyond it (P4, S-36)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      await store.write(writeOf(7, entriesOf(1, 40, 1), hardStateOf(1, 2, 10)));
      const configuration = configurationOf(20);
      const snapshot = { index: 25, term: 3, configuration };
      await store.write({ ...writeOf(7, [], hardStateOf(4, 0, 25)), snapshot });
      const check = (opened: LogStore, last: number): void => {
        const reader = opened.reader(7);
        expect([reader.firstIndex(), reader.lastIndex()]).toEqual([26, last]);
        expect(reader.term(25)).toBe(3);
        const { hardState, confState } = reader.initialState();
        expect(hardState).toEqual(hardStateOf(4, 0, 25));
        expect(confState).toEqual(configuration.confState);
        expect(opened.configuration(7)).toEqual(configuration);
      };
      check(store, 25);
      expect(store.logSizeBytes(7)).toBe(0);
      await store.close();
      const again = await place.open();
      expect(again.damaged()).toEqual([]);
      check(again, 25);
      await again.write(writeOf(7, entriesOf(26, 28, 4)));
      expect(described(everything(again, 7))).toEqual(['26@4', '27@4', '28@4']);
      await again.close();
      const third = await place.open();
      check(third, 28);
      expect(described(everything(third, 7))).toEqual(['26@4', '27@4', '28@4']);
      await third.close();
    });

    it('takes a snapshot, its hard state and what follows it in one write', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 3, 1), hardStateOf(1)));
      await store.write({
        ...writeOf(7, entriesOf(1_001, 1_002, 5), hardStateOf(5, 1, 1_001)),
        snapshot: { index: 1_000, term: 5, configuration: configurationOf(0) },
        configuration: configurationOf(1_001),
      });
      const reader = store.reader(7);
      expect([reader.firstIndex(), reader.lastIndex()]).toEqual([1_001, 1_002]);
      expect(reader.initialState().hardState).toEqual(hardStateOf(5, 1, 1_001));
      expect(store.configuration(7).index).toBe(1_001);
      await store.close();
    });

    it('commits at least what a snapshot stands for', async () => {
      const store = await newStore();
      const snapshot = { index: 10, term: 1, configuration: configurationOf(0) };
      await store.write({ ...writeOf(7, [], hardStateOf(2)), snapshot });
      expect(store.reader(7).initialState().hardState).toEqual(hardStateOf(2, 0, 10));
      expect(store.configuration(7)).toEqual(configurationOf(0));
      await store.close();
    });

    it.each([
      ['behind the commit index', { index: 4, term: 1 }],
      ['of a term that is not persisted', { index: 9, term: 3 }],
      ['of nothing', { index: 0, term: 0 }],
      ['at no whole number', { index: 9.5, term: 1 }],
    ])('refuses a snapshot %s', async (_, { index, term }) => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 6, 1), hardStateOf(2, 0, 5)));
      const snapshot = { index, term, configuration: configurationOf(0) };
      await expect(store.write({ ...writeOf(7, []), snapshot })).rejects.toThrow(InvariantError);
      expect(described(everything(store, 7))).toHaveLength(6);
      await store.close();
    });

    it('refuses entries that begin inside a snapshot, or leave a gap after it', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 6, 1), hardStateOf(2, 0, 5)));
      const snapshot = { index: 9, term: 1, configuration: configurationOf(0) };
      for (const index of [9, 11]) {
        const refused = store.write({ ...writeOf(7, [entry(index, 2)]), snapshot });
        await expect(refused).rejects.toThrow(InvariantError);
      }
      await store.write({ ...writeOf(7, [entry(10, 2)]), snapshot });
      expect(described(everything(store, 7))).toEqual(['10@2']);
      await store.close();
    });

    it('keeps the newest configuration, beginning with the genesis', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      const { confState, members } = genesisOf(7);
      expect(store.configuration(7)).toEqual({ index: 0, confState, members });
      await store.write(writeOf(7, entriesOf(1, 9, 1), hardStateOf(1, 0, 9)));
      await store.write({ ...writeOf(7, []), configuration: configurationOf(4) });
      await store.write({ ...writeOf(7, []), configuration: configurationOf(8) });
      expect(store.configuration(7)).toEqual(configurationOf(8));
      for (const index of [7, 10]) {
        const refused = store.write({ ...writeOf(7, []), configuration: configurationOf(index) });
        await expect(refused).rejects.toThrow(InvariantError);
      }
      await store.close();
      const again = await place.open();
      expect(again.configuration(7)).toEqual(configurationOf(8));
      expect(again.reader(7).initialState().confState).toEqual(configurationOf(8).confState);
      expect(again.groups()).toEqual([genesisOf(7)]);
      await again.close();
    });

    it('removes a group for ever, and never takes its replica id again (M8)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7, 3));
      await store.createGroup(genesisOf(8));
      await store.write(writeOf(7, entriesOf(1, 600, 1), hardStateOf(1)));
      await store.write(writeOf(8, entriesOf(1, 2, 1), hardStateOf(1)));
      await store.removeGroup(7);
      const check = async (opened: LogStore): Promise<void> => {
        expect(opened.groups()).toEqual([genesisOf(8)]);
        expect(() => opened.reader(7)).toThrow(InvariantError);
        await expect(opened.write(writeOf(7, []))).rejects.toThrow(InvariantError);
        await opened.removeGroup(7);
        for (const replicaId of [1, 3]) {
          const again = opened.createGroup(genesisOf(7, replicaId));
          expect(await reasonOf(again)).toBe('SETTINGS_MISMATCH');
          const replaced = opened.replaceGroup(genesisOf(7, replicaId));
          expect(await reasonOf(replaced)).toBe('SETTINGS_MISMATCH');
        }
      };
      await check(store);
      await expect(store.removeGroup(9)).rejects.toThrow(InvariantError);
      await store.close();
      const again = await place.open();
      await check(again);
      await again.createGroup(genesisOf(7, 4));
      expect(again.reader(7).lastIndex()).toBe(0);
      await again.write(writeOf(7, entriesOf(1, 2, 1), hardStateOf(1)));
      await again.close();
      const third = await place.open();
      expect(third.damaged()).toEqual([]);
      expect(described(everything(third, 7))).toEqual(['1@1', '2@1']);
      expect(third.reader(8).lastIndex()).toBe(2);
      await third.close();
    });

    it('removes and creates a group again although nobody waited', async () => {
      const store = await newStore();
      await store.write(writeOf(7, entriesOf(1, 600, 1), hardStateOf(1)));
      const removed = [store.removeGroup(7), store.removeGroup(7)];
      await Promise.all([...removed, store.createGroup(genesisOf(7, 2))]);
      await store.write(writeOf(7, entriesOf(1, 5, 3), hardStateOf(3)));
      expect(described(everything(store, 7))).toEqual(['1@3', '2@3', '3@3', '4@3', '5@3']);
      await store.close();
    });

    it('replaces a group under a new replica id, and starts it empty (M8)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7, 3));
      await store.write(writeOf(7, entriesOf(1, 600, 1), hardStateOf(1, 2, 9)));
      expect(await reasonOf(store.replaceGroup(genesisOf(7, 2)))).toBe('SETTINGS_MISMATCH');
      await store.replaceGroup(genesisOf(7, 5));
      await store.replaceGroup(genesisOf(7, 5));
      expect(store.groups()).toEqual([genesisOf(7, 5)]);
      expect(store.reader(7).lastIndex()).toBe(0);
      expect(store.reader(7).initialState().hardState).toEqual(hardStateOf(0));
      await store.write(writeOf(7, entriesOf(1, 2, 4), hardStateOf(4)));
      await store.close();
      const again = await place.open();
      expect(again.damaged()).toEqual([]);
      expect(described(everything(again, 7))).toEqual(['1@4', '2@4']);
      await again.replaceGroup(genesisOf(9, 1));
      expect(again.groups()).toEqual([genesisOf(7, 5), genesisOf(9, 1)]);
      await again.close();
    });

    it('says whether there is room', async () => {
      const store = await newStore();
      expect(store.space).toBe('ok');
      await store.close();
    });

    it('keeps its identity, and counts the incarnations (S-44)', async () => {
      const place = await newPlace();
      const seen = [];
      for (let open = 1; open <= 3; open++) {
        const store = await place.open();
        seen.push(store.identity);
        await store.close();
      }
      const [first] = seen;
      expect(first?.storeId).not.toBe('');
      expect(seen.map((identity) => identity.storeId)).toEqual(Array(3).fill(first?.storeId));
      expect(seen.map((identity) => identity.incarnation)).toEqual([1, 2, 3]);
    });

    it('keeps hard state and entries over a reopen', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      const entries = [...entriesOf(1, 40, 1), ...entriesOf(41, 50, 2 ** 40)];
      await store.write(writeOf(7, entries, hardStateOf(2 ** 40, 3, 45)));
      await store.close();
      const again = await place.open();
      expect(again.reader(7).initialState().hardState).toEqual(hardStateOf(2 ** 40, 3, 45));
      expect(everything(again, 7)).toEqual(entries);
      expect([40, 41].map((index) => again.reader(7).term(index))).toEqual([1, 2 ** 40]);
      await again.close();
    });

    it('keeps blobs, the newest of a name', async () => {
      const place = await newPlace();
      const store = await place.open();
      expect(await store.getBlob('bootstrap')).toBeUndefined();
      await store.putBlob('bootstrap', Uint8Array.of(1, 2));
      await store.putBlob('bootstrap', Uint8Array.of(3));
      await store.putBlob('empty', Uint8Array.of());
      await store.close();
      const again = await place.open();
      expect(await again.getBlob('bootstrap')).toEqual(Uint8Array.of(3));
      expect(await again.getBlob('empty')).toEqual(Uint8Array.of());
      await expect(again.putBlob('../x', Uint8Array.of())).rejects.toThrow(InvariantError);
      await again.close();
    });

    it('is poisoned for ever by a write error, and every promise settles (S6, S-45)', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      await store.createGroup(genesisOf(8));
      await store.write(writeOf(7, entriesOf(1, 2, 1), hardStateOf(1)));
      place.failNextWrite(new Error('ENOSPC'));
      const failing = [
        store.write(writeOf(7, entriesOf(3, 3, 1))),
        store.write(writeOf(8, entriesOf(1, 1, 1), hardStateOf(1))),
      ];
      const reasons = await Promise.all(failing.map(reasonOf));
      expect(reasons).toEqual(['STORE_POISONED', 'STORE_POISONED']);
      expect(isFlotillaError(store.poisoned) && store.poisoned.reason).toBe('STORE_POISONED');
      expect(await reasonOf(store.write(writeOf(8, [])))).toBe('STORE_POISONED');
      expect(await reasonOf(store.createGroup(genesisOf(9)))).toBe('STORE_POISONED');
      expect(await reasonOf(store.putBlob('b', Uint8Array.of(1)))).toBe('STORE_POISONED');
      expect(described(everything(store, 7))).toEqual(['1@1', '2@1']);
      await store.close();
      const again = await place.open();
      expect(again.poisoned).toBeUndefined();
      expect(described(everything(again, 7)).slice(0, 2)).toEqual(['1@1', '2@1']);
      await again.close();
    });

    it('waits on close for what was submitted, and then takes no more', async () => {
      const place = await newPlace();
      const store = await place.open();
      await store.createGroup(genesisOf(7));
      const writing = store.write(writeOf(7, entriesOf(1, 2, 1), hardStateOf(1)));
      const closing = store.close();
      const late = reasonOf(store.write(writeOf(7, entriesOf(3, 3, 1))));
      await Promise.all([writing, closing, store.close()]);
      expect(await late).toBe('NODE_NOT_READY');
      const again = await place.open();
      expect(described(everything(again, 7))).toEqual(['1@1', '2@1']);
      await again.close();
    });
  });
}
