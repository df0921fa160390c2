// A page with `useChat`, which resumes its answer; built by esbuild for the tests.
import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport } from "ai";
import { createElement as element, useState } from "react";
import { createRoot } from "react-dom/client";

const id = new URLSearchParams(location.search).get("chat");
const stored = JSON.parse(localStorage.getItem(id) ?? "[]");
const transport = new DefaultChatTransport({ api: "/api/chat" });

function Chat() {
  const [input, setInput] = useState("");
  const { messages, sendMessage, status, error, stop } = useChat({
    id,
    messages: stored,
    transport,
    resume: true,
  });
  const submit = (event) => {
    event.preventDefault();
    const message = { id: crypto.randomUUID(), role: "user", parts: [{ type: "text", text: input }] };
    // The page keeps the questions; an answer that runs is resumed.
    localStorage.setItem(id, JSON.stringify([...messages, message]));
    sendMessage(message);
  };
  const stopAnswer = async () => {
    await fetch(`/api/chat/${id}/stop`, { method: "POST" });
    await stop();
  };
  return element(
    "main",
    null,
    messages.map((message) =>
      element(
        "p",
        { key: message.id, "data-role": message.role },
        message.parts.map((part) => part.text ?? "").join(""),
      ),
    ),
    element("p", { role: "status" }, error ? error.message : status),
    element(
      "form",
      { onSubmit: submit },
      element("input", {
        "aria-label": "Message",
        value: input,
        onChange: (event) => setInput(event.target.value),
      }),
      element("button", null, "Send"),
    ),
    element("button", { onClick: stopAnswer }, "Stop"),
  );
}

createRoot(document.getElementById("root")).render(element(Chat));
