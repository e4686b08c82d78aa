/**
 * A process that does nothing but write to a log store until it is killed, or its disk is full.
 *
 *     node storage-child.mjs DIRECTORY until-killed|until-full ACKNOWLEDGED
 *
 * It appends to the file ACKNOWLEDGED what was: `group index term` a line, and says `writing` on
 * its standard output when there is the first.
 */
import { randomUUID } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { argv, exit, kill, pid } from 'node:process';
import { RealDisk } from '../../dist/node/real-disk.js';
import { silentLogger } from '../../dist/shared/logger.js';
import { openLogStore } from '../../dist/storage/open-log-store.js';

const GROUPS = 6;
const KEPT_ENTRIES = 100;
const [, , directory, mode, path] = argv;
// A pipe would be full when its reader is slow; what is in a file outlives the process.
const acknowledged = openSync(path, 'w');
let isWriting = false;

const environment = {
  disk: new RealDisk(),
  random: { next: Math.random, uuid: randomUUID },
  scheduler: {
    after: (delayMs, task) => {
      const timer = setTimeout(task, delayMs);
      return { cancel: () => clearTimeout(timer) };
    },
    every: (periodMs, task) => {
      const timer = setInterval(task, periodMs);
      return { cancel: () => clearInterval(timer) };
    },
    soon: setImmediate,
  },
};

const confState = {
  voters: [1],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
};

function entryOf(groupId, index, term) {
  const text = `${groupId}/${index}/${term}/`;
  const sizeBytes = mode === 'until-full' ? 8_000 : 20 + ((index * 37) % 1_500);
  return { type: 'EntryNormal', index, term, data: Buffer.from(text.padEnd(sizeBytes, 'x')) };
}

/** What the group writes next, after `count` writes: appends, and now and then all the rest. */
function nextWrite(store, groupId, count) {
  const reader = store.reader(groupId);
  const last = reader.lastIndex();
  const { commit, term: before } = reader.initialState().hardState;
  const vote = 1;
  const isNewTerm = before === 0 || count % 11 === 0;
  const term = isNewTerm ? before + 1 : before;
  if (count % 97 === 96) {
    const index = last + 5;
    const configuration = { index, confState, members: [] };
    const hardState = { term, vote, commit: index };
    return { groupId, hardState, entries: [], snapshot: { index, term, configuration } };
  }
  // A new term replaces what is not committed, as a new leader would have it.
  const from = isNewTerm ? Math.max(commit + 1, last - 1) : last + 1;
  const entries = [entryOf(groupId, from, term), entryOf(groupId, from + 1, term)];
  const hardState = { term, vote, commit: Math.max(commit, from - 2) };
  const compactedIndex = hardState.commit - KEPT_ENTRIES;
  const compacts = mode !== 'until-full' && count % 50 === 49 && compactedIndex > 0;
  return { groupId, hardState, entries, ...(compacts && { compactedIndex }) };
}

async function writeOn(store, groupId) {
  for (let count = 0; ; count++) {
    await store.write({ ...nextWrite(store, groupId, count), mustSync: true });
    const last = store.reader(groupId).lastIndex();
    writeSync(acknowledged, `${groupId} ${last} ${store.reader(groupId).term(last)}\n`);
    if (!isWriting) writeSync(1, 'writing\n');
    isWriting = true;
  }
}

const store = await openLogStore({ environment, directory, logger: silentLogger });
if (store.damaged().length > 0) exit(3);
const groupIds = Array.from({ length: GROUPS }, (_, groupId) => groupId);
for (const groupId of groupIds) {
  await store.createGroup({ groupId, replicaId: 1, confState, members: [] });
}
try {
  await Promise.all(groupIds.map((groupId) => writeOn(store, groupId)));
} catch (error) {
  if (mode !== 'until-full') throw error;
  writeSync(2, `${error}\n`);
  // No orderly end: the next process finds a full disk and what is on it.
  kill(pid, 'SIGKILL');
}
