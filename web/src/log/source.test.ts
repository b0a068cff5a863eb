import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK_LINES, type Lines, StoredLines } from "./line_index.ts";
import type { WrittenAt } from "./times.ts";
import { LogSource, rowsOf, type LogReader } from "./source.ts";

const encoder = new TextEncoder();

/** Reads a log in memory; notes the ranges that were read again. */
class FakeReader implements LogReader {
  readonly ranges: [number, number][] = [];
  private readonly bytes: Uint8Array;
  private readonly pieces: number;
  private readonly fault: Error | null;
  private readonly index: Lines | null;

  constructor(bytes: Uint8Array, pieces: number, fault: Error | null = null, index: Lines | null = null) {
    this.index = index;
    this.bytes = bytes;
    this.pieces = pieces;
    this.fault = fault;
  }

  range(start: number, end: number): Promise<Uint8Array> {
    this.ranges.push([start, end]);
    return Promise.resolve(this.bytes.slice(start, end));
  }

  stored(): Promise<Lines | null> {
    return Promise.resolve(this.index);
  }

  times(): Promise<WrittenAt[]> {
    return Promise.resolve([{ offset: 0, time: 1000 }, { offset: this.bytes.length / 2, time: 2000 }]);
  }

  async *stream(offset: number): AsyncGenerator<Uint8Array> {
    for (let at = offset; at < this.bytes.length; at += this.pieces) yield this.bytes.subarray(at, at + this.pieces);
    if (this.fault) throw this.fault;
  }
}

function textOf(source: LogSource, line: number): string | null {
  return source.row(line)?.spans.map((span) => span.text).join("") ?? null;
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

test("every line is there, whatever the pieces", async () => {
  const lines = Array.from({ length: 2000 }, (_, line) => `line ${line} é ${"x".repeat(line % 300)}`);
  for (const pieces of [1000, 65_536, 1 << 20]) {
    const source = new LogSource(new FakeReader(encoder.encode(lines.join("\n")), pieces), () => {});
    await source.run();
    assert.ok(source.isComplete);
    for (let line = 0; line < lines.length; line += 1) assert.equal(textOf(source, line), lines[line]);
    assert.equal(textOf(source, 2000), null);
  }
});

test("lines can be read while the log grows", async () => {
  const seen: (string | null)[] = [];
  const source: LogSource = new LogSource(new FakeReader(encoder.encode("one\ntwo\nthree"), 5), () => {
    seen.push(textOf(source, source.index.lines - 1));
  });
  await source.run();
  assert.deepEqual(seen, ["t", "th", "three", "three"]);
});

test("a large log is kept in part, and read again where it is shown", async () => {
  const count = 400_000;
  const line = (number: number): string => `${String(number).padStart(49, ".")}`;
  const bytes = encoder.encode(Array.from({ length: count }, (_, at) => line(at)).join("\n") + "\n");
  const reader = new FakeReader(bytes, 1 << 16);
  let changes = 0;
  const source = new LogSource(reader, () => (changes += 1));
  await source.run();
  assert.equal(source.index.lines, count);
  assert.equal(textOf(source, count - 1), line(count - 1));
  assert.deepEqual(reader.ranges, []);
  assert.equal(textOf(source, 1000), null);
  assert.equal(textOf(source, 1001), null);
  changes = 0;
  await settled();
  assert.equal(textOf(source, 1000), line(1000));
  assert.equal(changes, 1);
  assert.deepEqual(reader.ranges, [[3 * BLOCK_LINES * 50, 4 * BLOCK_LINES * 50]]);
});

test("a long line is cut, and the lines beside it are whole", async () => {
  const bytes = encoder.encode(`first\n${"x".repeat(1_000_000)}\nlast`);
  const source = new LogSource(new FakeReader(bytes, 65_536), () => {});
  await source.run();
  assert.equal(source.index.lines, 3);
  assert.equal(textOf(source, 0), "first");
  assert.match(textOf(source, 1)!, /^x{4096} … \(cut/);
  assert.equal(textOf(source, 2), "last");
});

test("a failure is kept, with what came before it", async () => {
  const source = new LogSource(new FakeReader(encoder.encode("one\n"), 10, new Error("gone")), () => {});
  await source.run();
  assert.equal(source.failure?.message, "gone");
  assert.ok(!source.isComplete);
  assert.equal(textOf(source, 0), "one");
});

test("broken UTF-8 is shown as replacement characters", () => {
  const rows = rowsOf(new Uint8Array([0x61, 0xff, 0x0a, 0xc3]), 2);
  assert.deepEqual(rows.map((row) => row.spans[0]!.text), ["a\ufffd", "\ufffd"]);
});

function storedLines(bytes: Uint8Array, stride: number): StoredLines {
  const before: number[] = [];
  let newlines = 0;
  bytes.forEach((byte, at) => {
    if (at > 0 && at % stride === 0) before.push(newlines);
    if (byte === 10) newlines += 1;
  });
  const endsInLine = bytes.length > 0 && bytes[bytes.length - 1] !== 10;
  return new StoredLines({ size: bytes.length, stride, before, newlines, endsInLine });
}

test("the lines of a stored log are read by its index, and nothing else", async () => {
  const lines = Array.from({ length: 3000 }, (_, line) => `line ${line} ${"x".repeat((line * 37) % 200)}`);
  lines[7] = "y".repeat(50_000);
  lines[8] = "";
  for (const [text, stride] of [[lines.join("\n"), 8192], [`${lines.join("\n")}\n`, 8192], [`${lines.join("\n")}\n`, 1000]] as const) {
    const bytes = encoder.encode(text);
    const reader = new FakeReader(bytes, 1000, new Error("the log is not streamed"), storedLines(bytes, stride));
    const source = new LogSource(reader, () => {});
    await source.run();
    assert.ok(source.isComplete && source.failure === null);
    assert.equal(source.index.lines, lines.length);
    for (let line = 0; line < lines.length; line += 1) {
      if (source.row(line) === null) await settled();
      const shown = textOf(source, line);
      if (line === 7) assert.match(shown!, /^y{4096} … \(cut/);
      else assert.equal(shown, lines[line], `${line}`);
    }
    assert.ok(reader.ranges.every(([start, end]) => end - start <= stride + 4097));
  }
});

test("one line without an end is one row", async () => {
  const bytes = encoder.encode("z".repeat(10_000));
  const source = new LogSource(new FakeReader(bytes, 1000, null, storedLines(bytes, 4096)), () => {});
  await source.run();
  assert.equal(source.index.lines, 1);
  source.row(0);
  await settled();
  assert.match(textOf(source, 0)!, /^z{4096} … \(cut/);
});

test("rows have their times when they are wanted", async () => {
  const text = Array.from({ length: 1000 }, (_, line) => `line ${String(line).padStart(4, "0")}`).join("\n") + "\n";
  const bytes = encoder.encode(text);
  for (const index of [null, storedLines(bytes, 1000)]) {
    const source = new LogSource(new FakeReader(bytes, 100, null, index), () => {});
    await source.run();
    for (const line of [0, 499, 500, 999]) source.row(line);
    await settled();
    const times = (): (number | null)[] => [0, 499, 500, 999].map((line) => source.timeOf(source.row(line)!));
    assert.deepEqual(times(), [null, null, null, null]);
    source.showTimes(true);
    times();
    await settled();
    assert.deepEqual(times(), [1000, 1000, 2000, 2000]);
    source.showTimes(false);
    assert.ok(!source.hasTimes);
    source.close();
  }
});
