import assert from "node:assert/strict";
import { test } from "node:test";
import { MOST_SPANS, parseLine, PLAIN, plainText } from "./ansi.ts";

const ESC = "\u001b";

function spans(line: string): [string, string][] {
  return parseLine(line).spans.map((span) => [span.text, span.classes]);
}

const TABLE: [string, string, [string, string][]][] = [
  ["plain text", "hello", [["hello", ""]]],
  ["nothing", "", []],
  ["a colour and its end", `${ESC}[31mred${ESC}[0m plain`, [["red", "fg-1"], [" plain", ""]]],
  ["an empty parameter resets", `${ESC}[1;32mok${ESC}[m.`, [["ok", "fg-2 bold"], [".", ""]]],
  ["a bright colour", `${ESC}[91m!`, [["!", "fg-9"]]],
  ["a background", `${ESC}[44;97mx`, [["x", "fg-15 bg-4"]]],
  ["single ends", `${ESC}[1;3;4mx${ESC}[22;23my${ESC}[24mz`, [["x", "bold italic underline"], ["y", "underline"], ["z", ""]]],
  ["inverse without colours", `${ESC}[7mx`, [["x", "fg-back bg-text"]]],
  ["inverse with a colour", `${ESC}[31;7mx`, [["x", "fg-back bg-1"]]],
  ["one of 256 colours", `${ESC}[38;5;9mx${ESC}[38;5;196my`, [["xy", "fg-9"]]],
  ["a colour of 24 bits, with colons", `${ESC}[38:2:255:0:0mx`, [["x", "fg-9"]]],
  ["a colour that is cut", `${ESC}[38;5mx`, [["x", ""]]],
  ["markup is text", "<script>alert(1)</script>", [["<script>alert(1)</script>", ""]]],
  ["cursor moves are dropped", `a${ESC}[2K${ESC}[1Gb${ESC}[?25lc`, [["abc", ""]]],
  ["a title is dropped", `${ESC}]0;title\u0007text`, [["text", ""]]],
  ["a link keeps its text", `${ESC}]8;;https://x.example${ESC}\\link${ESC}]8;;${ESC}\\`, [["link", ""]]],
  ["an unended sequence is dropped", `text${ESC}]52;c;aGVsbG8=`, [["text", ""]]],
  ["an escape at the end", `text${ESC}`, [["text", ""]]],
  ["a cut sequence", `text${ESC}[31`, [["text", ""]]],
  ["control characters are dropped, tabs kept", "a\u0000\u0008b\tc\u009f", [["ab\tc", ""]]],
  ["the last part after a carriage return", "10%\r50%\r100%", [["100%", ""]]],
  ["a carriage return at the end", "text\r", [["text", ""]]],
];

for (const [name, line, expected] of TABLE) {
  test(name, () => assert.deepEqual(spans(line), expected));
}

test("a rendition goes on in the next line", () => {
  const first = parseLine(`${ESC}[1;33mwarning`);
  assert.deepEqual(parseLine("more", first.after).spans, [{ text: "more", classes: "fg-3 bold" }]);
  assert.deepEqual(parseLine(`x${ESC}[0m`, first.after).after, PLAIN);
});

test("a line has a bounded number of spans", () => {
  const many = Array.from({ length: 5000 }, (_, at) => `${ESC}[${31 + (at % 6)}mx`).join("");
  const found = parseLine(many).spans;
  assert.ok(found.length <= MOST_SPANS + 1);
  assert.equal(plainText(many), "x".repeat(5000));
});

test("random text gives no control character, and keeps what is printable", () => {
  let seed = 1;
  const random = (below: number): number => {
    seed = (seed * 48_271) % 0x7fff_ffff;
    return seed % below;
  };
  const pieces = [ESC, "[", "]", ";", ":", "m", "1", "38", "5", "2", "255", "\\", "\u0007", "\u009b", "\r", "a", "é", "<", "K"];
  for (let turn = 0; turn < 20_000; turn += 1) {
    const line = Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join("");
    const { spans: found } = parseLine(line);
    for (const span of found) {
      assert.ok(span.text !== "" && !/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/.test(span.text), JSON.stringify(line));
      assert.match(span.classes, /^([a-z]+(-([a-z]+|\d+))?( |$))*$/);
    }
    if (!/[\u0000-\u001f\u007f-\u009f]/.test(line)) assert.equal(plainText(line), line);
  }
});
