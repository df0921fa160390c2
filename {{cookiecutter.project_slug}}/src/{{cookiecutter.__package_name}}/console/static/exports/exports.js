import { base, report, request } from "../console.js";

const PREVIEWED_ROWS = 20;
/** Maximum number of characters of a record that are kept. */
const MAX_LENGTH = 64 * 1024;
const LINE_FEED = 10;
/** The path of an export in one format. */
const PATH = /^\/export\/(.+)\.([a-z0-9]+)$/;

const section = document.getElementById("exports");
const template = section.querySelector("template").content.firstElementChild;

showTables();

/** Show a panel for each table in the API description. */
async function showTables() {
  try {
    const { paths } = await (await request("openapi.json")).json();
    const found = Object.keys(paths).map((path) => PATH.exec(path));
    const exports = found.filter((match) => match && `/export/${match[1]}` in paths);
    const panels = [];
    for (const [name, matches] of Map.groupBy(exports, ([, name]) => name)) {
      const formats = {};
      for (const [, , extension] of matches) formats[extension] = await import(`./${extension}.js`);
      panels.push(new Panel(name, formats).form);
    }
    report(section, panels.length > 0 ? "" : "The service exports no tables.");
    section.querySelector(".tables").append(...panels);
  } catch (error) {
    report(section, error.message, "bad");
  }
}

/** The panel of a table, which reads exports and keeps their first rows. */
class Panel {
  form = template.cloneNode(true);
  #name;
  #formats;
  #format;
  #controls = this.form.elements;
  #table = this.form.querySelector("table");
  #records;
  #shown;
  #started;
  #transfer;

  /** `formats` are modules, by the extension of the files. */
  constructor(name, formats) {
    this.#name = name;
    this.#formats = formats;
    const { format, cancel } = this.#controls;
    const extensions = Object.keys(formats);
    format.append(...extensions.map((extension) => new Option(extension.toUpperCase(), extension)));
    this.form.ariaLabel = name;
    this.form.querySelector("h3").textContent = name;
    this.form.querySelector(".scroll").ariaLabel = `First rows of ${name}`;
    this.#showFormat();
    format.addEventListener("change", () => this.#showFormat());
    cancel.addEventListener("click", () => this.#transfer.abort());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
  }

  get #file() {
    return `${this.#name}.${this.#controls.format.value}`;
  }

  get #url() {
    return `export/${encodeURIComponent(this.#file).replaceAll("'", "%27")}`;
  }

  get #rows() {
    return Math.max(this.#records.count - this.#format.headers, 0);
  }

  get #rowCount() {
    return `${number(this.#rows)} ${this.#rows === 1 ? "row" : "rows"}`;
  }

  #showFormat() {
    const link = this.form.querySelector("a");
    link.href = this.#url;
    link.download = this.#file;
    link.querySelector("code").textContent = this.#file;
    this.form.querySelector("pre").textContent = `curl -N '${base}${this.#url}'`;
  }

  async #run() {
    this.#format = this.#formats[this.#controls.format.value];
    this.#records = new Records(this.#format.quote, PREVIEWED_ROWS + this.#format.headers);
    this.#transfer = new AbortController();
    this.#started = performance.now();
    this.#showRows([]);
    this.#switch(true);
    report(this.form, "Reading");
    let frame;
    const drawFrames = () => {
      this.#draw();
      frame = requestAnimationFrame(drawFrames);
    };
    drawFrames();
    const [message, kind] = await this.#read();
    cancelAnimationFrame(frame);
    this.#draw();
    report(this.form, message, kind);
    this.#switch(false);
  }

  /** Read the whole export. Returns the outcome: a message and its kind. */
  async #read() {
    const { signal } = this.#transfer;
    let response;
    try {
      response = await request(this.#url, { signal, cache: "no-store" });
      const reader = response.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.#records.push(part.value);
      }
      this.#records.end();
      return [`Complete: ${this.#rowCount}.`, "good"];
    } catch (error) {
      if (signal.aborted) return [`Cancelled after ${this.#rowCount}.`, ""];
      if (!response) return [error.message, "bad"];
      return [`Failed after ${this.#rowCount}: the transfer was interrupted.`, "bad"];
    }
  }

  #switch(isRunning) {
    const { format, read, cancel } = this.#controls;
    const focused = document.activeElement;
    format.disabled = read.disabled = isRunning;
    cancel.disabled = !isRunning;
    // A disabled button would lose the focus.
    if (isRunning && focused === read) cancel.focus();
    if (!isRunning && focused === cancel) read.focus();
  }

  #draw() {
    const { bytes, first } = this.#records;
    const seconds = (performance.now() - this.#started) / 1000;
    const figures = {
      rows: number(this.#rows),
      bytes: size(bytes),
      rate: bytes ? `${size(bytes / seconds)}/s` : "–",
      elapsed: `${seconds.toFixed(2)} s`,
    };
    for (const place of this.form.querySelectorAll("[data-figure]")) {
      place.textContent = figures[place.dataset.figure];
    }
    if (first.length > this.#shown) this.#showRows(first);
  }

  #showRows(records) {
    this.#shown = records.length;
    this.#table.hidden = records.length === 0;
    this.form.querySelector(".empty").hidden = records.length > 0;
    if (records.length === 0) return;
    const { columns, rows } = this.#format.tableOf(records);
    this.#table.tHead.replaceChildren(lineOf("th", columns));
    for (const column of this.#table.tHead.rows[0].cells) column.scope = "col";
    this.#table.tBodies[0].replaceChildren(...rows.map((row) => lineOf("td", row)));
  }
}

function lineOf(tag, texts) {
  const line = document.createElement("tr");
  for (const text of texts) {
    const cell = document.createElement(tag);
    cell.textContent = text;
    line.append(cell);
  }
  return line;
}

function number(count) {
  return count.toLocaleString("en");
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

/**
 * Counts the records of a stream, and keeps the text of the first `kept`.
 *
 * A record ends with a line feed, except between two of the bytes `quote`, if a format has one.
 */
export class Records {
  bytes = 0;
  count = 0;
  first = [];
  #quote;
  #isQuoted = false;
  #isPartial = false;
  #text = "";
  #kept;
  #isKeeping = true;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(quote, kept) {
    this.#quote = quote;
    this.#kept = kept;
  }

  /** Add the next chunk, which can end anywhere. */
  push(chunk) {
    this.bytes += chunk.length;
    let start = 0;
    for (let end = this.#endOf(chunk, start); end; end = this.#endOf(chunk, start)) {
      this.#keep(chunk.subarray(start, end), false);
      this.#finish();
      start = end;
    }
    if (start < chunk.length) {
      this.#isPartial = true;
      this.#keep(chunk.subarray(start), true);
    }
  }

  /** End the stream, whose last record may lack a line feed. */
  end() {
    if (this.#isPartial) this.#finish();
  }

  #endOf(chunk, start) {
    if (this.#quote === undefined) return chunk.indexOf(LINE_FEED, start) + 1;
    for (let at = start; at < chunk.length; at += 1) {
      if (chunk[at] === this.#quote) this.#isQuoted = !this.#isQuoted;
      else if (chunk[at] === LINE_FEED && !this.#isQuoted) return at + 1;
    }
    return 0;
  }

  #keep(part, isPartial) {
    if (!this.#isKeeping) return;
    this.#text += this.#decoder.decode(part, { stream: isPartial });
    this.#isKeeping = this.#text.length <= MAX_LENGTH;
  }

  #finish() {
    this.count += 1;
    this.#isPartial = false;
    if (!this.#isKeeping) return;
    this.first.push(this.#text);
    this.#text = "";
    this.#isKeeping = this.first.length < this.#kept;
  }
}
