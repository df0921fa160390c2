import { install } from "./exports.js";

/** Lay out lines of NDJSON. */
function table(lines) {
  const items = lines.map((line) => JSON.parse(line));
  const columns = [...new Set(items.flatMap((item) => Object.keys(item)))];
  const rows = items.map((item) => columns.map((column) => cell(item[column])));
  return { columns, rows };
}

function cell(value) {
  return typeof value === "string" ? value : JSON.stringify(value ?? null);
}

export const format = { name: "ndjson", quote: undefined, headers: 0, table };
install(format);
