/** All that a scenario measured as Markdown tables: figures, other quantities, bars. */
import { figureTable } from './figure-table.js';
import type { Bar, Measurement, Quantity } from './scenario.js';

/** Only those that have a row. */
export function tablesOf({ figures, quantities = [], bars = [] }: Measurement): string[] {
  const tables: string[] = [];
  if (figures.length > 0) tables.push(figureTable(figures));
  if (quantities.length > 0) tables.push(quantityTable(quantities));
  if (bars.length > 0) tables.push(barTable(bars));
  return tables;
}

function quantityTable(quantities: readonly Quantity[]): string {
  const rows = quantities.map(({ name, value, unit }) => `| ${name} | ${amount(value, unit)} |`);
  return ['| Measured | value |', '| --- | ---: |', ...rows].join('\n');
}

function barTable(bars: readonly Bar[]): string {
  const rows = bars.map(({ name, value, unit, bound, isMet }) => {
    const wanted = `${bound.kind} ${amount(bound.value, unit)}`;
    return `| ${name} | ${amount(value, unit)} | ${wanted} | ${isMet ? 'yes' : 'no'} |`;
  });
  return ['| Bar | measured | wanted | met |', '| --- | ---: | ---: | --- |', ...rows].join('\n');
}

/** Three digits that count, and all that there are before the point. */
function amount(value: number, unit: string): string {
  const digits = Math.abs(value) < 1_000 ? { maximumSignificantDigits: 3 } : {};
  const text = value.toLocaleString('en-US', { maximumFractionDigits: 0, ...digits });
  return unit === '' ? text : `${text} ${unit}`;
}
