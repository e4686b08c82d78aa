/** A strict reader of Prometheus's text format, for what promtool would complain about. */

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$/;
const LABELS = /^\{([a-z_]+="(?:[^"\\\n]|\\.)*",?)*\}$/;

export interface ParsedMetrics {
  readonly types: ReadonlyMap<string, string>;
  /** Value by name and labels as they stand in the text. */
  readonly series: ReadonlyMap<string, number>;
}

/** Throws on what is malformed, undocumented, misnamed or there twice. */
export function parseMetrics(text: string): ParsedMetrics {
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (kind === 'HELP') addOnce(helps, name);
    else if (kind === 'TYPE') {
      if (types.has(name)) throw new Error(`two types: ${name}`);
      types.set(name, rest);
    } else addSample(line, types, helps, series);
  }
  for (const [name, type] of types) checkName(name, type);
  return { types, series };
}

function addSample(
  line: string,
  types: ReadonlyMap<string, string>,
  helps: ReadonlySet<string>,
  series: Map<string, number>,
): void {
  const [, name = '', labels = '', value] = SAMPLE.exec(line) ?? [];
  if (name === '' || (labels !== '' && !LABELS.test(labels))) throw new Error(`malformed: ${line}`);
  const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
  if (!types.has(family) || !helps.has(family)) throw new Error(`no type or help: ${line}`);
  const key = `${name}${labels}`;
  if (series.has(key)) throw new Error(`twice: ${key}`);
  if (Number.isNaN(Number(value)) && value !== 'Nan') throw new Error(`no number: ${line}`);
  series.set(key, Number(value));
}

/** Counters end in _total, and nothing else does; units are base units. */
function checkName(name: string, type: string): void {
  if ((type === 'counter') !== name.endsWith('_total')) throw new Error(`${type} ${name}`);
  if (/_(ms|milliseconds|kb|mb)\b/.test(name)) throw new Error(`not a base unit: ${name}`);
  if (type === 'histogram' && !name.endsWith('_seconds')) throw new Error(`no unit: ${name}`);
}

function addOnce(set: Set<string>, name: string): void {
  if (set.has(name)) throw new Error(`two helps: ${name}`);
  set.add(name);
}
