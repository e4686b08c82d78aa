/** Figures as a Markdown table, for terminals and for the README. */
import type { Figure } from './scenario.js';

const TITLES = [
  'Measured',
  'per second',
  'p50 ms',
  'p99 ms',
  'CPU us a call',
  'recall@10',
  'ratio',
];

/** Each column after the first two only where some figure fills it. */
export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(cellsOf);
  const used = TITLES.map((_, column) => column < 2 || rows.some((row) => row[column] !== ''));
  const line = (cells: readonly string[]): string =>
    `| ${cells.filter((_, column) => used[column]).join(' | ')} |`;
  const ruler = TITLES.map((_, column) => (column === 0 ? '---' : '---:'));
  return [line(TITLES), line(ruler), ...rows.map(line)].join('\n');
}

function cellsOf({
  name,
  perSecond,
  latencyMs,
  cpuUsPerCall,
  recall,
  ratios = [],
}: Figure): string[] {
  return [
    name,
    perSecond?.toLocaleString('en-US') ?? '',
    latencyMs === undefined ? '' : milliseconds(latencyMs.p50),
    latencyMs === undefined ? '' : milliseconds(latencyMs.p99),
    cpuUsPerCall?.toLocaleString('en-US') ?? '',
    recall?.toFixed(3) ?? '',
    ratios.map(({ of, value }) => `${percent(value)} of ${of}`).join(', '),
  ];
}

/** Three digits that count. */
function milliseconds(value: number): string {
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

function percent(share: number): string {
  const value = 100 * share;
  return `${value >= 10 ? value.toFixed(0) : value.toFixed(1)} %`;
}
