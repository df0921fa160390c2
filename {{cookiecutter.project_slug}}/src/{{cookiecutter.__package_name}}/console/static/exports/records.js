const LINE_FEED = 10;
/** How many characters of a record are kept. */
const LONGEST = 64 * 1024;

/**
 * Counts the records of a stream, and keeps the text of the first `kept`, wherever the chunks end.
 *
 * A record ends with a line feed, but not between two of the bytes `quote`, if there are any.
 */
export class Records {
  bytes = 0;
  count = 0;
  first = [];
  #quote;
  #quoted = false;
  #begun = false;
  #text = "";
  #kept;
  #keeps = true;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(quote, kept) {
    this.#quote = quote;
    this.#kept = kept;
  }

  /** Take the next bytes. */
  push(chunk) {
    this.bytes += chunk.length;
    let start = 0;
    for (let end = this.#end(chunk, start); end; end = this.#end(chunk, start)) {
      this.#keep(chunk.subarray(start, end), false);
      this.#finish();
      start = end;
    }
    if (start < chunk.length) {
      this.#begun = true;
      this.#keep(chunk.subarray(start), true);
    }
  }

  /** Take in that the stream is over: its last record may lack a line feed. */
  end() {
    if (this.#begun) this.#finish();
  }

  #end(chunk, start) {
    if (this.#quote === undefined) return chunk.indexOf(LINE_FEED, start) + 1;
    for (let at = start; at < chunk.length; at += 1) {
      if (chunk[at] === this.#quote) this.#quoted = !this.#quoted;
      else if (chunk[at] === LINE_FEED && !this.#quoted) return at + 1;
    }
    return 0;
  }

  #keep(part, more) {
    if (!this.#keeps) return;
    this.#text += this.#decoder.decode(part, { stream: more });
    this.#keeps = this.#text.length <= LONGEST;
  }

  #finish() {
    this.count += 1;
    this.#begun = false;
    if (!this.#keeps) return;
    this.first.push(this.#text);
    this.#text = "";
    this.#keeps = this.first.length < this.#kept;
  }
}
