/** A Markdown table with its columns aligned, as the formatter of this repository wants them. */

/** `lines` are those of a table, the second its ruler: `---` to the left, `---:` to the right. */
export function padTable(lines: readonly string[]): string {
  const rows = lines.map((line) => line.slice(2, -2).split(' | '));
  const [titles = [], ruler = []] = rows;
  const widths = titles.map((_, column) =>
    Math.max(3, ...rows.map((row, at) => (at === 1 ? 0 : (row[column] ?? '').length))),
  );
  const padded = rows.map((row, at) =>
    row.map((cell, column) => {
      const width = widths[column] ?? 0;
      const toRight = ruler[column]?.endsWith(':') ?? false;
      if (at === 1) return toRight ? `${'-'.repeat(width - 1)}:` : '-'.repeat(width);
      return toRight ? cell.padStart(width) : cell.padEnd(width);
    }),
  );
  return padded.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
