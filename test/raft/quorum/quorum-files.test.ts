// Goal: majorities and joint majorities decide as the quorum files say, tables included.
// Method: replay our own files and etcd's; where etcd's folder is absent its test says it skips.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runConformance } from '../datadriven/conformance.js';
import { findEtcdDataDirectory, OWN_QUORUM_DIRECTORY } from '../datadriven/data-directory.js';

function itPassesEveryFileOf(directory: string): void {
  const { files } = runConformance(directory);

  it('has files', () => {
    expect(files).not.toEqual([]);
  });

  it.each(files.map((file) => [file.path, file] as const))('%s passes (M1)', (_, file) => {
    expect(file.verdict).toEqual({ kind: 'passed' });
  });
}

describe('our quorum files', () => {
  itPassesEveryFileOf(OWN_QUORUM_DIRECTORY);
});

describe('etcd quorum files', () => {
  const directory = findEtcdDataDirectory();
  if (directory === undefined) {
    it.skip('are skipped: their folder is absent');
    return;
  }
  itPassesEveryFileOf(join(directory, 'quorum'));
});
