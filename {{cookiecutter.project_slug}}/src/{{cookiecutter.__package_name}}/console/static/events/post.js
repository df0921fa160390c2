import { UNREACHABLE, problemOf } from "../problem.js";

/** Send JSON text; the `answer`, or the `problem` in words. */
export async function post(path, body) {
  const headers = { "Content-Type": "application/json" };
  let answer;
  try {
    answer = await fetch(path, { method: "POST", headers, body });
  } catch {
    return { problem: UNREACHABLE };
  }
  return answer.ok ? { answer: await answer.json() } : { problem: await problemOf(answer) };
}
