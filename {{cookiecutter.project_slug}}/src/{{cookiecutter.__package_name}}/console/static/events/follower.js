import { UNREACHABLE, problemOf } from "../console.js";

/** Names of events that the service adds to a stream. */
const SERVICE_NAMES = ["ready", "reset", "done", "stream-error"];
/** Names of EventSource: its own events, and events without a name. */
const RESERVED_NAMES = ["open", "error", "message"];
const RETRY_SECONDS = 2;
const MAX_WAIT_SECONDS = 3600;

/**
 * Follows topics on one connection until they are finished.
 *
 * EventSource reconnects by itself, and resumes with `Last-Event-ID`. But it gives up on every
 * response except 200, without its status. So a probe requests the same URL: 204 is the end, after
 * 200 a new EventSource resumes with `last_event_id`, and a temporary error is retried.
 */
export class Follower {
  #source;
  #names = [];
  #topics;
  #position;
  #onevent;
  #onstate;
  #closing = new AbortController();
  #timer;

  /** `onevent` receives `{id, name, text}`; `onstate` a state and, with an error, its message. */
  constructor(topics, { names = [], history = false, onevent, onstate }) {
    this.#topics = topics;
    this.#position = history ? "earliest" : "";
    this.#onevent = onevent;
    this.#onstate = onstate;
    this.listen(names);
    this.#onstate("connecting");
    this.#connect();
  }

  /** Receive events with these names: EventSource cannot receive all. */
  listen(names) {
    for (const name of this.#names) this.#source?.removeEventListener(name, this.#receive);
    this.#names = [...SERVICE_NAMES, ...names.filter((name) => !RESERVED_NAMES.includes(name))];
    for (const name of this.#names) this.#source?.addEventListener(name, this.#receive);
  }

  /** Close the connection for good. */
  close() {
    this.#source.close();
    this.#closing.abort();
    clearTimeout(this.#timer);
  }

  get #url() {
    const [first, ...others] = this.#topics.map(encodeURIComponent);
    const query = others.map((topic) => `topic=${topic}`);
    if (this.#position) query.push(`last_event_id=${encodeURIComponent(this.#position)}`);
    return `events/${first}?${query.join("&")}`;
  }

  #connect() {
    this.#source = new EventSource(this.#url);
    this.#source.onopen = () => this.#onstate("open");
    this.#source.onmessage = this.#receive;
    this.#source.onerror = ({ target }) => {
      this.#onstate("reconnecting");
      if (target.readyState === EventSource.CLOSED) this.#probe();
    };
    for (const name of this.#names) this.#source.addEventListener(name, this.#receive);
  }

  #receive = (event) => {
    this.#position = event.lastEventId || this.#position;
    const name = event.type === "message" ? "" : event.type;
    this.#onevent({ id: event.lastEventId, name, text: event.data });
  };

  async #probe() {
    const { signal } = this.#closing;
    const leaving = new AbortController();
    const signals = AbortSignal.any([signal, leaving.signal]);
    const response = await fetch(this.#url, { signal: signals }).catch(() => undefined);
    if (response?.status === 204) {
      this.#onstate("ended");
    } else if (response?.ok) {
      leaving.abort();
      this.#connect();
    } else {
      const problem = response ? await problemOf(response) : UNREACHABLE;
      if (signal.aborted) return;
      const isTemporary = !response || response.status === 429 || response.status >= 500;
      this.#onstate(isTemporary ? "reconnecting" : "rejected", problem);
      if (!isTemporary) return;
      // A proxy may send a date.
      const seconds = Number(response?.headers.get("Retry-After")) || RETRY_SECONDS;
      this.#timer = setTimeout(() => this.#probe(), Math.min(seconds, MAX_WAIT_SECONDS) * 1000);
    }
  }
}
