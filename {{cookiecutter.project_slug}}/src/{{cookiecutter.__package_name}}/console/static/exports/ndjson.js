const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const STEPS = { "{": 1, "[": 1, "}": -1, "]": -1 };

/** The byte around text that can contain line feeds. */
export const quote = undefined;
/** The number of records before the first row. */
export const headers = 0;

/** Return the `columns` and the `rows` of lines of NDJSON, as text. */
export function tableOf(lines) {
  const items = lines.map(membersOf);
  const columns = [...new Set(items.flatMap((item) => [...item.keys()]))];
  const rows = items.map((item) => columns.map((column) => textOf(item.get(column) ?? "null")));
  return { columns, rows };
}

/** Return the members of a JSON object as JSON text, since `JSON.parse` rounds long numbers. */
function membersOf(line) {
  const members = new Map();
  let depth = 0;
  let name;
  for (const token of line.match(TOKEN).slice(1, -1)) {
    depth += STEPS[token] ?? 0;
    if (depth === 0 && token === ",") {
      name = undefined;
    } else if (name === undefined) {
      name = JSON.parse(token);
      members.set(name, "");
    } else if (depth > 0 || token !== ":") {
      members.set(name, members.get(name) + token);
    }
  }
  return members;
}

function textOf(json) {
  return json.startsWith('"') ? JSON.parse(json) : json;
}
