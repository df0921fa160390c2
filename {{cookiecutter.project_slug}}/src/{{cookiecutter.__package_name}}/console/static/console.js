export const UNREACHABLE = "The service is unreachable.";

/** Headers of requests with a JSON body. */
export const headers = { "Content-Type": "application/json" };

/** The URL of this page, with the prefix under which a proxy serves it. */
export const base = new URL(".", document.baseURI).href;

for (const place of document.querySelectorAll("[data-base]")) place.textContent = base;

/** Send a request. Throws an `Error` with a message for the user unless it succeeds. */
export async function request(path, options) {
  const response = await fetch(path, options).catch(() => {
    throw new Error(UNREACHABLE);
  });
  if (!response.ok) throw new Error(await problemOf(response));
  return response;
}

/** Return the message of a problem document (RFC 9457), or the status of any other error. */
export async function problemOf(response) {
  if (response.status === 401) document.dispatchEvent(new Event("unauthorized"));
  const problem = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After"));
  const parts = [problem.title ?? `Status ${response.status}`, problem.detail];
  const message = parts.filter(Boolean).join(": ");
  return seconds ? `${message} Try again in ${seconds} s.` : message;
}

/** Show the outcome of an action; `kind` is "good", "bad" or empty. */
export function report(panel, message, kind = "") {
  const outcome = panel.querySelector(".outcome");
  outcome.textContent = message;
  outcome.dataset.outcome = kind;
}
