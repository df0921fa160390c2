import { UNREACHABLE, problemOf } from "../problem.js";

/** Names of events that the service sends by itself. */
const ITS_OWN = ["ready", "reset", "done", "stream-error"];
/** Names that EventSource keeps for itself, or gives to events without one. */
const TAKEN = ["open", "error", "message"];
const RETRY_SECONDS = 2;

/**
 * Follows topics until they are finished.
 *
 * One EventSource carries all of them, and resumes by `Last-Event-ID`. It gives up on any answer
 * that is not 200, and does not say which it was: so the answer is asked for, and only 204 is the
 * end. Where it resumes then is told by `last_event_id`.
 */
export class Follower {
  #source;
  #names = new Set(ITS_OWN);
  #topics;
  #position;
  #onevent;
  #onstate;
  #asking = new AbortController();
  #timer;

  /** `onevent` takes `{id, name, text}`; `onstate` takes a state and what there is to say of it. */
  constructor(topics, { names = [], history = false, onevent, onstate }) {
    this.#topics = topics;
    this.#position = history ? "earliest" : "";
    this.#onevent = onevent;
    this.#onstate = onstate;
    this.listen(names);
    this.#onstate("connecting");
    this.#connect();
  }

  /** Hear events of these names, and no others: EventSource has nothing that hears all. */
  listen(names) {
    const wanted = new Set([...ITS_OWN, ...names.filter((name) => !TAKEN.includes(name))]);
    for (const name of this.#names) {
      if (!wanted.has(name)) this.#source?.removeEventListener(name, this.#hear);
    }
    for (const name of wanted) this.#source?.addEventListener(name, this.#hear);
    this.#names = wanted;
  }

  /** Leave the stream; nothing is heard any more. */
  close() {
    this.#source.close();
    this.#asking.abort();
    clearTimeout(this.#timer);
  }

  get #address() {
    const [first, ...others] = this.#topics.map(encodeURIComponent);
    const query = others.map((topic) => `topic=${topic}`);
    if (this.#position) query.push(`last_event_id=${encodeURIComponent(this.#position)}`);
    return `/events/${first}?${query.join("&")}`;
  }

  #connect() {
    const source = new EventSource(this.#address);
    source.onopen = () => this.#onstate("open");
    source.onmessage = this.#hear;
    source.onerror = () => {
      this.#onstate("reconnecting");
      if (source.readyState === EventSource.CLOSED) this.#ask();
    };
    for (const name of this.#names) source.addEventListener(name, this.#hear);
    this.#source = source;
  }

  #hear = (event) => {
    this.#position = event.lastEventId || this.#position;
    const name = event.type === "message" ? "" : event.type;
    this.#onevent({ id: event.lastEventId, name, text: event.data });
  };

  async #ask() {
    const { signal } = this.#asking;
    const leave = new AbortController();
    try {
      const answer = await fetch(this.#address, { signal: AbortSignal.any([signal, leave.signal]) });
      if (answer.status === 204) {
        this.#onstate("ended");
      } else if (answer.ok) {
        leave.abort();
        this.#connect();
      } else {
        const passes = answer.status === 429 || answer.status >= 500;
        const problem = await problemOf(answer);
        if (signal.aborted) return;
        this.#onstate(passes ? "reconnecting" : "refused", problem);
        if (passes) this.#askAgain(answer.headers.get("Retry-After") ?? RETRY_SECONDS);
      }
    } catch {
      if (signal.aborted) return;
      this.#onstate("reconnecting", UNREACHABLE);
      this.#askAgain(RETRY_SECONDS);
    }
  }

  #askAgain(seconds) {
    if (this.#asking.signal.aborted) return;
    this.#timer = setTimeout(() => this.#ask(), seconds * 1000);
  }
}
