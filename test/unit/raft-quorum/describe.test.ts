// Goal: the core's values print in etcd's exact words, so that logs and replays can be compared.
// Method: one value of each kind with everything set and with everything left out, line by line.
import { describe, expect, it } from 'vitest';
import { encodeConfChange } from '../../../src/raft/conf-change-codec.js';
import {
  describeConfState,
  describeEntries,
  describeEntry,
  describeHardState,
  describeMessage,
  describeProgress,
  describeProgressTable,
  describeReady,
  describeSnapshot,
  describeSoftState,
  describeStatus,
  quoteBytes,
} from '../../../src/raft/describe.js';
import {
  type ConfState,
  type Entry,
  LOCAL_APPEND_THREAD,
  LOCAL_APPLY_THREAD,
  type Message,
  type ProgressStatus,
  type RaftStatus,
  type Ready,
} from '../../../src/raft/types.js';
import { change } from '../../raft/replica.js';

function entry(index: number, text: string, type: Entry['type'] = 'EntryNormal'): Entry {
  return { type, term: 1, index, data: Buffer.from(text) };
}

function message(fields: Partial<Message>): Message {
  return {
    type: 'MsgApp',
    to: 2,
    from: 1,
    term: 1,
    logTerm: 0,
    index: 0,
    entries: [],
    commit: 0,
    commitTerm: 0,
    vote: 0,
    reject: false,
    rejectHint: 0,
    context: 0,
    campaignTransfer: false,
    sentAtMs: 0,
    promiseMs: 0,
    ...fields,
  };
}

function ready(fields: Partial<Ready>): Ready {
  return {
    sequence: 1,
    entries: [],
    mustSync: false,
    messages: [],
    messagesAfterPersist: [],
    committed: [],
    readStates: [],
    readsAborted: [],
    ...fields,
  };
}

const progress: ProgressStatus = {
  id: 2,
  match: 11,
  next: 12,
  state: 'StateReplicate',
  isLearner: false,
  recentActive: true,
  paused: false,
  pendingSnapshot: 0,
  inflightCount: 0,
  inflightFull: false,
};

const confState: ConfState = {
  voters: [1, 2],
  votersOutgoing: [1],
  learners: [3],
  learnersNext: [],
  autoLeave: true,
};
const CONF_TEXT = 'Voters:[1 2] VotersOutgoing:[1] Learners:[3] LearnersNext:[] AutoLeave:true';
const snapshot = { meta: { index: 11, term: 1, confState }, data: Buffer.from('x') };

describe('quoteBytes', () => {
  it('escapes quotes, backslashes, control characters and everything beyond ASCII', () => {
    expect(quoteBytes(Buffer.from('a "b" \\ \n\t\r'))).toBe('"a \\"b\\" \\\\ \\n\\t\\r"');
    expect(quoteBytes(Uint8Array.of(0, 7, 0x7e, 0x7f, 0xff))).toBe('"\\x00\\a~\\x7f\\xff"');
  });
});

describe('states', () => {
  it('leave out the vote while there is none', () => {
    expect(describeHardState({ term: 1, vote: 0, commit: 12 })).toBe('Term:1 Commit:12');
    expect(describeHardState({ term: 1, vote: 2, commit: 12 })).toBe('Term:1 Vote:2 Commit:12');
  });

  it('show leader and role, configuration and snapshot', () => {
    expect(describeSoftState({ lead: 1, role: 'StateFollower' })).toBe(
      'Lead:1 State:StateFollower',
    );
    expect(describeConfState(confState)).toBe(CONF_TEXT);
    expect(describeSnapshot(snapshot)).toBe(`Index:11 Term:1 ConfState:${CONF_TEXT}`);
  });
});

describe('entries', () => {
  it('show term, index, type and quoted data', () => {
    expect(describeEntry(entry(12, 'prop_1'))).toBe('1/12 EntryNormal "prop_1"');
    expect(describeEntry(entry(11, ''))).toBe('1/11 EntryNormal ""');
    expect(describeEntries([entry(11, ''), entry(12, 'a')])).toBe(
      '1/11 EntryNormal ""\n1/12 EntryNormal "a"\n',
    );
  });

  it('show an empty configuration change as its type alone', () => {
    expect(describeEntry(entry(5, '', 'EntryConfChangeV2'))).toBe('1/5 EntryConfChangeV2');
    const data = encodeConfChange(change('v1 l22 r3'));
    expect(describeEntry({ type: 'EntryConfChangeV2', term: 1, index: 5, data })).toBe(
      '1/5 EntryConfChangeV2 v1 l22 r3',
    );
    expect(describeEntry(entry(5, '?', 'EntryConfChange'))).toBe('1/5 EntryConfChange "?"');
  });

  it('can be shown in the words of another formatter', () => {
    expect(describeEntry(entry(5, 'abc'), (each) => `${each.data.length} bytes`)).toBe(
      '1/5 EntryNormal 3 bytes',
    );
  });
});

describe('describeMessage', () => {
  it('keeps one entry on the line and puts several on lines of their own', () => {
    const one = message({ logTerm: 1, index: 11, commit: 11, entries: [entry(12, 'a')] });
    expect(describeMessage(one)).toBe(
      '1->2 MsgApp Term:1 Log:1/11 Commit:11 Entries:[1/12 EntryNormal "a"]',
    );
    const two = message({ logTerm: 1, index: 11, entries: [entry(12, 'a'), entry(13, 'b')] });
    expect(describeMessage(two)).toBe(
      '1->2 MsgApp Term:1 Log:1/11 Entries:[\n  1/12 EntryNormal "a"\n  1/13 EntryNormal "b"\n]',
    );
  });

  it('shows rejection and hint, ids in hexadecimal, none by name', () => {
    const rejected = message({ type: 'MsgAppResp', from: 26, reject: true, rejectHint: 3 });
    expect(describeMessage(rejected)).toBe('1a->2 MsgAppResp Term:1 Log:0/0 Rejected (Hint: 3)');
    expect(describeMessage(message({ type: 'MsgHup', from: 0, to: 0 }))).toBe(
      'None->None MsgHup Term:1 Log:0/0',
    );
  });

  it('shows the position of a pending read only when there is one (R3)', () => {
    expect(describeMessage(message({ type: 'MsgHeartbeat', context: 4 }))).toBe(
      '1->2 MsgHeartbeat Term:1 Log:0/0 Context:4',
    );
  });

  it('puts the snapshot on a line of its own', () => {
    expect(describeMessage(message({ type: 'MsgSnap', snapshot }))).toBe(
      `1->2 MsgSnap Term:1 Log:0/0\n  Snapshot: Index:11 Term:1 ConfState:${CONF_TEXT}`,
    );
  });

  it('nests the responses that storage hands on, indented', () => {
    const responses = [
      message({ type: 'MsgAppResp', to: 1, from: 1, entries: [entry(1, ''), entry(2, '')] }),
      message({ type: 'MsgStorageAppendResp', to: 1, from: LOCAL_APPEND_THREAD }),
      message({ type: 'MsgStorageApplyResp', to: 1, from: LOCAL_APPLY_THREAD }),
    ];
    const text = describeMessage(
      message({ type: 'MsgStorageAppend', to: LOCAL_APPEND_THREAD, vote: 1, responses }),
    );
    expect(text.split('\n')).toEqual([
      '1->AppendThread MsgStorageAppend Term:1 Log:0/0 Vote:1 Responses:[',
      '  1->1 MsgAppResp Term:1 Log:0/0 Entries:[',
      '    1/1 EntryNormal ""',
      '    1/2 EntryNormal ""',
      '  ]',
      '  AppendThread->1 MsgStorageAppendResp Term:1 Log:0/0',
      '  ApplyThread->1 MsgStorageApplyResp Term:1 Log:0/0',
      ']',
    ]);
  });
});

describe('describeReady', () => {
  it('says so when there is nothing to do', () => {
    expect(describeReady(ready({}))).toBe('<empty Ready>');
  });

  it('lists everything in the order of the work, messages that wait for the disk last (E1)', () => {
    const text = describeReady(
      ready({
        mustSync: true,
        softState: { lead: 1, role: 'StateLeader' },
        hardState: { term: 1, vote: 1, commit: 11 },
        readStates: [
          { requestId: 7, index: 11 },
          { requestId: 8, index: 11 },
        ],
        readsAborted: [9, 10],
        entries: [entry(12, 'a')],
        snapshot,
        committed: [entry(11, '')],
        messages: [message({ type: 'MsgHeartbeat' })],
        messagesAfterPersist: [message({ type: 'MsgAppResp', index: 12 })],
      }),
    );
    expect(text.split('\n')).toEqual([
      'Ready MustSync=true:',
      'Lead:1 State:StateLeader',
      'HardState Term:1 Vote:1 Commit:11',
      'ReadStates [{11 7} {11 8}]',
      'ReadsAborted [9 10]',
      'Entries:',
      '1/12 EntryNormal "a"',
      `Snapshot Index:11 Term:1 ConfState:${CONF_TEXT}`,
      'CommittedEntries:',
      '1/11 EntryNormal ""',
      'Messages:',
      '1->2 MsgHeartbeat Term:1 Log:0/0',
      '1->2 MsgAppResp Term:1 Log:0/12',
      '',
    ]);
  });
});

describe('status', () => {
  it('leaves out what is usual of a progress', () => {
    expect(describeProgress(progress)).toBe('StateReplicate match=11 next=12');
  });

  it('shows what is not, in a fixed order', () => {
    expect(
      describeProgress({
        ...progress,
        state: 'StateSnapshot',
        isLearner: true,
        recentActive: false,
        paused: true,
        pendingSnapshot: 11,
        inflightCount: 3,
        inflightFull: true,
      }),
    ).toBe(
      'StateSnapshot match=11 next=12 learner paused pendingSnap=11 inactive inflight=3[full]',
    );
  });

  it('counts a voter of either half of a joint configuration as one', () => {
    const status: RaftStatus = {
      id: 4,
      hardState: { term: 2, vote: 0, commit: 11 },
      softState: { lead: 1, role: 'StateFollower' },
      applied: 11,
      lastIndex: 11,
      confState: { ...confState, voters: [1], votersOutgoing: [4] },
      progress: [progress, { ...progress, id: 4 }],
    };
    expect(describeStatus(status)).toBe('4: StateFollower (Voter) Term:2 Lead:1');
    expect(describeStatus({ ...status, confState })).toBe(
      '4: StateFollower (Non-Voter) Term:2 Lead:1',
    );
    expect(describeProgressTable(status)).toBe(
      '2: StateReplicate match=11 next=12\n4: StateReplicate match=11 next=12\n',
    );
  });
});
