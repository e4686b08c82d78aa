// Goal: what was acknowledged survives machines that lose power, one or all, and with it what their
// disks had not synced; a replica with a shorter log elects nobody who lacks it (P-1; F-2, F-3).
// Method: real nodes under load are killed and their files cut where they were synced last.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { faultKinds } from '../support/faults/all-fault-kinds.js';
import { runCampaign } from '../support/faults/campaign.js';
import { ForgetfulDisks } from '../support/faults/forgetful-disks.js';
import { openPartitionableNetwork } from '../support/faults/partitions.js';
import { waitUntil } from '../support/wait-until.js';
import { expectSound } from './sound-campaign.js';

/** Syncs some of what it writes, says that it is done, and waits to be killed. */
const WRITER = `
  const fs = require('node:fs');
  process.chdir(process.argv[1]);
  const write = (name, text) => fs.appendFileSync(name, text);
  const sync = (name) => fs.fdatasyncSync(fs.openSync(name, 'r+'));
  write('part', 'synced,'); sync('part'); write('part', 'forgotten');
  write('whole', 'synced'); sync('whole'); fs.renameSync('whole', 'renamed');
  write('never', 'forgotten');
  write('old', ' and forgotten');
  fs.rmSync('gone'); write('gone', 'forgotten');
  write('done', '');
  setInterval(() => undefined, 1000);
`;

describe.runIf(ForgetfulDisks.isAvailable())('a disk that forgets (Linux, with cc)', () => {
  it('keeps what was synced or there before, under any name, and nothing else', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'flotilla-forgets-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const files = join(directory, 'files');
    const textOf = (name: string): string => readFileSync(join(files, name), 'utf8');
    mkdirSync(files);
    for (const name of ['old', 'gone']) writeFileSync(join(files, name), name);
    const disks = ForgetfulDisks.open(directory);
    const env = { ...process.env, ...disks.environmentOf(1, files) };
    await killedWhenDone(spawn(process.execPath, ['-e', WRITER, files], { env }), files);
    const forgotten = disks.forget(1, files, () => 0);
    expect(['part', 'renamed', 'never', 'old', 'gone'].map(textOf)).toEqual([
      'synced,',
      'synced',
      '',
      'old',
      '',
    ]);
    const lost = 'forgotten'.length * 3 + ' and forgotten'.length;
    expect(forgotten).toEqual({ files: 4, sizeBytes: lost });
  });

  it('refuses a node of which nothing is known', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'flotilla-forgets-'));
    onTestFinished(() => rmSync(directory, { recursive: true }));
    const disks = ForgetfulDisks.open(directory);
    disks.environmentOf(1, join(directory, 'files'));
    expect(() => disks.forget(1, join(directory, 'files'), () => 0)).toThrow('was noted as synced');
  });
});

describe.runIf(ForgetfulDisks.isAvailable())('a cluster on such disks (Linux, with cc)', () => {
  it('loses nothing when one or all machines lose power (F-2)', async () => {
    const report = await runCampaign({
      seed: 2,
      forgetfulDisks: true,
      network: openPartitionableNetwork,
      kinds: faultKinds('power-cut', 'power-cut-all', 'power-cut-all', 'power-cut-all'),
      holdMs: [0, 500],
      restCalls: 60,
    });
    expect(report.records).toHaveLength(4);
    expectSound(report);
  });

  it('loses nothing when the shorter log is asked for its vote (F-3)', async () => {
    const report = await runCampaign({
      seed: 3,
      forgetfulDisks: true,
      network: openPartitionableNetwork,
      kinds: faultKinds('shorter-log-votes', 'shorter-log-votes', 'shorter-log-votes'),
      holdMs: [2_000, 3_000],
      restCalls: 60,
    });
    expect(report.records).toHaveLength(3);
    expectSound(report);
  });
});

async function killedWhenDone(child: ChildProcess, files: string): Promise<void> {
  const gone = once(child, 'exit');
  await waitUntil('the writer is done', async () => existsSync(join(files, 'done')));
  child.kill('SIGKILL');
  await gone;
}
