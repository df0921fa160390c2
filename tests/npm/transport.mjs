// The transport of the AI SDK without a page; prints what it received.
import { DefaultChatTransport, readUIMessageStream } from "ai";

const [url, failing] = process.argv.slice(2);
const messages = [
  { id: "m1", role: "user", parts: [{ type: "text", text: "one two three four five six" }] },
];

function send(chatId, base = url) {
  const transport = new DefaultChatTransport({ api: `${base}/api/chat` });
  return transport.sendMessages({ chatId, messages, trigger: "submit-message" });
}

function resume(chatId) {
  return new DefaultChatTransport({ api: `${url}/api/chat` }).reconnectToStream({ chatId });
}

/** Read a stream to its end; return its message, and the types of its chunks. */
async function read(stream) {
  const [chunks, parsed] = stream.tee();
  const types = [];
  const reading = (async () => {
    for await (const chunk of chunks) types.push(chunk.type);
  })();
  let message;
  const errors = [];
  const onError = (error) => errors.push(error.message);
  for await (message of readUIMessageStream({ stream: parsed, onError }));
  await reading;
  return { id: message.id, text: message.parts.map((part) => part.text ?? "").join(""), types, errors };
}

/** Read the first chunks of a stream, and leave. */
async function leave(stream, number) {
  const reader = stream.getReader();
  for (let count = 0; count < number; count += 1) await reader.read();
  // The other half of a stream that was divided goes on, and so this does not complete.
  reader.cancel();
}

async function stopped() {
  const stream = await send("stopped");
  const [first, second] = stream.tee();
  await leave(first, 3);
  await fetch(`${url}/api/chat/stopped/stop`, { method: "POST" });
  return read(second);
}

async function left() {
  await leave(await send("left"), 4);
  return Promise.all([resume("left").then(read), resume("left").then(read)]);
}

const sent = await read(await send("sent"));
console.log(
  JSON.stringify({
    sent,
    afterwards: await resume("sent"),
    left: await left(),
    stopped: await stopped(),
    failed: await read(await send("failed", failing)),
  }),
);
