import { headers, request } from "../console.js";
import { eventsOf, startChat } from "./chat.js";

startChat({ send, resume, stop });

async function* send({ id, messages }) {
  const parts = ({ text }) => [{ type: "text", text }];
  const body = JSON.stringify({
    id,
    messages: messages.map((message) => ({ role: message.role, parts: parts(message) })),
  });
  yield* textsOf(await request("api/chat", { method: "POST", headers, body }));
}

async function* resume({ id }) {
  const response = await request(`api/chat/${id}/stream`, { headers });
  if (response.status === 200) yield* textsOf(response);
}

async function stop({ id }) {
  await request(`api/chat/${id}/stop`, { method: "POST", headers });
}

async function* textsOf(response) {
  for await (const part of eventsOf(response)) {
    if (part.type === "text-delta") yield part.delta;
    else if (part.type === "error") throw new Error(part.errorText);
    else if (part.type === "abort") throw new Error("The answer was stopped.");
  }
}
