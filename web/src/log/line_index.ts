// Where the lines of a log are: built while its bytes pass once, or from the index that the server has of a complete log.
// Both are small enough for ten million lines. Pure.
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
  /** Whether its bytes begin with the end of a line of the block before. */
  beginsInLine: boolean;
}

/** Where the lines of a log are. */
export interface Lines {
  /** The number of bytes. */
  readonly size: number;
  /** The number of lines. What follows the last newline is one, if there is any. */
  readonly lines: number;
  readonly blocks: number;
  /** Return the block that has a line, or the last one for a line that is not there. */
  blockOf(line: number): Block;
  block(index: number): Block;
}

/** The index of a complete log, from the server: the number of newlines before every so many bytes. */
export class StoredLines implements Lines {
  readonly size: number;
  readonly lines: number;
  readonly blocks: number;
  private readonly stride: number;
  /** The number of newlines before each block, and before the end. */
  private readonly before: number[];

  /** @param before the number of newlines before `stride` bytes, twice as many, and so on. */
  constructor(log: { size: number; stride: number; before: number[]; newlines: number; endsInLine: boolean }) {
    this.size = log.size;
    this.stride = log.stride;
    this.blocks = Math.max(1, Math.ceil(log.size / log.stride));
    this.before = [0, ...log.before.slice(0, this.blocks - 1), log.newlines];
    this.lines = log.newlines + (log.endsInLine ? 1 : 0);
  }

  blockOf(line: number): Block {
    let low = 0;
    let high = this.blocks - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.firstOf(middle) <= line) low = middle;
      else high = middle - 1;
    }
    return this.block(low);
  }

  block(index: number): Block {
    const line = this.firstOf(index);
    const next = index === this.blocks - 1 ? this.lines : this.before[index + 1]! + 1;
    return {
      index,
      line,
      start: index * this.stride,
      end: Math.min(this.size, (index + 1) * this.stride),
      lines: Math.min(next, this.lines) - line,
      beginsInLine: index > 0,
    };
  }

  /** Return the number of the first line that begins after a newline of a block. */
  private firstOf(index: number): number {
    return index === 0 ? 0 : this.before[index]! + 1;
  }
}

export class LineIndex implements Lines {
  /** The number of bytes that have passed. */
  size = 0;
  private newlines = 0;
  /** The offset of the beginning of the last line. */
  private lineStart = 0;
  private readonly starts = [0];
  private readonly firsts = [0];

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
      beginsInLine: false,
    };
  }
}
