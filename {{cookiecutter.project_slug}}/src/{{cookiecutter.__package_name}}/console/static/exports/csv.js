import { install } from "./exports.js";

const CELL = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,?)/y;

/** Lay out records of CSV (RFC 4180), the first of which names the columns. */
function table([names = "", ...records]) {
  return { columns: cells(names.replace(/^\uFEFF/, "")), rows: records.map(cells) };
}

function cells(record) {
  const found = [];
  CELL.lastIndex = 0;
  for (let more = ","; more; ) {
    const [, quoted, plain, comma] = CELL.exec(record);
    found.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    more = comma;
  }
  return found;
}

export const format = { name: "csv", quote: '"'.charCodeAt(0), headers: 1, table };
install(format);
