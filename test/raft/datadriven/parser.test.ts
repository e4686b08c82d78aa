// Goal: files in the data-driven format are read as they are meant, and written back unchanged.
// Method: small texts for each rule of the grammar, and every data file at hand as a round trip.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { listDataFiles } from './conformance.js';
import {
  findEtcdDataDirectory,
  OWN_INTERACTION_DIRECTORY,
  OWN_QUORUM_DIRECTORY,
} from './data-directory.js';
import { ParseError, parseCommandLine, parseDataFile, renderDataFile } from './parser.js';

describe('parseCommandLine', () => {
  it('reads words, values and lists', () => {
    expect(parseCommandLine('add-nodes 3 voters=(1, 2,3) index=10 x=() y=', 1)).toEqual([
      { key: 'add-nodes', values: [] },
      { key: '3', values: [] },
      { key: 'voters', values: ['1', '2', '3'] },
      { key: 'index', values: ['10'] },
      { key: 'x', values: [] },
      { key: 'y', values: [''] },
    ]);
  });

  it.each(['a (b', 'a b=(1', 'a "b"', 'a b=1)'])('refuses %j and names the line', (text) => {
    expect(() => parseCommandLine(text, 7)).toThrow(ParseError);
    expect(() => parseCommandLine(text, 7)).toThrow('line 7');
  });
});

describe('parseDataFile', () => {
  it('reads command, input and expected output', () => {
    const { directives } = parseDataFile('# why\n\ncmd 1\n in put \n----\na\nb\n\nnext\n----\n');
    expect(directives).toMatchObject([
      { line: 3, command: 'cmd', input: 'in put', expected: 'a\nb\n' },
      { line: 9, command: 'next', input: '', expected: '' },
    ]);
  });

  it('ends the expected output at the end of the file, too', () => {
    expect(parseDataFile('cmd\n----\nok').directives[0]?.expected).toBe('ok\n');
  });

  it('keeps blank lines between doubled separators', () => {
    const { directives } = parseDataFile('cmd\n----\n----\na\n\nb\n----\n----\n\nnext\n----\n');
    expect(directives.map((directive) => directive.expected)).toEqual(['a\n\nb\n', '']);
  });

  it('joins command lines that end in a backslash', () => {
    const { directives } = parseDataFile('cmd a \\\n  b=1\n----\n');
    expect(directives[0]?.arguments).toEqual([
      { key: 'a', values: [] },
      { key: 'b', values: ['1'] },
    ]);
  });

  it('takes a # within a directive for what it is', () => {
    const { directives } = parseDataFile('cmd\n----\n# output\n\n# comment\n');
    expect(directives.map((directive) => directive.expected)).toEqual(['# output\n']);
  });

  it.each([
    ['a directive without separator', 'cmd\n'],
    ['a doubled separator that is never closed', 'cmd\n----\n----\na\n----\n'],
  ])('refuses %s', (_, text) => {
    expect(() => parseDataFile(text)).toThrow(ParseError);
  });

  it('finds nothing in a file without directives', () => {
    expect(parseDataFile('# only a comment\n')).toEqual({
      directives: [],
      trailer: ['# only a comment'],
    });
  });
});

describe('renderDataFile', () => {
  const directories = [
    OWN_INTERACTION_DIRECTORY,
    OWN_QUORUM_DIRECTORY,
    findEtcdDataDirectory(),
  ].filter((each) => each !== undefined);
  const names = directories.flatMap((directory) =>
    listDataFiles(directory).map((path) => join(directory, path)),
  );

  it.each(names)('%s says the same after it was written back', (name) => {
    const file = parseDataFile(readFileSync(name, 'utf8'));
    const outputs = file.directives.map((directive) => directive.expected);
    const again = parseDataFile(renderDataFile(file, outputs));
    const plain = (each: typeof file) =>
      each.directives.map(({ line: _, ...directive }) => directive);
    expect(plain(again)).toEqual(plain(file));
  });

  it('doubles the separators around output with blank lines, and only there', () => {
    const file = parseDataFile('a\n----\nx\n\nb\n----\ny\n\n# end\n');
    const text = renderDataFile(file, ['1\n\n2\n', 'ok']);
    expect(text).toBe('a\n----\n----\n1\n\n2\n----\n----\n\nb\n----\nok\n\n# end\n');
  });
});
