import assert from "node:assert/strict";
import { test } from "node:test";
import { neighbour } from "./keys.ts";
import { BOX_HEIGHT, BOX_WIDTH, crossings, type GraphTask, layOut, pathOfEdge } from "./layout.ts";

/** Make tasks of `"c: a b"` lines; levels follow from the parents. */
function graph(...lines: string[]): GraphTask[] {
  const tasks = new Map<string, GraphTask>();
  for (const line of lines) {
    const [name, parents = ""] = line.split(":");
    const depends = parents.split(" ").filter(Boolean).map((task) => ({ task }));
    const level = Math.max(0, ...depends.map(({ task }) => (tasks.get(task)?.level ?? -1) + 1));
    tasks.set(name!, { name: name!, level, depends });
  }
  return [...tasks.values()];
}

/** Make a random graph with a seed. */
function random(seed: number, count: number): GraphTask[] {
  let state = seed;
  const next = (below: number): number => {
    state = (state * 48_271) % 0x7fff_ffff;
    return state % below;
  };
  return graph(
    ...Array.from({ length: count }, (_, at) => {
      const parents = at === 0 ? [] : Array.from({ length: next(4) }, () => `t${next(at)}`);
      return `t${at}:${parents.join(" ")}`;
    }),
  );
}

function overlaps(tasks: GraphTask[]): number {
  const { boxes } = layOut(tasks);
  let count = 0;
  for (const a of boxes) {
    for (const b of boxes) {
      if (a.name < b.name && Math.abs(a.x - b.x) < BOX_WIDTH && Math.abs(a.y - b.y) < BOX_HEIGHT) count += 1;
    }
  }
  return count;
}

test("no tasks have an empty layout", () => {
  const layout = layOut([]);
  assert.deepEqual([layout.boxes, layout.edges], [[], []]);
  assert.ok(layout.width > 0 && layout.height > 0);
});

test("a chain is a straight line from left to right", () => {
  const { boxes, edges } = layOut(graph("a", "b: a", "c: b"));
  assert.ok(boxes[0]!.x < boxes[1]!.x && boxes[1]!.x < boxes[2]!.x);
  assert.equal(new Set(boxes.map((box) => box.y)).size, 1);
  assert.deepEqual(edges.map(({ from, to }) => [from, to]), [["a", "b"], ["b", "c"]]);
  assert.match(pathOfEdge(edges[0]!), /^M[\d.]+ [\d.]+H[\d.]+$/);
});

test("a parent is in the middle of its children", () => {
  const { boxes } = layOut(graph("a", "b: a", "c: a", "d: a"));
  const y = Object.fromEntries(boxes.map((box) => [box.name, box.y]));
  assert.equal(y.a, y.c);
});

test("sweeps remove the crossings that can be removed", () => {
  // As listed, each edge would cross the other.
  const { boxes } = layOut(graph("a", "b", "c: b", "d: a"));
  const y = Object.fromEntries(boxes.map((box) => [box.name, box.y]));
  assert.equal(y.a! < y.b!, y.d! < y.c!);
});

test("crossings are counted", () => {
  const places = (...targets: number[][]): { order: number; after: { order: number }[] }[] =>
    targets.map((orders, order) => ({ order, after: orders.map((each) => ({ order: each })) }));
  assert.equal(crossings([places([0], [1])]), 0);
  assert.equal(crossings([places([1], [0])]), 1);
  assert.equal(crossings([places([0, 1, 2], [0, 1, 2])]), 3);
  assert.equal(crossings([places([3], [2], [1], [0])]), 6);
});

test("an edge over several levels runs through no box", () => {
  const tasks = graph("a", "b: a", "c: b", "d: c a", "e: c", "f: c");
  const { boxes, edges } = layOut(tasks);
  const edge = edges.find(({ from, to }) => from === "a" && to === "d")!;
  for (const [x, y] of edge.points.slice(1, -1)) {
    assert.ok(!boxes.some((box) => x >= box.x && x <= box.x + BOX_WIDTH && y > box.y && y < box.y + BOX_HEIGHT));
  }
});

test("parents that are not there and parents named twice do no harm", () => {
  const tasks: GraphTask[] = [
    { name: "a", level: 0, depends: [{ task: "missing" }] },
    { name: "b", level: 1, depends: [{ task: "a" }, { task: "a" }] },
  ];
  assert.equal(layOut(tasks).edges.length, 1);
});

test("boxes of random graphs do not overlap, are inside, and are the same each time", () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const tasks = random(seed, 2 + (seed % 40));
    const layout = layOut(tasks);
    assert.equal(overlaps(tasks), 0, `seed ${seed}`);
    assert.equal(layout.boxes.length, tasks.length);
    for (const box of layout.boxes) {
      assert.ok(box.x >= 0 && box.y >= 0);
      assert.ok(box.x + BOX_WIDTH <= layout.width && box.y + BOX_HEIGHT <= layout.height, `seed ${seed}`);
    }
    assert.deepEqual(layOut(tasks), layout);
  }
});

test("arrow keys move to the nearest box of that direction", () => {
  const { boxes } = layOut(graph("a", "b: a", "c: a", "d: a", "e: c"));
  const names = boxes.filter((box) => box.level === 1).sort((x, y) => x.y - y.y).map((box) => box.name);
  assert.equal(neighbour(boxes, "a", "ArrowRight"), names[1]);
  assert.equal(neighbour(boxes, names[1]!, "ArrowUp"), names[0]);
  assert.equal(neighbour(boxes, names[1]!, "ArrowDown"), names[2]);
  assert.equal(neighbour(boxes, names[0]!, "ArrowUp"), null);
  assert.equal(neighbour(boxes, "e", "ArrowLeft"), "c");
  assert.equal(neighbour(boxes, "e", "ArrowRight"), null);
  assert.equal(neighbour(boxes, "a", "Enter"), null);
});
