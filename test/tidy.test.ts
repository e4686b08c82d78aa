// Goal: the rules of the house that no compiler or linter checks hold in every file.
// Method: read the sources as text; each failure names file and line and says what to do.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { generatePages, readPage } from '../scripts/generate-docs.js';

const ROOT = new URL('../', import.meta.url);

/**
 * What each room may import beside itself and `shared`. A room in `types` may be imported for its
 * types only: nothing of it is loaded.
 */
const ROOMS: Readonly<Record<string, { values: readonly string[]; types?: readonly string[] }>> = {
  shared: { values: [] },
  raft: { values: [] },
  storage: { values: ['raft'] },
  engine: { values: [] },
  transport: { values: ['raft'] },
  replica: { values: ['raft', 'storage', 'engine', 'transport'] },
  placement: { values: [] },
  topology: { values: ['placement', 'replica'], types: ['engine', 'storage', 'transport'] },
  router: { values: ['placement', 'topology', 'replica'], types: ['engine'] },
  rebalance: { values: ['router', 'topology', 'replica'] },
  server: { values: ['router', 'topology', 'rebalance'] },
  client: { values: [] },
};
/** The composition root, the embedded cluster, the commands and the package's index import all. */
const UNBOUND_ROOMS: readonly string[] = ['node', 'cluster', 'cli', 'index.ts'];
/** Only these may know the process's own clock, timers and randomness. */
const REAL_TIME_ROOMS: readonly string[] = ['node', 'cli', 'client'];
/** Packages that exactly one file may import, so that their traps are guarded in one place. */
const GUARDED_PACKAGES: Readonly<Record<string, string>> = {
  'hnswlib-node': 'src/engine/index/addon.ts',
  level: 'src/node/level-kv.ts',
};
/** Where the program is entered: started or loaded by name, so nothing has to import them. */
const ENTRIES: readonly string[] = [
  'src/index.ts',
  'src/cli/main.ts',
  'src/client/index.ts',
  'src/cluster/index.ts',
];

const COLUMNS_MAX = 100;
const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;

interface Import {
  readonly line: number;
  readonly specifier: string;
  readonly typeOnly: boolean;
}

interface SourceFile {
  /** Relative to the root, with slashes. */
  readonly path: string;
  /** First folder (or file name) below src; empty elsewhere. */
  readonly room: string;
  readonly text: string;
  readonly lines: readonly string[];
  /** The text with comments and the insides of strings blanked out, line by line. */
  readonly code: readonly string[];
  readonly imports: readonly Import[];
}

/** Strings, comments, regular expressions and templates: everything whose inside is no code. */
const TOKEN = new RegExp(
  [
    String.raw`\/\*[\s\S]*?\*\/`,
    String.raw`\/\/[^\n]*`,
    String.raw`'(?:\\.|[^'\\\n])*'`,
    String.raw`"(?:\\.|[^"\\\n])*"`,
    // A slash begins a regular expression where no value stands before it.
    String.raw`(?<=[=(,:[!&|?{};+]\s*|return )` +
      String.raw`\/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n[])+\/`,
    '`(?:\\\\[\\s\\S]|\\$\\{(?:[^{}`]|`[^`]*`|\\{[^{}]*\\})*\\}|[^`\\\\$]|\\$(?!\\{))*`',
  ].join('|'),
  'g',
);

const files = ['src', 'test', 'scripts', 'bench', 'examples'].flatMap(sourcesBelow);
const sources = files.filter((file) => file.path.startsWith('src/'));
/** Tests are read top to bottom and may be as long as their cases need. */
const production = files.filter((file) => !file.path.startsWith('test/'));

describe('imports', () => {
  it('stay within what the room may know (ARCHITECTURE.md)', () => {
    const wrong = sources.flatMap((file) =>
      file.imports.filter((item) => !mayImport(file, item)).map((item) => [file, item] as const),
    );
    const advice = 'the room may not import this; move the code, or pass the value in';
    expect(wrong.map(([file, { line, specifier }]) => at(file, line, specifier, advice))).toEqual(
      [],
    );
  });

  it('name a room that the table knows', () => {
    const rooms = new Set(sources.map((file) => file.room));
    const known = [...Object.keys(ROOMS), ...UNBOUND_ROOMS];
    expect([...rooms].filter((room) => !known.includes(room))).toEqual([]);
  });

  it('end in .js where they are relative', () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter(({ specifier }) => specifier.startsWith('.') && !/\.(js|json)$/.test(specifier))
        .map(({ line, specifier }) => at(file, line, specifier, 'add the ending .js')),
    );
    expect(wrong).toEqual([]);
  });

  it('of a package with traps stand in its one wrapper', () => {
    const wrong = sources.flatMap((file) =>
      file.imports
        .filter(({ specifier }) => {
          const wrapper = GUARDED_PACKAGES[specifier];
          return wrapper !== undefined && wrapper !== file.path;
        })
        .map(({ line, specifier }) =>
          at(file, line, specifier, `use ${GUARDED_PACKAGES[specifier]} instead`),
        ),
    );
    expect(wrong).toEqual([]);
  });

  it('reach every file: what nothing imports is dead', () => {
    const reached = new Set([...ENTRIES, ...files.flatMap(mentionedFiles)]);
    const dead = sources.filter((file) => !reached.has(file.path));
    expect(dead.map((file) => `${file.path}: nothing imports it; remove it`)).toEqual([]);
  });
});

describe('code', () => {
  it('takes time and randomness from the Environment', () => {
    const real = /\b(Date\.now|performance\.now|Math\.random|set(Timeout|Interval|Immediate))\b/;
    const bound = sources.filter((file) => !REAL_TIME_ROOMS.includes(file.room));
    expect(matches(bound, real, 'use the Environment that was passed in')).toEqual([]);
  });

  it('of the consensus core is synchronous', () => {
    const core = sources.filter((file) => file.room === 'raft');
    expect(matches(core, /\b(await|async|Promise)\b/, 'move it to the host (E1)')).toEqual([]);
  });

  it('leaves no marks of unfinished work', () => {
    const others = files.filter((file) => file.path !== 'test/tidy.test.ts');
    const marked = others.flatMap((file) =>
      file.lines.flatMap((text, index) =>
        /\b(TODO|FIXME|XXX)\b/.test(text)
          ? [at(file, index + 1, text.trim(), 'do it, or open an issue')]
          : [],
      ),
    );
    expect(marked).toEqual([]);
  });

  it(`fits into ${COLUMNS_MAX} columns`, () => {
    const long = files.flatMap((file) =>
      file.lines.flatMap((text, index) =>
        text.length > COLUMNS_MAX && !text.includes('://')
          ? [at(file, index + 1, `${text.length} columns`, 'break the line')]
          : [],
      ),
    );
    expect(long).toEqual([]);
  });

  it(`has at most ${FILE_LINES_MAX} lines a file`, () => {
    const long = production.filter((file) => file.lines.length > FILE_LINES_MAX);
    const advice = 'split it by its nouns';
    expect(long.map((file) => at(file, 1, `${file.lines.length} lines`, advice))).toEqual([]);
  });

  it(`has at most ${FUNCTION_LINES_MAX} lines a function`, () => {
    const long = production.flatMap((file) =>
      functionsOf(file.code)
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(({ line, lines }) => at(file, line, `${lines} lines`, 'name its steps as functions')),
    );
    expect(long).toEqual([]);
  });

  it('and documents name no path of one machine', () => {
    const personal = /(^|[\s"'`(=])\/(work|root|home|Users)\//;
    const found = [...files, ...documents()].flatMap((file) =>
      file.lines.flatMap((text, index) =>
        personal.test(text) ? [at(file, index + 1, text.trim(), 'use a relative path')] : [],
      ),
    );
    expect(found).toEqual([]);
  });

  it('of a test opens with its goal and method', () => {
    const tests = files.filter((file) => file.path.endsWith('.test.ts'));
    const bare = tests.filter(
      ({ lines }) => !lines[0]?.startsWith('//') || !lines[1]?.startsWith('//'),
    );
    expect(
      bare.map((file) => at(file, 1, 'no header', 'say goal and method in two lines')),
    ).toEqual([]);
  });
});

describe('reference pages', () => {
  it.each(generatePages())('$path is what the code says', ({ path, text }) => {
    expect(readPage(ROOT, path), `${path}: run npm run docs`).toBe(text);
  });
});

describe('alert rules', () => {
  it('ask for metrics that exist', () => {
    const known = new Set(readPage(ROOT, 'docs/metrics.md').match(/(?<=^\| `)\w+/gm));
    const unknown = documents()
      .filter((file) => /^cluster\/.*\.(yml|json)$/.test(file.path))
      .flatMap((file) =>
        file.lines.flatMap((text, index) =>
          [...text.matchAll(/\b(flotilla|raft|replication)_[a-z_]+/g)]
            .map((match) => match[0].replace(/_(bucket|count|sum)$/, ''))
            .filter((name) => !known.has(name))
            .map((name) => at(file, index + 1, name, 'take a metric of docs/metrics.md')),
        ),
      );
    expect(known.size).toBeGreaterThan(10);
    expect(unknown).toEqual([]);
  });
});

describe('the checks themselves', () => {
  it('see through comments, strings, templates and regular expressions', () => {
    const text = ['a("// no"); // yes', 'b(/["`]/, `x$', '{c}y`); /* d', ' */ e("\\"f");'].join(
      '\n',
    );
    const code = blanked(text.replace('$\n', '$'));
    expect(code.map((line) => line.trimEnd())).toEqual([
      'a("     ");',
      `b(/    /, \` $${'{c}'} \`);`,
      '    e("   ");',
    ]);
  });

  it('measure functions, not the classes around them', () => {
    const text = 'class A {\n  run(\n    x: number,\n  ): void {\n    if (x) {\n    }\n  }\n}';
    expect(functionsOf(text.split('\n'))).toEqual([{ line: 4, lines: 4 }]);
  });

  it('tell type imports from others', () => {
    const text =
      "import type { A } from './a.js';\nimport { type B } from 'b';\nimport { C } from 'c';";
    expect(importsOf(text).map(({ line, typeOnly }) => [line, typeOnly])).toEqual([
      [1, true],
      [2, true],
      [3, false],
    ]);
  });
});

function at(file: { path: string }, line: number, what: string, advice: string): string {
  return `${file.path}:${line}: ${what}: ${advice}`;
}

function matches(among: readonly SourceFile[], pattern: RegExp, advice: string): string[] {
  return among.flatMap((file) =>
    file.code.flatMap((text, index) => {
      const found = pattern.exec(text)?.[0];
      return found === undefined ? [] : [at(file, index + 1, found, advice)];
    }),
  );
}

function mayImport(file: SourceFile, { specifier, typeOnly }: Import): boolean {
  if (!specifier.startsWith('.')) return file.room !== 'raft';
  if (UNBOUND_ROOMS.includes(file.room)) return true;
  const target = roomOf(resolve(file.path, specifier));
  const { values = [], types = [] } = ROOMS[file.room] ?? {};
  if (target === file.room || values.includes(target)) return true;
  if (target === 'shared') return file.room !== 'raft';
  return typeOnly && types.includes(target);
}

function resolve(from: string, specifier: string): string {
  return normalize(join(dirname(from), specifier))
    .replaceAll('\\', '/')
    .replace(/\.js$/, '.ts');
}

function roomOf(path: string): string {
  return path.startsWith('src/') ? (path.split('/')[1] ?? '') : '';
}

/** Files that a file imports, or names in a string (threads are started by their path). */
function mentionedFiles(file: SourceFile): string[] {
  const named = [...file.text.matchAll(/'(\.{1,2}\/[\w./-]+\.js)'/g)].map(
    (match) => match[1] ?? '',
  );
  return named
    .map((specifier) => resolve(file.path, specifier))
    .filter((path) => path !== file.path);
}

function importsOf(text: string): Import[] {
  const declared = /^(?:import|export)\s+(type\s+)?([^;'"]*?)\s*from\s*'([^']+)'/gm;
  const others = /\bimport\('([^']+)'\)|^import\s+'([^']+)'/gm;
  const loaded = [...text.matchAll(others)].map((match) => ({
    line: lineOf(text, match.index),
    specifier: match[1] ?? match[2] ?? '',
    typeOnly: false,
  }));
  const named = [...text.matchAll(declared)].map((match) => {
    const [, type, names = '', specifier = ''] = match;
    const listed = /^\{([^}]*)\}$/.exec(names)?.[1]?.split(',') ?? [];
    const words = listed.map((name) => name.trim()).filter((name) => name !== '');
    const allTypes = words.length > 0 && words.every((name) => name.startsWith('type '));
    return {
      line: lineOf(text, match.index),
      specifier,
      typeOnly: type !== undefined || allTypes,
    };
  });
  return [...named, ...loaded];
}

function lineOf(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** Functions by the line of their opening brace. Knows braces, not the language. */
function functionsOf(code: readonly string[]): { line: number; lines: number }[] {
  const found: { line: number; lines: number }[] = [];
  const open: { line: number; isFunction: boolean }[] = [];
  for (const [index, text] of code.entries()) {
    for (const [column, character] of [...text].entries()) {
      if (character === '{') {
        open.push({ line: index + 1, isFunction: opensFunction(text.slice(0, column)) });
      } else if (character === '}') {
        const block = open.pop();
        if (block?.isFunction) found.push({ line: block.line, lines: index + 2 - block.line });
      }
    }
  }
  return found;
}

/** Whether a brace after this text begins a body: `=> {`, `name(...) {` or `): Type {`. */
function opensFunction(before: string): boolean {
  const text = before.trim();
  if (/^(\} )?(if|else|for|while|switch|catch|do|try|class|interface|namespace)\b/.test(text))
    return false;
  return text.endsWith('=>') || /\)(: [^={]+)?$/.test(text);
}

function sourcesBelow(folder: string): SourceFile[] {
  return pathsBelow(folder)
    .filter((path) => path.endsWith('.ts'))
    .map((path) => {
      const text = readFileSync(new URL(path, ROOT), 'utf8');
      const lines = linesOf(text);
      return {
        path,
        room: roomOf(path),
        text,
        lines,
        code: blanked(text),
        imports: importsOf(text),
      };
    });
}

function documents(): { path: string; lines: readonly string[] }[] {
  const tops = readdirSync(ROOT).filter((name) => /\.md$|^Dockerfile$|\.json$/.test(name));
  const below = ['docs', 'cluster', '.ci', 'proto'].flatMap(pathsBelow);
  return [...tops, ...below].map((path) => ({
    path,
    lines: linesOf(readFileSync(new URL(path, ROOT), 'utf8')),
  }));
}

function pathsBelow(folder: string): string[] {
  try {
    return readdirSync(new URL(folder, ROOT), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.pathname.length))
      .sort();
  } catch {
    return [];
  }
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

/** The text with the insides of all tokens as blanks; the code in a template stays. */
function blanked(text: string): string[] {
  const code = text.replace(TOKEN, (found) => {
    const quote = found.charAt(0);
    if (quote === '`') return blankedTemplate(found);
    if (/^\/[*/]/.test(found)) return blanks(found);
    return quote + blanks(found.slice(1, -1)) + quote;
  });
  return code.split('\n');
}

function blankedTemplate(template: string): string {
  return template.replace(/(?<=^`|\})[^`$]*(?=\$\{|`$)/g, blanks);
}

function blanks(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}
