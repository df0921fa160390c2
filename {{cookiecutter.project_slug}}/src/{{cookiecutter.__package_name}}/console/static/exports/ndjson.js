export const quote = undefined;
/** How many records are no rows. */
export const headers = 0;

/** Lay out lines of NDJSON as `{columns, rows}`. */
export function table(lines) {
  const items = lines.map((line) => JSON.parse(line));
  const columns = [...new Set(items.flatMap((item) => Object.keys(item)))];
  const rows = items.map((item) => columns.map((column) => cell(item[column])));
  return { columns, rows };
}

function cell(value) {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}
