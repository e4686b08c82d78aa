// Goal: the core behaves, line by line, as etcd's interaction files and our own ones say.
// Method: replay every file; all their lines must match.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type FileReport, runConformance } from '../datadriven/conformance.js';
import { findEtcdDataDirectory, OWN_INTERACTION_DIRECTORY } from '../datadriven/data-directory.js';

function byPath(files: readonly FileReport[]): (readonly [string, FileReport])[] {
  return files.map((file) => [file.path, file] as const);
}

describe('our interaction files', () => {
  const { files } = runConformance(OWN_INTERACTION_DIRECTORY);

  it('are there', () => {
    expect(files).not.toEqual([]);
  });

  it.each(byPath(files))('%s says what it is for, and passes', (path, file) => {
    const text = readFileSync(join(OWN_INTERACTION_DIRECTORY, path), 'utf8');
    expect(text).toMatch(/^# \S/);
    expect(file.verdict).toEqual({ kind: 'passed' });
  });
});

describe('etcd interaction files', () => {
  const directory = findEtcdDataDirectory();
  if (directory === undefined) {
    it.skip('are skipped: their folder is absent');
    return;
  }
  const report = runConformance(join(directory, 'interaction'));

  it('are there', () => {
    expect(report.totals.lines).toBeGreaterThan(0);
  });

  it.each(byPath(report.files))('%s matches at level 2', (_, file) => {
    expect(file.verdict).toEqual({ kind: 'passed' });
  });
});
