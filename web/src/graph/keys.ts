// Moves between the boxes of a graph by arrow keys. Pure.

import type { Box } from "./layout.ts";

/** Return the box that an arrow key leads to from another, or null: the nearest one in the column of that direction. */
export function neighbour(boxes: Box[], from: string, key: string): string | null {
  const start = boxes.find((box) => box.name === from);
  if (start === undefined) return null;
  const levels: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: 0, ArrowDown: 0 };
  const step = levels[key];
  if (step === undefined) return null;
  const others = boxes.filter(
    (box) =>
      box.level === start.level + step &&
      box.name !== from &&
      (key !== "ArrowUp" || box.y < start.y) &&
      (key !== "ArrowDown" || box.y > start.y),
  );
  others.sort((a, b) => Math.abs(a.y - start.y) - Math.abs(b.y - start.y));
  return others[0]?.name ?? null;
}
