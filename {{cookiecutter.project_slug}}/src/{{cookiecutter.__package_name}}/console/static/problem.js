export const UNREACHABLE = "The service does not answer.";

/** Put a problem document (RFC 9457) into words; other answers are named by their status. */
export async function problemOf(answer) {
  const problem = await answer.json().catch(() => ({}));
  const wait = answer.headers.get("Retry-After");
  const words = [problem.title ?? `Status ${answer.status}`, problem.detail].filter(Boolean).join(": ");
  return wait ? `${words} Try again in ${wait} s.` : words;
}
