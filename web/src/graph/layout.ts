// The layout of the graph of a run, from left to right. Pure and deterministic.
//
// The level of a task, which the server computes, is its column. An edge that passes columns gets a place in each of
// them, so that it does not run through boxes. The order within a column comes from barycentre sweeps (Sugiyama, Tagawa
// and Toda 1981), of which the one with the fewest crossings is kept; then each place moves towards its neighbours.

export interface GraphTask {
  name: string;
  level: number;
  depends: { task: string }[];
}

export interface Box {
  name: string;
  level: number;
  /** The upper left corner. */
  x: number;
  y: number;
}

export interface Edge {
  from: string;
  to: string;
  /** The points that it passes, from the right side of a box to the left side of another. */
  points: [number, number][];
}

export interface Layout {
  width: number;
  height: number;
  boxes: Box[];
  edges: Edge[];
}

export const BOX_WIDTH = 200;
export const BOX_HEIGHT = 46;
const COLUMN = BOX_WIDTH + 64;
const ROW = BOX_HEIGHT + 14;
/** The height of the place of a passing edge. */
const PASS = 16;
const MARGIN = 10;
const SWEEPS = 12;
const SHIFTS = 8;

interface Place {
  /** The task; null: an edge passes. */
  name: string | null;
  level: number;
  before: Place[];
  after: Place[];
  /** Its position in its column. */
  order: number;
  /** The middle of it. */
  y: number;
}

interface Path {
  from: string;
  to: string;
  places: Place[];
}

/** Lay the tasks of a run out. Edges to names that are not there are left out. */
export function layOut(tasks: GraphTask[]): Layout {
  const { columns, paths } = placesOf(tasks);
  orderColumns(columns);
  setHeights(columns);
  const places = columns.flat();
  const top = Math.min(...places.map((place) => place.y - size(place) / 2), 0);
  const boxes: Box[] = [];
  let bottom = 0;
  for (const place of places) {
    place.y += MARGIN - top;
    bottom = Math.max(bottom, place.y + size(place) / 2);
    if (place.name !== null) {
      boxes.push({ name: place.name, level: place.level, x: left(place), y: place.y - BOX_HEIGHT / 2 });
    }
  }
  return {
    width: Math.max(1, columns.length) * COLUMN - (COLUMN - BOX_WIDTH) + 2 * MARGIN,
    height: bottom + MARGIN,
    boxes,
    edges: paths.map(({ from, to, places: passed }) => ({ from, to, points: pointsOf(passed) })),
  };
}

/** Return the path of an edge for SVG: curves between columns, straight lines through them. */
export function pathOfEdge({ points }: Edge): string {
  const [[startX, startY] = [0, 0], ...others] = points;
  const parts = [`M${startX} ${startY}`];
  let [x, y] = [startX, startY];
  for (const [nextX, nextY] of others) {
    if (nextY === y) {
      parts.push(`H${nextX}`);
    } else {
      const middle = (x + nextX) / 2;
      parts.push(`C${middle} ${y} ${middle} ${nextY} ${nextX} ${nextY}`);
    }
    [x, y] = [nextX, nextY];
  }
  return parts.join("");
}

/** Return how many pairs of edges between neighbouring columns cross. */
export function crossings(columns: { order: number; after: { order: number }[] }[][]): number {
  let count = 0;
  for (const column of columns) {
    const ends = [...column]
      .sort((a, b) => a.order - b.order)
      .flatMap((place) => place.after.map((next) => next.order).sort((a, b) => a - b));
    count += inversions(ends);
  }
  return count;
}

function inversions(values: number[]): number {
  if (values.length < 2) return 0;
  const middle = values.length >> 1;
  const [low, high] = [values.slice(0, middle), values.slice(middle)];
  let count = inversions(low) + inversions(high);
  low.sort((a, b) => a - b);
  high.sort((a, b) => a - b);
  let index = 0;
  for (const value of high) {
    while (index < low.length && low[index]! <= value) index += 1;
    count += low.length - index;
  }
  return count;
}

function placesOf(tasks: GraphTask[]): { columns: Place[][]; paths: Path[] } {
  const columns: Place[][] = Array.from({ length: Math.max(0, ...tasks.map((task) => task.level + 1)) }, () => []);
  const add = (name: string | null, level: number): Place => {
    const place: Place = { name, level, before: [], after: [], order: columns[level]!.length, y: 0 };
    columns[level]!.push(place);
    return place;
  };
  const byName = new Map(tasks.map((task) => [task.name, add(task.name, task.level)]));
  const paths: Path[] = [];
  for (const task of tasks) {
    const end = byName.get(task.name)!;
    for (const name of new Set(task.depends.map((depend) => depend.task))) {
      const start = byName.get(name);
      if (start === undefined || start.level >= end.level) continue;
      const places = [start];
      for (let level = start.level + 1; level < end.level; level += 1) places.push(add(null, level));
      places.push(end);
      places.slice(1).forEach((place, index) => {
        places[index]!.after.push(place);
        place.before.push(places[index]!);
      });
      paths.push({ from: name, to: task.name, places });
    }
  }
  return { columns, paths };
}

function orderColumns(columns: Place[][]): void {
  let best = columns.map((column) => [...column]);
  let fewest = crossings(columns);
  for (let sweep = 0; sweep < SWEEPS && fewest > 0; sweep += 1) {
    const isDown = sweep % 2 === 0;
    const inOrder = isDown ? columns : [...columns].reverse();
    for (const column of inOrder) {
      const centre = new Map(column.map((place) => [place, mean(isDown ? place.before : place.after, place.order)]));
      column.sort((a, b) => centre.get(a)! - centre.get(b)! || a.order - b.order);
      column.forEach((place, order) => (place.order = order));
    }
    const count = crossings(columns);
    if (count < fewest) {
      fewest = count;
      best = columns.map((column) => [...column]);
    }
  }
  best.forEach((column, level) => {
    columns[level] = column;
    column.forEach((place, order) => (place.order = order));
  });
}

function mean(places: Place[], otherwise: number): number {
  return places.length === 0 ? otherwise : places.reduce((sum, place) => sum + place.order, 0) / places.length;
}

/** Set the heights: at first one below the other, then towards the mean of the neighbours, in the same order. */
function setHeights(columns: Place[][]): void {
  for (const column of columns) {
    let y = 0;
    for (const place of column) {
      place.y = y + gap(place) / 2;
      y += gap(place);
    }
    for (const place of column) place.y -= y / 2;
  }
  for (let shift = 0; shift < SHIFTS; shift += 1) {
    const isDown = shift % 2 === 0;
    for (const column of isDown ? columns : [...columns].reverse()) {
      const wanted = column.map((place) => {
        const near = isDown ? place.before : place.after;
        return near.length === 0 ? place.y : near.reduce((sum, each) => sum + each.y, 0) / near.length;
      });
      spread(column, wanted);
    }
  }
}

/** Put places as near to the wanted heights as their order and sizes allow: blocks that touch move together. */
function spread(column: Place[], wanted: number[]): void {
  interface Block {
    places: Place[];
    /** The sum of the wanted heights of its first place. */
    sum: number;
    length: number;
  }
  const blocks: Block[] = [];
  column.forEach((place, index) => {
    blocks.push({ places: [place], sum: wanted[index]! - gap(place) / 2, length: gap(place) });
    while (blocks.length > 1) {
      const [above, below] = [blocks[blocks.length - 2]!, blocks[blocks.length - 1]!];
      if (above.sum / above.places.length + above.length <= below.sum / below.places.length) break;
      above.sum += below.sum - above.length * below.places.length;
      above.places.push(...below.places);
      above.length += below.length;
      blocks.pop();
    }
  });
  for (const block of blocks) {
    let y = block.sum / block.places.length;
    for (const place of block.places) {
      place.y = y + gap(place) / 2;
      y += gap(place);
    }
  }
}

function gap(place: Place): number {
  return place.name === null ? PASS : ROW;
}

function size(place: Place): number {
  return place.name === null ? 0 : BOX_HEIGHT;
}

function left(place: Place): number {
  return MARGIN + place.level * COLUMN;
}

function pointsOf(places: Place[]): [number, number][] {
  return places.flatMap((place, index): [number, number][] => {
    const [x, y] = [left(place), round(place.y)];
    if (index === 0) return [[x + BOX_WIDTH, y]];
    return index === places.length - 1 ? [[x, y]] : [[x, y], [x + BOX_WIDTH, y]];
  });
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
