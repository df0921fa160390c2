/** Maximum number of entries, on the page and waiting for it. */
const MAX_ENTRIES = 200;
/** Maximum number of characters of an entry. */
const MAX_LENGTH = 10_000;
const WIDTH = 72;
const INDENT = 2;
const TOKEN = /"(?:[^"\\]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;
const SPACED = { ",": ", ", ":": ": " };
const STEPS = { "{": 1, "[": 1, "}": -1, "]": -1 };

const panel = document.getElementById("log");
const list = panel.querySelector("ol");
const empty = panel.querySelector(".empty");
const template = panel.querySelector("template").content.firstElementChild;
const received = panel.querySelector("[data-log=received]");
const pause = panel.querySelector("[name=pause]");
let count = 0;
let waiting = [];
let isScheduled = false;
let isPaused = false;

pause.addEventListener("click", () => {
  isPaused = !isPaused;
  pause.setAttribute("aria-pressed", isPaused);
  schedule();
});
panel.querySelector("[name=clear]").addEventListener("click", () => {
  count = 0;
  waiting = [];
  list.replaceChildren();
  schedule();
});

/** Add an event: `{id, topic, name, text}`, where `text` is JSON. */
export function logEvent(event) {
  count += 1;
  add(event);
}

/** Add a note about the stream, with the same fields. */
export function logNote(note) {
  add({ ...note, isNote: true });
}

function add(entry) {
  waiting.push({ ...entry, time: new Date() });
  if (waiting.length > MAX_ENTRIES) waiting.shift();
  schedule();
}

function schedule() {
  if (!isScheduled) requestAnimationFrame(draw);
  isScheduled = true;
}

/** Draw what changed, once a frame however many events arrive. */
function draw() {
  isScheduled = false;
  received.textContent = count.toLocaleString("en");
  if (!isPaused) {
    list.prepend(...waiting.map(entryOf).reverse());
    waiting = [];
    while (list.childElementCount > MAX_ENTRIES) list.lastElementChild.remove();
  }
  empty.hidden = list.childElementCount > 0;
}

function entryOf({ time, id, topic, name, text, isNote = false }) {
  const entry = template.cloneNode(true);
  const [head, data] = entry.children;
  const [moment, ...places] = head.children;
  moment.dateTime = time.toISOString();
  moment.textContent = clock(time);
  [topic, name, id].forEach((word, at) => {
    places[at].textContent = word;
  });
  data.textContent = isNote ? text : pretty(text);
  entry.classList.toggle("note", isNote);
  return entry;
}

function clock(time) {
  const milliseconds = String(time.getMilliseconds()).padStart(3, "0");
  return `${time.toTimeString().slice(0, 8)}.${milliseconds}`;
}

/**
 * Lay out JSON text: a value that fits stays on one line, any other is indented.
 *
 * It works on the text, since `JSON.parse` rounds long numbers. Long text is cut off.
 */
function pretty(text) {
  const tokens = text.slice(0, MAX_LENGTH).match(TOKEN) ?? [];
  let shown = "";
  let depth = 0;
  let column = 0;
  const write = (part) => {
    shown += part;
    column += part.length;
  };
  const breakLine = () => {
    column = depth * INDENT;
    shown += `\n${" ".repeat(column)}`;
  };
  for (let at = 0; at < tokens.length && shown.length < MAX_LENGTH; at += 1) {
    const token = tokens[at];
    const step = STEPS[token] ?? 0;
    const size = step > 0 ? sizeOnLine(tokens, at, WIDTH - column) : 0;
    if (size > 0) {
      write(tokens.slice(at, at + size).map(spaced).join(""));
      at += size - 1;
    } else if (step > 0) {
      depth += 1;
      write(token);
      breakLine();
    } else if (step < 0) {
      depth -= 1;
      breakLine();
      write(token);
    } else if (token === ",") {
      write(token);
      breakLine();
    } else {
      write(spaced(token));
    }
  }
  if (Math.max(text.length, shown.length) < MAX_LENGTH) return shown;
  return `${shown.slice(0, MAX_LENGTH)}… (${text.length.toLocaleString("en")} characters)`;
}

/** Return the number of tokens of the value at `at` if they fit in `width`, else 0. */
function sizeOnLine(tokens, at, width) {
  let depth = 0;
  let length = 0;
  for (let end = at; end < tokens.length; end += 1) {
    depth += STEPS[tokens[end]] ?? 0;
    length += spaced(tokens[end]).length;
    if (length > width) return 0;
    if (depth === 0) return end - at + 1;
  }
  return 0;
}

function spaced(token) {
  return SPACED[token] ?? token;
}
