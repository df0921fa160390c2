import { UNREACHABLE, headers } from "../console.js";
import { eventsOf, startChat } from "./chat.js";

let leaving;

startChat({ send, resume, stop });

async function* send({ messages }) {
  leaving = new AbortController();
  const { data } = await (await request("v1/models")).json();
  const body = JSON.stringify({
    model: data[0].id,
    messages: messages.map(({ role, text }) => ({ role, content: text })),
    stream: true,
  });
  const response = await request("v1/chat/completions", { method: "POST", body });
  for await (const chunk of eventsOf(response)) {
    if (chunk.error) throw new Error(chunk.error.message);
    yield chunk.choices[0].delta.content ?? "";
  }
}

/** The answer was stopped when the page left: the protocol cannot resume one. */
async function* resume() {
  throw new Error("The answer was stopped by the reload.");
}

function stop() {
  leaving.abort(new Error("The answer was stopped."));
}

async function request(path, options) {
  const response = await fetch(path, { headers, signal: leaving.signal, ...options }).catch(() => {
    throw leaving.signal.reason ?? new Error(UNREACHABLE);
  });
  if (response.ok) return response;
  const { error } = await response.json().catch(() => ({}));
  throw new Error(error?.message ?? `Status ${response.status}`);
}
