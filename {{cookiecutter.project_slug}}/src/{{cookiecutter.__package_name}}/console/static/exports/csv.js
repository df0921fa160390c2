export const quote = '"'.charCodeAt(0);
/** How many records are no rows. */
export const headers = 1;

const CELL = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,?)/y;

/** Lay out records of CSV (RFC 4180), the first of which names the columns, as `{columns, rows}`. */
export function table([names = "", ...records]) {
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
