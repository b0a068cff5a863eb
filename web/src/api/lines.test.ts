import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLines } from "./lines.ts";

const encoder = new TextEncoder();

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

test("lines are parsed wherever their bytes are divided", async () => {
  for (const size of [1, 3, 100]) {
    const found: unknown[] = [];
    for await (const each of jsonLines(pieces('{"a":"é"}\n\n{"b":2}\n{"c":3}', size))) found.push(each);
    assert.deepEqual(found, [{ a: "é" }, { b: 2 }, { c: 3 }]);
  }
});

test("a stream of the browser is read", async () => {
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode('{"a":1}\n'));
      controller.close();
    },
  });
  const found: unknown[] = [];
  for await (const each of jsonLines(stream)) found.push(each);
  assert.deepEqual(found, [{ a: 1 }]);
});
