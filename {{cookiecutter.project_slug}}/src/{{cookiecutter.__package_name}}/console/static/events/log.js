import { pretty } from "./pretty.js";

/** How many entries are kept, on the page and waiting for it. */
const LIMIT = 200;

/** The newest events, drawn once a frame however many there are. */
export class Log {
  #list;
  #empty;
  #template;
  #received;
  #count = 0;
  #waiting = [];
  #asked = false;
  #paused = false;

  constructor(panel) {
    this.#list = panel.querySelector("ol");
    this.#empty = panel.querySelector(".empty");
    this.#template = panel.querySelector("template").content.firstElementChild;
    this.#received = panel.querySelector("[data-log=received]");
    panel.querySelector("[name=clear]").addEventListener("click", () => this.clear());
    const pause = panel.querySelector("[name=pause]");
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.setAttribute("aria-pressed", this.#paused);
      this.#ask();
    });
  }

  /** Add an event: `{time, id, topic, name, text}`. */
  add(event) {
    this.#count += 1;
    this.#wait(event);
  }

  /** Add what is no event, but happened between two of them. */
  note(event) {
    this.#wait({ ...event, isNote: true });
  }

  /** Start anew. */
  clear() {
    this.#count = 0;
    this.#waiting = [];
    this.#list.replaceChildren();
    this.#ask();
  }

  #wait(event) {
    this.#waiting.push(event);
    if (this.#waiting.length > LIMIT) this.#waiting.shift();
    this.#ask();
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.#asked = false;
    this.#received.textContent = this.#count.toLocaleString("en");
    if (!this.#paused) {
      const entries = this.#waiting.map((event) => this.#entry(event)).reverse();
      this.#waiting = [];
      this.#list.prepend(...entries);
      while (this.#list.childElementCount > LIMIT) this.#list.lastElementChild.remove();
    }
    this.#empty.hidden = this.#list.childElementCount > 0;
  }

  #entry({ time, id, topic, name, text, isNote = false }) {
    const entry = this.#template.cloneNode(true);
    const [head, data] = entry.children;
    const [moment, ...words] = head.children;
    moment.dateTime = time.toISOString();
    moment.textContent = clock(time);
    [topic, name, id].forEach((word, at) => {
      words[at].textContent = word;
    });
    data.textContent = isNote ? text : pretty(text);
    entry.classList.toggle("note", isNote);
    return entry;
  }
}

function clock(time) {
  const two = (number) => String(number).padStart(2, "0");
  const milliseconds = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${milliseconds}`;
}
