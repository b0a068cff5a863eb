// When the lines of a log were written. Pure.

export interface WrittenAt {
  /** The offset of the first byte that was written then. */
  offset: number;
  /** In milliseconds since 1970. */
  time: number;
}

/** Return when the byte at an offset was written, in milliseconds since 1970; null: it is not known. */
export function timeAt(times: readonly WrittenAt[], offset: number): number | null {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle]!.offset <= offset) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? null : times[low - 1]!.time;
}

/** Return the time of day, in the zone of the browser, as `08:05:09.120`. */
export function timeOfDay(time: number): string {
  const at = new Date(time);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
