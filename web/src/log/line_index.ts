// Where the lines of a log are: built while its bytes pass once, and small enough for ten million lines. Pure.
//
// A log is divided into blocks at beginnings of lines. A block ends with the first line that begins at least
// `BLOCK_LINES` lines or `BLOCK_BYTES` bytes after it, so reading one costs little, whatever the lines are like. Only the
// beginnings of blocks are kept.

export const BLOCK_LINES = 256;
export const BLOCK_BYTES = 64 * 1024;

const NEWLINE = 10;

export interface Block {
  index: number;
  /** The number of its first line, from 0. */
  line: number;
  /** The offset of its first byte. */
  start: number;
  /** The offset after its last byte; of the last block: of what is there now. */
  end: number;
  /** The number of its lines. */
  lines: number;
}

export class LineIndex {
  /** The number of bytes that have passed. */
  size = 0;
  private newlines = 0;
  /** The offset of the beginning of the last line. */
  private lineStart = 0;
  private readonly starts = [0];
  private readonly firsts = [0];

  /** The number of lines. What follows the last newline is one, if there is any. */
  get lines(): number {
    return this.newlines + (this.size > this.lineStart ? 1 : 0);
  }

  get blocks(): number {
    return this.starts.length;
  }

  /** Take the next bytes. */
  push(bytes: Uint8Array): void {
    let start = this.starts[this.starts.length - 1]!;
    let first = this.firsts[this.firsts.length - 1]!;
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) {
      this.newlines += 1;
      this.lineStart = this.size + at + 1;
      if (this.newlines - first >= BLOCK_LINES || this.lineStart - start >= BLOCK_BYTES) {
        start = this.lineStart;
        first = this.newlines;
        this.starts.push(start);
        this.firsts.push(first);
      }
    }
    this.size += bytes.length;
  }

  /** Return the block that has a line, or the last one for a line that is not there. */
  blockOf(line: number): Block {
    let low = 0;
    let high = this.firsts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firsts[middle]! <= line) low = middle;
      else high = middle - 1;
    }
    return this.block(low);
  }

  block(index: number): Block {
    const isLast = index === this.starts.length - 1;
    const line = this.firsts[index]!;
    return {
      index,
      line,
      start: this.starts[index]!,
      end: isLast ? this.size : this.starts[index + 1]!,
      lines: (isLast ? this.lines : this.firsts[index + 1]!) - line,
    };
  }
}
