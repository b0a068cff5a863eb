// The lines of a log, from its bytes. Of a large log that is complete, the server has an index, and the blocks that are
// shown are read. Other logs are read once from the beginning for the index, and single blocks again when they are shown
// and not in memory any more.

import { parseLine, PLAIN, type Rendition, type Span } from "./ansi.ts";
import { timeAt, type WrittenAt } from "./times.ts";
import { BLOCK_BYTES, type Block, LineIndex, type Lines } from "./line_index.ts";

/** Where the bytes come from. */
export interface LogReader {
  /** Return the bytes of a range. */
  range(start: number, end: number, signal: AbortSignal): Promise<Uint8Array>;
  /** Return the index that the server has of a log that is large and complete; null: of another log. */
  stored(signal: AbortSignal): Promise<Lines | null>;
  /** Return when its bytes were written. */
  times(signal: AbortSignal): Promise<WrittenAt[]>;
  /** Yield the bytes from an offset on, until the log is complete; those that are written later when they are. */
  stream(offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

export interface Row {
  spans: Span[];
  /** The offset of its first byte. */
  offset: number;
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
  private readonly passed = new LineIndex();
  private served: Lines | null = null;
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
  /** How many bytes of the end of an earlier line were dropped at the beginning of a block. */
  private readonly dropped = new Map<number, number>();
  private writtenAt: WrittenAt[] | null = null;
  /** The size of the log when the times were read; they are read again when it has grown. */
  private timedSize = -1;
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
      this.served = await this.reader.stored(this.stopped.signal);
      if (this.served !== null) {
        this.isComplete = true;
        this.changed();
        return;
      }
      for await (const chunk of this.reader.stream(this.passed.size, this.stopped.signal)) {
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

  get index(): Lines {
    return this.served ?? this.passed;
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

  /** Whether `timeOf` is wanted: then the times of the lines are read. */
  showTimes(are: boolean): void {
    this.writtenAt = are ? [] : null;
    this.timedSize = -1;
    this.changed();
  }

  /** Return when a row was written, in milliseconds since 1970; null: it is not known, or not wanted. */
  timeOf(row: Row): number | null {
    if (this.writtenAt === null) return null;
    if (this.timedSize < this.index.size) void this.readTimes();
    return timeAt(this.writtenAt, row.offset);
  }

  get hasTimes(): boolean {
    return this.writtenAt !== null;
  }

  private async readTimes(): Promise<void> {
    this.timedSize = Infinity;
    try {
      const size = this.index.size;
      const times = await this.reader.times(this.stopped.signal);
      if (this.writtenAt === null) return;
      this.writtenAt = times;
      this.changed();
      // Not more often than each two seconds while the log grows.
      setTimeout(() => {
        if (this.stopped.signal.aborted) return;
        this.timedSize = size;
        if (this.index.size > size) this.changed();
      }, 2000);
    } catch {
      // The lines are shown without times.
    }
  }

  private take(chunk: Uint8Array): void {
    // In pieces that end with a block, so that each block's bytes can be kept by themselves.
    const before = this.passed.blocks;
    const offset = this.passed.size;
    this.passed.push(chunk);
    let from = 0;
    for (let index = before; index < this.passed.blocks; index += 1) {
      const start = this.passed.block(index).start - offset;
      this.addToTail(chunk.subarray(from, start));
      this.keep(index - 1, joined(this.tail, this.tailBytes));
      this.tail = [];
      this.tailBytes = 0;
      from = start;
    }
    this.addToTail(chunk.subarray(from));
    this.rows.delete(before - 1);
    this.rows.delete(this.passed.blocks - 1);
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
    const isGrowing = this.served === null && block.index === this.passed.blocks - 1;
    const bytes = isGrowing ? joined(this.tail, this.tailBytes) : this.bytes.get(block.index);
    if (bytes === undefined) {
      void this.read(block);
      return null;
    }
    const rows = rowsOf(bytes, block.lines, block.start + (this.dropped.get(block.index) ?? 0));
    this.rows.set(block.index, rows);
    for (const oldest of this.rows.keys()) {
      if (this.rows.size <= KEPT_ROWS) break;
      this.rows.delete(oldest);
    }
    return rows;
  }

  private async bytesOf(block: Block): Promise<Uint8Array> {
    const { signal } = this.stopped;
    if (this.served === null) {
      return this.reader.range(block.start, Math.min(block.end, block.start + MOST_BLOCK_BYTES), signal);
    }
    // Its last line ends in another block.
    const end = Math.min(this.served.size, block.end + MOST_LINE_BYTES + 1);
    const bytes = await this.reader.range(block.start, end, signal);
    if (!block.beginsInLine) return bytes;
    const first = bytes.indexOf(10) + 1;
    this.dropped.set(block.index, first);
    return bytes.slice(first);
  }

  private async read(block: Block): Promise<void> {
    if (this.reading.has(block.index)) return;
    this.reading.add(block.index);
    try {
      this.keep(block.index, await this.bytesOf(block));
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
export function rowsOf(bytes: Uint8Array, lines: number, start = 0): Row[] {
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
    rows.push({ spans: isCut ? [...spans, CUT] : spans, offset: start + from });
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
