/** Tables for people: plain text, columns as wide as their widest cell. */

export interface Column {
  readonly title: string;
  /** @default 'left' */
  readonly align?: 'left' | 'right';
}

const GAP = '  ';

/** Each row has one cell per column. Every line ends in a newline. */
export function renderTable(columns: readonly Column[], rows: readonly string[][]): string {
  const titles = columns.map((column) => column.title.toUpperCase());
  const cleaned = rows.map((row) => row.map(printable));
  const widths = titles.map((title, index) =>
    Math.max(widthOf(title), ...cleaned.map((row) => widthOf(row[index] ?? ''))),
  );
  const renderRow = (cells: readonly string[]): string => {
    const padded = columns.map((column, index) => {
      const cell = cells[index] ?? '';
      const padding = ' '.repeat((widths[index] ?? 0) - widthOf(cell));
      return column.align === 'right' ? padding + cell : cell + padding;
    });
    return `${padded.join(GAP).trimEnd()}\n`;
  };
  return [titles, ...cleaned].map(renderRow).join('');
}

function widthOf(text: string): number {
  return [...text].length;
}

/** What a user stored must not be able to steer the terminal that shows it. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, '\u{fffd}');
}
