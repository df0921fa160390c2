import { UNREACHABLE, problemOf } from "../problem.js";

/** The token that was typed: a session does not publish. It is kept until the page is left, or signed out. */
let token = "";

document.getElementById("sign-in").addEventListener("submit", ({ target }) => {
  token = target.elements.token.value;
});
document.getElementById("session").addEventListener("click", () => {
  token = "";
});

/** Send JSON text; the `answer`, or the `problem` in words. */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body });
  } catch {
    return { problem: UNREACHABLE };
  }
  return answer.ok ? { answer: await answer.json() } : { problem: await problemOf(answer) };
}
