// Between the position of a scrollbar and a line. Pure.
//
// Browsers limit the height of an element (some to 16 million pixels), so a long log is not as high as its lines: then
// the scrollbar's position is a share of the lines, and a wheel or a key moves by lines.

export const ROW_HEIGHT = 20;
/** No element is made higher. */
export const MOST_HEIGHT = 8_000_000;

export interface Extent {
  lines: number;
  /** The height of what is visible, in pixels. */
  view: number;
}

/** Return the height of the element that is scrolled. */
export function heightOf({ lines, view }: Extent): number {
  return Math.max(view, Math.min(lines * ROW_HEIGHT, MOST_HEIGHT));
}

/** Whether the element is less high than its lines. */
export function isCompressed({ lines }: Extent): boolean {
  return lines * ROW_HEIGHT > MOST_HEIGHT;
}

/** Return the largest line, with a fraction, that can be at the top. */
export function lastTop({ lines, view }: Extent): number {
  return Math.max(0, lines - view / ROW_HEIGHT);
}

/** Return the line at the top, with a fraction, for a position of the scrollbar. */
export function topOf(scroll: number, extent: Extent): number {
  const most = heightOf(extent) - extent.view;
  return most <= 0 ? 0 : Math.min(1, Math.max(0, scroll / most)) * lastTop(extent);
}

/** Return the position of the scrollbar for a line at the top. */
export function scrollOf(top: number, extent: Extent): number {
  const last = lastTop(extent);
  return last === 0 ? 0 : (Math.min(top, last) / last) * (heightOf(extent) - extent.view);
}
