// The first line of a log that looks like an error: where a failed step is opened. Pure.

const NEWLINE = 10;
/** Of a line, no more than this is looked at. */
const MOST_BYTES = 2000;

// Words that tools use for errors. Counts of none ("0 failed", "no errors") and names such as `error.log` are not meant.
const WORDS =
  /(?<!\b(?:0|no|without|any) )(?<![\w./-])(?:errors?|fatal|panic|failed|failures?|exception|traceback|segmentation fault|command not found)(?![\w/]|\.\w|-\w)|^not ok\b|^E {3}/i;
// `ValueError` and `java.lang.NullPointerException`.
const CLASSES = /(?<![\w./-])(?:\w+\.)*[A-Z]\w*(?:Error|Exception)(?![\w/]|\.\w|-\w)/;

/** Return whether a line, without escape sequences, looks like an error. */
export function looksLikeError(line: string): boolean {
  return WORDS.test(line) || CLASSES.test(line);
}

/** Finds the first such line while the bytes of a log pass. */
export class FirstError {
  /** The number of the line, from 0; null: none was found so far. */
  line: number | null = null;
  private lines = 0;
  private rest: Uint8Array = new Uint8Array();
  private readonly decoder = new TextDecoder();
  private readonly textOf: (line: string) => string;

  /** @param textOf removes escape sequences. */
  constructor(textOf: (line: string) => string) {
    this.textOf = textOf;
  }

  push(bytes: Uint8Array): void {
    if (this.line !== null) return;
    let from = 0;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, from)) {
      this.look(bytes.subarray(from, at));
      if (this.line !== null) return;
      this.lines += 1;
      from = at + 1;
    }
    this.rest = joined(this.rest, bytes.subarray(from));
  }

  /** Look at what follows the last newline too. */
  end(): void {
    if (this.line === null && this.rest.length > 0) this.look(new Uint8Array());
  }

  private look(tail: Uint8Array): void {
    const whole = joined(this.rest, tail);
    this.rest = new Uint8Array();
    if (looksLikeError(this.textOf(this.decoder.decode(whole)))) this.line = this.lines;
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  if (first.length === 0) return second.slice(0, MOST_BYTES);
  const whole = new Uint8Array(Math.min(MOST_BYTES, first.length + second.length));
  whole.set(first.subarray(0, whole.length));
  if (whole.length > first.length) whole.set(second.subarray(0, whole.length - first.length), first.length);
  return whole;
}
