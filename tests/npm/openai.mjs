// OpenAI's client and the AI SDK's provider for compatible servers; prints what they received.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI from "openai";

const [url, failing] = process.argv.slice(2);
const question = { model: "echo", messages: [{ role: "user", content: "How are you?" }] };
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "key", maxRetries: 0 });
const provider = createOpenAICompatible({ name: "service", baseURL: `${url}/v1`, apiKey: "key" });

async function errorOf(work) {
  try {
    await work();
  } catch (error) {
    return { name: error.constructor.name, status: error.status, code: error.code };
  }
  return undefined;
}

async function streamed(options = {}, from = client) {
  const stream = await from.chat.completions.create({ ...question, ...options, stream: true });
  const chunks = await Array.fromAsync(stream);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  return {
    text: choices.map((choice) => choice.delta.content ?? "").join(""),
    finish: choices.at(-1).finish_reason,
    usage: chunks.at(-1).usage,
  };
}

async function provided() {
  const prompt = "How are you?";
  const { textStream } = streamText({ model: provider("echo"), prompt });
  const parts = await Array.fromAsync(textStream);
  const { text, usage } = await generateText({ model: provider("echo"), prompt });
  return { streamed: parts.join(""), text, tokens: usage.totalTokens };
}

Array.fromAsync ??= async (items) => {
  const list = [];
  for await (const item of items) list.push(item);
  return list;
};

const models = await Array.fromAsync(client.models.list());
const whole = await client.chat.completions.create(question);
const broken = new OpenAI({ baseURL: `${failing}/v1`, apiKey: "key", maxRetries: 0 });
console.log(
  JSON.stringify({
    models: models.map((model) => model.id),
    whole: whole.choices[0].message.content,
    streamed: await streamed({ stream_options: { include_usage: true } }),
    cut: await streamed({ max_tokens: 2 }),
    unknown: await errorOf(() => client.chat.completions.create({ ...question, model: "other" })),
    several: await errorOf(() => client.chat.completions.create({ ...question, n: 2 })),
    failed: await errorOf(() => broken.chat.completions.create(question)),
    failedInStream: await errorOf(() => streamed({}, broken)),
    provided: await provided(),
  }),
);
