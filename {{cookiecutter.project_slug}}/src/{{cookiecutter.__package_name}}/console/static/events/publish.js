import { post } from "./post.js";

/** Publishes what is typed. */
export class Publish {
  #fields;
  #outcome;
  #onname;

  /** `onname` takes the name of an event that is about to be published. */
  constructor(form, { onname }) {
    this.#fields = form.elements;
    this.#outcome = form.querySelector(".outcome");
    this.#onname = onname;
    form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#send();
    });
  }

  async #send() {
    const { topic, event, data } = this.#fields;
    const misfit = this.#misfit();
    data.setAttribute("aria-invalid", misfit !== "");
    if (misfit) {
      this.#say(misfit, "bad");
      data.focus();
      return;
    }
    const name = event.value.trim();
    if (name) this.#onname(name);
    // The text itself: a number may have more digits than JavaScript keeps.
    const body = `{"data": ${data.value}${name && `, "event": ${JSON.stringify(name)}`}}`;
    const path = `/events/${encodeURIComponent(topic.value.trim())}`;
    const { answer, problem } = await post(path, body);
    this.#say(problem ?? `Stored as ${answer.id}`, problem ? "bad" : "good");
  }

  #misfit() {
    if (!this.#fields.topic.value.trim()) return "The topic is missing.";
    try {
      JSON.parse(this.#fields.data.value);
    } catch (error) {
      return `The data is not JSON: ${error.message}`;
    }
    return "";
  }

  #say(words, kind) {
    this.#outcome.textContent = words;
    this.#outcome.dataset.outcome = kind;
  }
}
