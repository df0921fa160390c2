const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;
const WIDTH = 72;
const INDENT = "  ";
const SPACED = { ",": ", ", ":": ": " };

/**
 * Lay out JSON text for reading: what fits stays on one line, the rest is indented.
 *
 * It works on the text, so that a number is shown as it was sent however many digits it has.
 */
export function pretty(text) {
  const tokens = text.match(TOKEN) ?? [];
  const ends = endsOf(tokens);
  const lines = [""];
  const write = (word) => lines.push(lines.pop() + word);
  let depth = 0;
  for (let at = 0; at < tokens.length; at += 1) {
    const token = tokens[at];
    if (ends.has(at)) {
      const whole = tokens.slice(at, ends.get(at) + 1).map(spaced).join("");
      if (lines.at(-1).length + whole.length <= WIDTH) {
        write(whole);
        at = ends.get(at);
      } else {
        depth += 1;
        write(token);
        lines.push(INDENT.repeat(depth));
      }
    } else if (token === "}" || token === "]") {
      depth -= 1;
      lines.push(INDENT.repeat(depth) + token);
    } else if (token === ",") {
      write(token);
      lines.push(INDENT.repeat(depth));
    } else {
      write(spaced(token));
    }
  }
  return lines.join("\n");
}

function spaced(token) {
  return SPACED[token] ?? token;
}

/** Say of each opening bracket which token closes it. */
function endsOf(tokens) {
  const ends = new Map();
  const open = [];
  tokens.forEach((token, at) => {
    if (token === "{" || token === "[") open.push(at);
    else if (token === "}" || token === "]") ends.set(open.pop(), at);
  });
  return ends;
}
