const CELL = /(?:"((?:[^"]|"")*)"|([^,\r\n]*))(,?)/y;

/** The byte around text that can contain line feeds. */
export const quote = '"'.charCodeAt(0);
/** The number of records before the first row. */
export const headers = 1;

/** Return the `columns` and the `rows` of records of CSV (RFC 4180). */
export function tableOf([names, ...records]) {
  return { columns: cellsOf(names.replace(/^\uFEFF/, "")), rows: records.map(cellsOf) };
}

function cellsOf(record) {
  const cells = [];
  CELL.lastIndex = 0;
  for (let more = ","; more; ) {
    const [, quoted, plain, comma] = CELL.exec(record);
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    more = comma;
  }
  return cells;
}
