import assert from "node:assert/strict";
import { test } from "node:test";
import { BLOCK_BYTES, BLOCK_LINES, LineIndex } from "./line_index.ts";

const encoder = new TextEncoder();

function indexOf(text: string, pieces = [text.length]): LineIndex {
  const index = new LineIndex();
  const bytes = encoder.encode(text);
  let at = 0;
  for (let turn = 0; at < bytes.length; turn += 1) {
    const size = pieces[turn % pieces.length]!;
    index.push(bytes.subarray(at, at + size));
    at += size;
  }
  return index;
}

test("lines are counted with and without a last newline", () => {
  for (const [text, lines] of [["", 0], ["a", 1], ["a\n", 1], ["\n", 1], ["\n\n", 2], ["a\nb", 2], ["a\nb\n", 2]] as const) {
    assert.equal(indexOf(text).lines, lines, JSON.stringify(text));
  }
});

test("blocks are the whole log, in order, whatever the pieces", () => {
  const text = Array.from({ length: 3000 }, (_, line) => "x".repeat((line * 37) % 400)).join("\n") + "\nlast";
  const whole = indexOf(text);
  for (const pieces of [[1], [7, 1, 4096], [BLOCK_BYTES], [text.length]]) {
    const index = indexOf(text, pieces);
    assert.deepEqual(
      Array.from({ length: index.blocks }, (_, at) => index.block(at)),
      Array.from({ length: whole.blocks }, (_, at) => whole.block(at)),
    );
  }
  const lines = text.split("\n");
  let [line, start] = [0, 0];
  for (let at = 0; at < whole.blocks; at += 1) {
    const block = whole.block(at);
    assert.deepEqual([block.line, block.start], [line, start]);
    const bytes = encoder.encode(lines.slice(line, line + block.lines).join("\n")).length;
    line += block.lines;
    start += bytes + (line < lines.length ? 1 : 0);
    assert.equal(block.end, start);
    assert.ok(block.lines <= BLOCK_LINES);
  }
  assert.equal(line, 3001);
});

test("a line is found in its block", () => {
  const index = indexOf("a\n".repeat(10_000));
  for (const line of [0, 1, 255, 256, 257, 9_999]) {
    const block = index.blockOf(line);
    assert.ok(block.line <= line && line < block.line + block.lines, `${line}`);
  }
  assert.equal(index.blockOf(1e9).index, index.blocks - 1);
});

test("a line of any length is in one block", () => {
  const index = indexOf(`first\n${"x".repeat(10 * BLOCK_BYTES)}\nlast\n`, [4096]);
  assert.equal(index.lines, 3);
  assert.deepEqual([index.blockOf(1).index, index.blockOf(2).index], [0, 1]);
});

test("ten million lines take few blocks", () => {
  const index = new LineIndex();
  const chunk = encoder.encode("ten bytes\n".repeat(10_000));
  for (let turn = 0; turn < 1000; turn += 1) index.push(chunk);
  assert.equal(index.lines, 10_000_000);
  assert.ok(index.blocks < 40_000);
  const block = index.blockOf(9_999_999);
  assert.ok(block.end === 100_000_000 && block.end - block.start <= BLOCK_BYTES);
});
