import { Follower } from "./follower.js";
import { Job } from "./job.js";
import { Log } from "./log.js";
import { Publish } from "./publish.js";
import { Rate } from "./rate.js";

const STATES = {
  idle: "Not connected",
  connecting: "Connecting",
  open: "Open",
  reconnecting: "Reconnecting",
  ended: "Ended",
  refused: "Refused",
};
/** On a stream of several topics each datum says which one it is of. */
const TAGGED = /^\s*\{\s*"topic"\s*:\s*"([^"]*)"\s*,\s*"data"\s*:(.*)\}\s*$/s;

const section = document.getElementById("events");
const form = document.getElementById("follow");
const { topics, names, history, stop } = form.elements;
const state = section.querySelector(".state");
const log = new Log(section.querySelector(".log"));
const rate = new Rate(section.querySelector(".rate"));
let follower;

const words = (field) => [...new Set(field.value.split(/[\s,]+/).filter(Boolean))];

function show(name, problem) {
  state.dataset.state = name;
  state.firstElementChild.textContent = problem ? `${STATES[name]}. ${problem}` : STATES[name];
  stop.disabled = !["connecting", "open", "reconnecting"].includes(name);
}

function follow() {
  const followed = words(topics);
  follower?.close();
  if (followed.length === 0) {
    show("refused", "A topic is missing.");
    return;
  }
  follower = new Follower(followed, {
    names: words(names),
    history: history.checked,
    onstate: show,
    onevent: ({ id, name, text }) => {
      const time = new Date();
      if (name === "ready") return;
      if (name === "reset") {
        log.note({ time, id, topic: "", name, text: "Events before this one are lost." });
        return;
      }
      const [, topic, data] = (followed.length > 1 && TAGGED.exec(text)) || ["", followed[0], text];
      rate.count();
      log.add({ time, id, topic, name, text: data });
    },
  });
}

form.addEventListener("submit", (submit) => {
  submit.preventDefault();
  follow();
});
stop.addEventListener("click", () => {
  follower.close();
  show("idle");
});
names.addEventListener("change", () => follower?.listen(words(names)));

new Publish(document.getElementById("publish"), {
  onname: (name) => {
    if (!words(names).includes(name)) names.value = [...words(names), name].join(", ");
    follower?.listen(words(names));
  },
});
new Job(document.getElementById("job"), {
  onshow: (topic) => {
    topics.value = topic;
    history.checked = true;
    follow();
  },
});
