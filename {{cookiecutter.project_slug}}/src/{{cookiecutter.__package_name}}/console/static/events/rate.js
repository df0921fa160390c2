const SECONDS = 60;
const WIDTH = 600;
const HEIGHT = 64;
/** The rate that fills the plot, if none was higher. */
const FULL = 5;

/** How many events came in each second of the last minute, as bars. */
export class Rate {
  #counts = new Array(SECONDS).fill(0);
  #second = now();
  #bars;
  #current;
  #peak;

  constructor(panel) {
    this.#bars = panel.querySelector("path");
    this.#current = panel.querySelector("[data-rate=now]");
    this.#peak = panel.querySelector("[data-rate=peak]");
    setInterval(() => this.#draw(), 1000);
  }

  /** Count an event of this second. */
  count() {
    this.#move();
    this.#counts[SECONDS - 1] += 1;
  }

  #move() {
    const passed = Math.min(now() - this.#second, SECONDS);
    this.#second = now();
    if (passed === 0) return;
    this.#counts.splice(0, passed);
    while (this.#counts.length < SECONDS) this.#counts.push(0);
  }

  #draw() {
    this.#move();
    const whole = this.#counts.slice(0, -1); // the second that goes on is not known yet
    const peak = Math.max(...whole);
    const scale = (HEIGHT - 2) / Math.max(peak, FULL);
    const step = WIDTH / whole.length;
    const bar = (count, at) => {
      const height = count * scale;
      return count ? `M${at * step} ${HEIGHT}v${-height}h${step - 1.5}v${height}z` : "";
    };
    this.#bars.setAttribute("d", whole.map(bar).join(""));
    this.#current.textContent = whole.at(-1).toLocaleString("en");
    this.#peak.textContent = peak.toLocaleString("en");
  }
}

function now() {
  return Math.floor(performance.now() / 1000);
}
