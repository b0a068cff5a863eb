// The lines of a log, from its bytes: reads them once from the beginning for the index, and single blocks again when they
// are shown and not in memory any more.

import { parseLine, PLAIN, type Rendition, type Span } from "./ansi.ts";
import { BLOCK_BYTES, type Block, LineIndex } from "./line_index.ts";

/** Where the bytes come from. */
export interface LogReader {
  /** Return the bytes of a range. */
  range(start: number, end: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Yield the bytes from an offset on, until the log is complete; those that are written later when they are. */
  stream(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Row {
  spans: Span[];
}

/** No more of a block is read: only its last line can be longer. */
const MOST_BLOCK_BYTES = 2 * BLOCK_BYTES;
/** No more of a line is shown. */
const MOST_LINE_BYTES = 4096;
/** Of the bytes that have passed, so many are kept, so that a log of usual size is read once. */
const KEPT_BYTES = 8 * 1024 * 1024;
const KEPT_ROWS = 32;
const CUT: Span = { text: " … (cut; download the log for all of it)", classes: "dim" };

export class LogSource {
  readonly index = new LineIndex();
  /** Whether all of the log is in the index. */
  isComplete = false;
  /** Why it could not be read to its end; null: it could, or is being read. */
  failure: Error | null = null;
  private readonly reader: LogReader;
  private readonly changed: () => void;
  private readonly stopped = new AbortController();
  private readonly bytes = new Map<number, Uint8Array>();
  private keptBytes = 0;
  private readonly rows = new Map<number, Row[]>();
  private readonly reading = new Set<number>();
  /** The bytes of the last block, which grows. */
  private tail: Uint8Array[] = [];
  private tailBytes = 0;

  /** @param changed is called when there are more lines, or rows that were missing. */
  constructor(reader: LogReader, changed: () => void) {
    this.reader = reader;
    this.changed = changed;
  }

  /** Read the log to its end. */
  async run(): Promise<void> {
    try {
      for await (const chunk of this.reader.stream(this.index.size, this.stopped.signal)) {
        if (this.stopped.signal.aborted) return;
        this.take(chunk);
        this.changed();
      }
      this.isComplete = true;
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
    this.changed();
  }

  close(): void {
    this.stopped.abort();
  }

  /** Return a row, or null if it is not here yet: then it is read, and `changed` is called. */
  row(line: number): Row | null {
    const block = this.index.blockOf(line);
    const rows = this.rows.get(block.index) ?? this.parse(block);
    return rows?.[line - block.line] ?? null;
  }

  private take(chunk: Uint8Array): void {
    // In pieces that end with a block, so that each block's bytes can be kept by themselves.
    const before = this.index.blocks;
    const offset = this.index.size;
    this.index.push(chunk);
    let from = 0;
    for (let index = before; index < this.index.blocks; index += 1) {
      const start = this.index.block(index).start - offset;
      this.addToTail(chunk.subarray(from, start));
      this.keep(index - 1, joined(this.tail, this.tailBytes));
      this.tail = [];
      this.tailBytes = 0;
      from = start;
    }
    this.addToTail(chunk.subarray(from));
    this.rows.delete(before - 1);
    this.rows.delete(this.index.blocks - 1);
  }

  private addToTail(bytes: Uint8Array): void {
    const part = bytes.slice(0, MOST_BLOCK_BYTES - this.tailBytes);
    if (part.length === 0) return;
    this.tail.push(part);
    this.tailBytes += part.length;
  }

  private keep(index: number, bytes: Uint8Array): void {
    this.bytes.set(index, bytes);
    this.keptBytes += bytes.length;
    for (const [oldest, old] of this.bytes) {
      if (this.keptBytes <= KEPT_BYTES || oldest === index) break;
      this.bytes.delete(oldest);
      this.keptBytes -= old.length;
    }
  }

  private parse(block: Block): Row[] | null {
    const isLast = block.index === this.index.blocks - 1;
    const bytes = isLast ? joined(this.tail, this.tailBytes) : this.bytes.get(block.index);
    if (bytes === undefined) {
      void this.read(block);
      return null;
    }
    const rows = rowsOf(bytes, block.lines);
    this.rows.set(block.index, rows);
    for (const oldest of this.rows.keys()) {
      if (this.rows.size <= KEPT_ROWS) break;
      this.rows.delete(oldest);
    }
    return rows;
  }

  private async read(block: Block): Promise<void> {
    if (this.reading.has(block.index)) return;
    this.reading.add(block.index);
    try {
      const end = Math.min(block.end, block.start + MOST_BLOCK_BYTES);
      this.keep(block.index, await this.reader.range(block.start, end, this.stopped.signal));
    } catch (error) {
      if (this.stopped.signal.aborted) return;
      this.failure = error instanceof Error ? error : new Error(String(error));
    } finally {
      this.reading.delete(block.index);
    }
    this.changed();
  }
}

/** Return the rows of a block, of which the last line may be cut. */
export function rowsOf(bytes: Uint8Array, lines: number): Row[] {
  const decoder = new TextDecoder();
  const rows: Row[] = [];
  let rendition: Rendition = PLAIN;
  let from = 0;
  while (rows.length < lines) {
    const at = bytes.indexOf(10, from);
    const end = at === -1 ? bytes.length : at;
    const isCut = end - from > MOST_LINE_BYTES;
    const text = decoder.decode(bytes.subarray(from, isCut ? from + MOST_LINE_BYTES : end));
    const { spans, after } = parseLine(text, rendition);
    rows.push({ spans: isCut ? [...spans, CUT] : spans });
    rendition = after;
    from = end + 1;
  }
  return rows;
}

function joined(parts: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
