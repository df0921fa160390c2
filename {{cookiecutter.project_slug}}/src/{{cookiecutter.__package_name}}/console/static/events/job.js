import { Follower } from "./follower.js";
import { post } from "./post.js";

/** Starts jobs, and shows how far the last one is by the events on its topic. */
export class Job {
  #form;
  #bar;
  #count;
  #outcome;
  #show;
  #follower;

  /** `onshow` takes the topic of a job whose events are to be seen. */
  constructor(form, { onshow }) {
    this.#form = form;
    this.#bar = form.querySelector("progress");
    this.#count = form.querySelector("[data-job=count]");
    this.#outcome = form.querySelector(".outcome");
    this.#show = form.elements.show;
    form.addEventListener("submit", (submit) => {
      submit.preventDefault();
      this.#start();
    });
    this.#show.addEventListener("click", () => onshow(this.#show.value));
  }

  async #start() {
    const steps = this.#form.elements.steps.valueAsNumber;
    const interval = this.#form.elements.interval.valueAsNumber;
    const { answer, problem } = await post("/jobs", JSON.stringify({ steps, interval }));
    if (problem) {
      this.#say(problem, "bad");
      return;
    }
    this.#follow(answer.topic, steps);
  }

  #follow(topic, steps) {
    this.#follower?.close();
    this.#bar.max = steps;
    this.#reach(0);
    this.#show.value = topic;
    this.#show.disabled = false;
    this.#say("Running.");
    const end = (words, kind) => {
      this.#say(words, kind);
      this.#follower.close();
    };
    this.#follower = new Follower([topic], {
      history: true,
      onevent: ({ name, text }) => {
        if (name === "") {
          this.#reach(JSON.parse(text).count + 1);
        } else if (name === "done") {
          end("Done.", "good");
        } else if (name === "stream-error") {
          end(JSON.parse(text).title, "bad");
        } else if (name === "reset") {
          end("The service has forgotten this job.", "bad");
        }
      },
      onstate: (state, words) => {
        if (state === "open") this.#say("Running.");
        else if (state === "reconnecting") this.#say(words ?? "Reconnecting.");
        else if (state === "refused") this.#say(words, "bad");
      },
    });
  }

  // Not said, as the outcome is: nobody wants every step of a job read out.
  #reach(step) {
    this.#bar.value = step;
    this.#count.textContent = `${step} of ${this.#bar.max}`;
  }

  #say(words, kind = "") {
    this.#outcome.textContent = words;
    this.#outcome.dataset.outcome = kind;
  }
}
