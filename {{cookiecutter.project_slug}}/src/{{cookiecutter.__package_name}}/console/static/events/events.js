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
names.addEventListener("change", () => follower?.listen(wordsOf(names)));

function follow() {
  const followed = wordsOf(topics);
  follower?.close();
  if (followed.length === 0) {
    showState("rejected", "A topic is missing.");
    return;
  }
  follower = new Follower(followed, {
    names: wordsOf(names),
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
    if (!wordsOf(names).includes(name)) names.value = [...wordsOf(names), name].join(", ");
    follower?.listen(wordsOf(names));
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

// The form to start a job, and the progress of the last one.

const jobForm = document.getElementById("job");
const { steps, interval, show } = jobForm.elements;
const progress = jobForm.querySelector("progress");
const reached = jobForm.querySelector("[data-job=count]");
let jobFollower;

jobForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  const job = { steps: steps.valueAsNumber, interval: interval.valueAsNumber };
  try {
    const { topic } = await post("jobs", JSON.stringify(job));
    followJob(topic, job.steps);
  } catch (error) {
    report(jobForm, error.message, "bad");
  }
});
show.addEventListener("click", () => {
  topics.value = show.value;
  history.checked = true;
  follow();
});

function followJob(topic, count) {
  jobFollower?.close();
  progress.max = count;
  showProgress(0);
  show.value = topic;
  show.disabled = false;
  const finish = (message, kind) => {
    report(jobForm, message, kind);
    jobFollower.close();
  };
  jobFollower = new Follower([topic], {
    history: true,
    onevent: ({ name, text }) => {
      if (name === "") showProgress(JSON.parse(text).count + 1);
      else if (name === "done") finish("Done.", "good");
      else if (name === "stream-error") finish(JSON.parse(text).title, "bad");
      else if (name === "reset") finish("The service restarted. The job is lost.", "bad");
    },
    onstate: (name, problem) => {
      if (name === "connecting" || name === "open") report(jobForm, "Running.");
      else if (name === "reconnecting") report(jobForm, problem ?? "Reconnecting.");
      else if (name === "rejected") report(jobForm, problem, "bad");
    },
  });
}

function showProgress(step) {
  progress.value = step;
  reached.textContent = `${step} of ${progress.max}`;
}
