import { UNREACHABLE, report } from "../console.js";

/** Where the conversation is kept: a reload of the tab has it, another tab has its own. */
const STORED = "chat";
const DONE = "[DONE]";

const form = document.getElementById("chat");
const list = form.querySelector("ol");
const { question, send, stop, clear } = form.elements;
let chat = JSON.parse(sessionStorage.getItem(STORED)) ?? newChat();
let protocol;

/**
 * Show the conversation, and continue it with a protocol:
 *
 * - `send(chat)` yields the texts of the answer to the last message,
 * - `resume(chat)` the texts of an answer that runs, from the first one, or returns nothing,
 * - `stop(chat)` stops it.
 */
export async function startChat(chosen) {
  protocol = chosen;
  form.addEventListener("submit", ask);
  stop.addEventListener("click", stopAnswer);
  clear.addEventListener("click", () => {
    chat = newChat();
    store();
    list.replaceChildren();
    report(form, "");
  });
  for (const message of chat.messages) show(message);
  if (chat.isAnswering) await receive(protocol.resume(chat));
}

/** Yield the data of the events of a response, up to the end of the answer. */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(UNREACHABLE);
    const events = (rest + value).split("\n\n");
    rest = events.pop();
    for (const event of events.filter((each) => each.startsWith("data: "))) {
      const data = event.slice("data: ".length);
      if (data === DONE) return;
      yield JSON.parse(data);
    }
  }
}

function newChat() {
  // `randomUUID` needs HTTPS or localhost.
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  return { id, messages: [], isAnswering: false };
}

function ask(event) {
  event.preventDefault();
  const text = question.value.trim();
  if (!text || chat.isAnswering) return;
  question.value = "";
  add({ role: "user", text });
  receive(protocol.send(chat));
}

/** Show the texts of an answer as they arrive. */
async function receive(texts) {
  const current = chat;
  let answer;
  setAnswering(current, true);
  report(form, "Waiting for the answer.");
  try {
    for await (const text of texts) {
      answer ??= answerOf(current);
      answer.message.text += text;
      answer.place.textContent = answer.message.text;
      answer.place.scrollIntoView({ block: "nearest" });
      store();
    }
    report(form, answer ? "Answered." : "", "good");
  } catch (error) {
    report(form, error.message, "bad");
  }
  setAnswering(current, false);
}

/** Return the message of an answer, and its place: those of its beginning before a reload. */
function answerOf(current) {
  const last = current.messages.at(-1);
  if (last.role !== "assistant") return add({ role: "assistant", text: "" });
  last.text = "";
  return { message: last, place: list.lastElementChild };
}

async function stopAnswer() {
  try {
    await protocol.stop(chat);
  } catch (error) {
    report(form, error.message, "bad");
  }
}

function setAnswering(current, isAnswering) {
  current.isAnswering = isAnswering;
  send.disabled = clear.disabled = isAnswering;
  stop.disabled = !isAnswering;
  store();
}

function add(message) {
  chat.messages.push(message);
  store();
  return { message, place: show(message) };
}

function show({ role, text }) {
  const place = document.createElement("li");
  place.dataset.role = role;
  place.textContent = text;
  list.append(place);
  return place;
}

function store() {
  sessionStorage.setItem(STORED, JSON.stringify(chat));
}
