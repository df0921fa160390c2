import { headers, report, request } from "../console.js";
import { Follower } from "./follower.js";
import { logEvent, logNote } from "./log.js";

const STATES = {
  idle: "Not connected",
  connecting: "Connecting",
  open: "Connected",
  reconnecting: "Reconnecting",
  ended: "Finished",
  rejected: "Rejected",
};
const ENDS = { done: "Done.", stopped: "Stopped." };
/** The data of an event on a stream of several topics: `{"topic": …, "data": …}`. */
const TAGGED = /^\s*\{\s*"topic"\s*:\s*"([^"]*)"\s*,\s*"data"\s*:(.*)\}\s*$/s;

// The form to follow topics, and the state of the connection.

const followForm = document.getElementById("follow");
const { topics, names, history, stop } = followForm.elements;
const state = document.querySelector(".state");
let follower;

followForm.addEventListener("submit", (event) => {
  event.preventDefault();
  follow();
});
stop.addEventListener("click", () => {
  follower.close();
  showState("idle");
});
names.addEventListener("change", () => follower?.listen(eventNames()));

function follow() {
  const followed = wordsOf(topics);
  follower?.close();
  if (followed.length === 0) {
    showState("rejected", "A topic is missing.");
    return;
  }
  follower = new Follower(followed, {
    names: eventNames(),
    history: history.checked,
    onstate: showState,
    onevent: ({ id, name, text }) => {
      if (name === "ready") return;
      if (name === "reset") {
        logNote({ id, topic: "", name, text: "Earlier events are no longer available." });
        return;
      }
      const [, topic, data] = (followed.length > 1 && TAGGED.exec(text)) || ["", followed[0], text];
      countEvent();
      logEvent({ id, topic, name, text: data });
    },
  });
}

function showState(name, problem) {
  state.dataset.state = name;
  state.firstElementChild.textContent = problem ? `${STATES[name]}. ${problem}` : STATES[name];
  stop.disabled = !["connecting", "open", "reconnecting"].includes(name);
}

function wordsOf(field) {
  return [...new Set(field.value.split(/[\s,]+/).filter(Boolean))];
}

/** Return the names of events, which can contain spaces. */
function eventNames() {
  return [...new Set(names.value.split(",").map((name) => name.trim()))].filter(Boolean);
}

// The plot of the events in each second of the last minute.

const SECONDS = 60;
const PLOT = { width: 600, height: 64 };
/** The rate that fills the plot unless there was a higher one. */
const FULL_RATE = 5;

const rate = document.getElementById("rate");
const counts = new Array(SECONDS).fill(0);
let second = currentSecond();
setInterval(drawRate, 1000);

function countEvent() {
  forgetOldCounts();
  counts[SECONDS - 1] += 1;
}

function forgetOldCounts() {
  const passed = Math.min(currentSecond() - second, SECONDS);
  second = currentSecond();
  counts.splice(0, passed);
  while (counts.length < SECONDS) counts.push(0);
}

function drawRate() {
  forgetOldCounts();
  const complete = counts.slice(0, -1);
  const peak = Math.max(...complete);
  const step = PLOT.width / complete.length;
  const scale = (PLOT.height - 2) / Math.max(peak, FULL_RATE);
  const bars = complete.map((count, at) => {
    const height = count * scale;
    return count ? `M${at * step} ${PLOT.height}v${-height}h${step - 1.5}v${height}z` : "";
  });
  rate.querySelector("path").setAttribute("d", bars.join(""));
  rate.querySelector("[data-rate=now]").textContent = complete.at(-1).toLocaleString("en");
  rate.querySelector("[data-rate=peak]").textContent = peak.toLocaleString("en");
}

function currentSecond() {
  return Math.floor(performance.now() / 1000);
}

// The form to publish an event.

const publishForm = document.getElementById("publish");

publishForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    report(publishForm, `Published as ${await publish(publishForm.elements)}`, "good");
  } catch (error) {
    report(publishForm, error.message, "bad");
  }
});

async function publish({ topic, event, data }) {
  const problem = problemOfJson(data.value);
  data.setAttribute("aria-invalid", problem !== "");
  if (problem) data.focus();
  if (!topic.value.trim()) throw new Error("The topic is missing.");
  if (problem) throw new Error(problem);
  const name = event.value.trim();
  if (name) {
    if (!eventNames().includes(name)) names.value = [...eventNames(), name].join(", ");
    follower?.listen(eventNames());
  }
  // The text as it is, since `JSON.parse` rounds long numbers.
  const body = `{"data": ${data.value}${name && `, "event": ${JSON.stringify(name)}`}}`;
  const { id } = await post(`events/${encodeURIComponent(topic.value.trim())}`, body);
  return id;
}

function problemOfJson(text) {
  try {
    JSON.parse(text);
    return "";
  } catch (error) {
    return `The data is not JSON: ${error.message}`;
  }
}

async function post(path, body) {
  const response = await request(path, { method: "POST", headers, body });
  return response.json();
}

// The form to start a run, and the progress of the last one.

const runForm = document.getElementById("run");
const { body, show, stop: stopRun } = runForm.elements;
const progress = runForm.querySelector("progress");
const received = runForm.querySelector("[data-run=count]");
let run;
let runFollower;

runForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = problemOfJson(body.value);
  body.setAttribute("aria-invalid", problem !== "");
  try {
    if (problem) throw new Error(problem);
    followRun(await post("runs", body.value));
  } catch (error) {
    report(runForm, error.message, "bad");
  }
});
stopRun.addEventListener("click", async () => {
  try {
    await request(`runs/${run.id}`, { method: "DELETE", headers });
  } catch (error) {
    report(runForm, error.message, "bad");
  }
});
show.addEventListener("click", () => {
  topics.value = run.topic;
  history.checked = true;
  follow();
});

function followRun(started) {
  runFollower?.close();
  run = started;
  let count = 0;
  showCount(0);
  progress.removeAttribute("value");
  show.disabled = stopRun.disabled = false;
  const finish = (message, kind) => {
    report(runForm, message, kind);
    stopRun.disabled = true;
    progress.value = kind === "good" ? 1 : 0;
    runFollower.close();
  };
  runFollower = new Follower([run.topic], {
    history: true,
    onevent: ({ name, text }) => {
      if (name === "") showCount(++count);
      else if (name === "done") finish(ENDS[JSON.parse(text).status], "good");
      else if (name === "stream-error") finish(JSON.parse(text).title, "bad");
      else if (name === "reset") finish("The service restarted. The run is lost.", "bad");
    },
    onstate: (name, problem) => {
      if (name === "connecting" || name === "open") report(runForm, "Running.");
      else if (name === "reconnecting") report(runForm, problem ?? "Reconnecting.");
      else if (name === "rejected") finish(problem, "bad");
    },
  });
}

function showCount(count) {
  received.textContent = count === 1 ? "1 event" : `${count.toLocaleString("en")} events`;
}
