import { headers, report, request } from "./console.js";

const LABELS = { in: "Sign out", out: "Sign in" };

const button = document.getElementById("session");
const dialog = document.getElementById("sign-in");
const form = dialog.querySelector("form");
const { token, cancel } = form.elements;

button.addEventListener("click", () => {
  if (button.dataset.state === "in") signOut();
  else dialog.showModal();
});
cancel.addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
  form.reset();
  report(form, "");
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  signIn();
});
// The session has expired, or the token was revoked.
document.addEventListener("unauthorized", () => {
  delete headers.Authorization;
  show("out");
});
for (const guarded of document.querySelectorAll("[data-session]")) {
  guarded.addEventListener("submit", requireToken, { capture: true });
}
load();

/** Show the button, unless the service has no tokens. */
async function load() {
  const response = await request("session").catch(() => undefined);
  if (!response) return;
  const { anonymous, scopes } = await response.json();
  if (!anonymous) show(scopes.length > 0 ? "in" : "out");
}

async function signIn() {
  const authorization = `Bearer ${token.value}`;
  try {
    await request("session", { method: "POST", headers: { Authorization: authorization } });
  } catch (error) {
    report(form, error.message, "bad");
    token.select();
    return;
  }
  // The session does not grant all scopes of the token, so the page keeps the token in memory.
  headers.Authorization = authorization;
  dialog.close();
  show("in");
}

async function signOut() {
  delete headers.Authorization;
  const response = await request("session", { method: "DELETE" }).catch(() => undefined);
  if (response) show("out");
}

/** Reject the submission of a form that needs the token after a reload, which removed it. */
function requireToken(event) {
  if (button.dataset.state !== "in" || headers.Authorization) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  report(event.target, event.target.dataset.session, "bad");
}

function show(state) {
  button.dataset.state = state;
  button.textContent = LABELS[state];
}
