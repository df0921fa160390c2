import { Records } from "./records.js";
import { UNREACHABLE, problemOf } from "../problem.js";

const PREVIEWED = 20;

/**
 * Let the exports of a format be read: `{name, quote, headers, table}`.
 *
 * `quote` is the byte around text that may hold line feeds, if there is one; of the first records
 * `headers` are no rows; `table` lays records out as `{columns, rows}`.
 */
export function install(format) {
  for (const panel of document.querySelectorAll(`[data-format=${format.name}]`)) {
    new Export(panel, format);
  }
}

/** One export: read as it streams, counted, and let go of but for its first rows. */
class Export {
  #format;
  #path;
  #read;
  #cancel;
  #outcome;
  #figures;
  #empty;
  #table;
  #records;
  #shown;
  #started;
  #stopping;

  constructor(panel, format) {
    this.#format = format;
    this.#path = panel.dataset.export;
    this.#read = panel.querySelector("[name=read]");
    this.#cancel = panel.querySelector("[name=cancel]");
    this.#outcome = panel.querySelector(".outcome");
    const figures = [...panel.querySelectorAll("[data-figure]")];
    this.#figures = Object.fromEntries(figures.map((place) => [place.dataset.figure, place]));
    this.#empty = panel.querySelector(".empty");
    this.#table = panel.querySelector("table");
    this.#read.addEventListener("click", () => this.#run());
    this.#cancel.addEventListener("click", () => this.#stopping.abort());
  }

  get #rows() {
    return Math.max(this.#records.count - this.#format.headers, 0);
  }

  async #run() {
    this.#begin();
    const frames = this.#drawEachFrame();
    const [words, kind] = await this.#outcomeOf();
    cancelAnimationFrame(frames.next);
    this.#draw();
    this.#say(words, kind);
    this.#switch(false);
  }

  /** Read everything; how it went, in words and of which kind. */
  async #outcomeOf() {
    let answer;
    try {
      const { signal } = this.#stopping;
      answer = await fetch(this.#path, { signal, cache: "no-store" });
      if (!answer.ok) return [`Refused. ${await problemOf(answer)}`, "bad"];
      const reader = answer.body.getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        this.#records.push(part.value);
      }
      this.#records.end();
      return [`Complete: ${number(this.#rows)} rows.`, "good"];
    } catch {
      const after = `after ${number(this.#rows)} rows`;
      if (this.#stopping.signal.aborted) return [`Cancelled ${after}.`, ""];
      return [answer ? `Failed ${after}: the transfer broke off.` : `Failed. ${UNREACHABLE}`, "bad"];
    }
  }

  #begin() {
    this.#records = new Records(this.#format.quote, PREVIEWED + this.#format.headers);
    this.#stopping = new AbortController();
    this.#started = performance.now();
    this.#shown = 0;
    this.#table.hidden = true;
    this.#empty.hidden = false;
    this.#say("Reading", "");
    this.#switch(true);
  }

  #switch(running) {
    // The button that has the focus must not lose it to nobody.
    const focused = document.activeElement;
    this.#read.disabled = running;
    this.#cancel.disabled = !running;
    if (running && focused === this.#read) this.#cancel.focus();
    if (!running && focused === this.#cancel) this.#read.focus();
  }

  #say(words, kind) {
    this.#outcome.textContent = words;
    this.#outcome.dataset.outcome = kind;
  }

  #drawEachFrame() {
    const frames = {};
    const draw = () => {
      this.#draw();
      frames.next = requestAnimationFrame(draw);
    };
    draw();
    return frames;
  }

  #draw() {
    const { bytes, first } = this.#records;
    const seconds = (performance.now() - this.#started) / 1000;
    this.#figures.rows.textContent = number(this.#rows);
    this.#figures.bytes.textContent = size(bytes);
    this.#figures.rate.textContent = bytes ? `${size(bytes / seconds)}/s` : "–";
    this.#figures.elapsed.textContent = `${seconds.toFixed(2)} s`;
    if (first.length > this.#shown) this.#preview(first);
  }

  #preview(first) {
    const { columns, rows } = this.#format.table(first);
    const [head, body] = [this.#table.tHead, this.#table.tBodies[0]];
    head.replaceChildren(line("th", columns));
    for (const column of head.rows[0].cells) column.scope = "col";
    body.replaceChildren(...rows.map((row) => line("td", row)));
    this.#shown = first.length;
    this.#table.hidden = false;
    this.#empty.hidden = true;
  }
}

function line(kind, cells) {
  const row = document.createElement("tr");
  row.append(
    ...cells.map((text) => {
      const cell = document.createElement(kind);
      cell.textContent = text;
      return cell;
    }),
  );
  return row;
}

function number(count) {
  return count.toLocaleString("en");
}

function size(bytes) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = bytes < 1000 ? 0 : Math.min(Math.floor(Math.log10(bytes) / 3), units.length - 1);
  return `${(bytes / 1000 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}
