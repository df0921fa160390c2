import { UNREACHABLE, problemOf } from "./problem.js";

const WORDS = { in: "Sign out", out: "Sign in" };

const button = document.getElementById("session");
const dialog = document.getElementById("sign-in");
const form = dialog.querySelector("form");
const outcome = form.querySelector(".outcome");
const { token, cancel } = form.elements;

button.addEventListener("click", () => {
  if (button.dataset.state === "in") signOut();
  else dialog.showModal();
});
cancel.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  form.reset();
  outcome.textContent = "";
});
form.addEventListener("submit", (submit) => {
  submit.preventDefault();
  signIn();
});
ask();

/** Show what this page may do: a service without tokens has nothing to sign in to. */
async function ask() {
  const answer = await fetch("/session").catch(() => undefined);
  if (!answer?.ok) return;
  const { anonymous, scopes } = await answer.json();
  if (!anonymous) show(scopes.length > 0 ? "in" : "out");
}

async function signIn() {
  const headers = { Authorization: `Bearer ${token.value}` };
  const answer = await fetch("/session", { method: "POST", headers }).catch(() => undefined);
  if (answer?.ok) {
    dialog.close();
    show("in");
    return;
  }
  outcome.textContent = answer ? await problemOf(answer) : UNREACHABLE;
  outcome.dataset.outcome = "bad";
  token.select();
}

async function signOut() {
  const answer = await fetch("/session", { method: "DELETE" }).catch(() => undefined);
  if (answer?.ok) show("out");
}

function show(state) {
  button.dataset.state = state;
  button.textContent = WORDS[state];
}
