// Shows a log: as many rows as are visible, whatever its length, in a pool of elements that are used again.
//
// The rows are in a layer that stays where it is while its parent scrolls; what is in them follows the scrollbar
// (`scroll.ts`). Lines are cut, not wrapped, since each row has the same height. Everything is made with the DOM's own
// functions, and positions are set as properties, so the strictest content security policy holds.

import type { Span } from "./ansi.ts";
import { heightOf, isCompressed, lastTop, ROW_HEIGHT, scrollOf, topOf, type Extent } from "./scroll.ts";
import type { LogSource } from "./source.ts";
import { timeOfDay } from "./times.ts";

export interface LogViewOptions {
  /** What it shows, for screen readers. */
  label: string;
  /** Returns the link of a line, counted from 1. */
  linkOf: (line: number) => string;
  /** Called when the first visible line has changed, or the end is followed or not. */
  moved?: () => void;
}

interface RowElements {
  row: HTMLElement;
  number: HTMLAnchorElement;
  time: HTMLElement;
  text: HTMLElement;
}

/** The most rows that are visible at once. */
const MOST_ROWS = 80;

export class LogView {
  readonly element: HTMLElement;
  private readonly layer: HTMLElement;
  private readonly spacer: HTMLElement;
  private readonly source: LogSource;
  private readonly options: LogViewOptions;
  private readonly pool: RowElements[] = [];
  private readonly resized: ResizeObserver;
  /** The line at the top, with a fraction. */
  private top = 0;
  /** The position of the scrollbar that belongs to `top`. */
  private scroll = 0;
  private frame = 0;
  private marked: number | null = null;
  private errorLine: number | null = null;
  private isAtEnd = false;
  /** The line that was asked for: it stays in view while sizes change, until the user moves. */
  private wanted: number | null = null;

  constructor(source: LogSource, options: LogViewOptions) {
    this.source = source;
    this.options = options;
    this.element = made("div", "log-view log-colours");
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "region");
    this.element.setAttribute("aria-label", options.label);
    this.layer = made("div", "log-layer");
    this.spacer = made("div", "log-spacer");
    this.element.append(this.layer, this.spacer);
    this.element.addEventListener("scroll", () => this.scrolled());
    this.element.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.resized = new ResizeObserver(() => this.update());
    this.resized.observe(this.element);
  }

  close(): void {
    cancelAnimationFrame(this.frame);
    this.resized.disconnect();
    this.element.remove();
  }

  /** Whether new lines are scrolled to. */
  get followsEnd(): boolean {
    return this.isAtEnd;
  }

  /** Show what has changed, in the next frame. */
  update(): void {
    if (this.frame !== 0) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  /** Scroll to a line, counted from 0, so that some lines before it are visible. */
  showLine(line: number): void {
    this.move(line);
    this.wanted = line;
  }

  /** Mark a line, counted from 0; null: none. */
  mark(line: number | null): void {
    this.marked = line;
    this.update();
  }

  /** Mark a line as that of an error, counted from 0. */
  markError(line: number): void {
    this.errorLine = line;
    this.update();
  }

  /** Scroll to the end, and stay there. */
  followEnd(): void {
    this.move(Infinity);
  }

  private get extent(): Extent {
    return { lines: this.source.index.lines, view: this.element.clientHeight };
  }

  private move(top: number): void {
    const last = lastTop(this.extent);
    this.wanted = null;
    this.isAtEnd = top >= last - 0.5;
    this.top = Math.min(last, Math.max(0, top));
    this.update();
    this.options.moved?.();
  }

  private scrolled(): void {
    // What `draw` itself has set is no move of the user's; browsers round positions.
    if (Math.abs(this.element.scrollTop - this.scroll) < 1) return;
    this.scroll = this.element.scrollTop;
    this.move(topOf(this.scroll, this.extent));
  }

  private wheel(event: WheelEvent): void {
    if (event.ctrlKey || !isCompressed(this.extent) || event.deltaY === 0) return;
    const unit = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 / ROW_HEIGHT : event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 1 : this.page;
    event.preventDefault();
    this.move(this.top + event.deltaY * unit);
  }

  private key(event: KeyboardEvent): void {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, number> = {
      ArrowDown: this.top + 1,
      ArrowUp: this.top - 1,
      PageDown: this.top + this.page,
      PageUp: this.top - this.page,
      " ": this.top + (event.shiftKey ? -this.page : this.page),
      Home: 0,
      End: Infinity,
    };
    const top = moves[event.key];
    if (top === undefined) return;
    event.preventDefault();
    this.move(top);
  }

  private get page(): number {
    return Math.max(1, Math.floor(this.extent.view / ROW_HEIGHT) - 1);
  }

  private draw(): void {
    const { extent } = this;
    const height = heightOf(extent);
    this.element.style.setProperty("--lines", String(extent.lines));
    this.element.style.setProperty("--digits", String(String(Math.max(1, extent.lines)).length));
    this.spacer.style.height = `${height}px`;
    if (extent.view === 0) return;
    if (this.wanted !== null) this.top = Math.max(0, this.wanted - Math.floor(extent.view / ROW_HEIGHT / 3));
    else if (this.isAtEnd) this.top = lastTop(extent);
    this.top = Math.min(this.top, lastTop(extent));
    const scroll = scrollOf(this.top, extent);
    if (Math.abs(scroll - this.element.scrollTop) >= 1) this.element.scrollTop = scroll;
    this.scroll = this.element.scrollTop;
    const first = Math.floor(this.top);
    const count = Math.min(MOST_ROWS, Math.ceil(extent.view / ROW_HEIGHT) + 1, extent.lines - first);
    this.layer.style.height = `${extent.view}px`;
    for (let index = 0; index < Math.max(count, this.pool.length); index += 1) {
      const row = this.pool[index] ?? this.add();
      row.row.hidden = index >= count;
      if (index < count) this.fill(row, first + index, (index - (this.top - first)) * ROW_HEIGHT);
    }
  }

  private fill({ row, number, time, text }: RowElements, line: number, y: number): void {
    row.style.transform = `translateY(${y}px)`;
    row.classList.toggle("marked", line === this.marked);
    row.classList.toggle("error", line === this.errorLine);
    number.href = this.options.linkOf(line + 1);
    number.textContent = String(line + 1);
    const content = this.source.row(line);
    row.classList.toggle("missing", content === null);
    time.hidden = !this.source.hasTimes;
    const written = content === null ? null : this.source.timeOf(content);
    time.textContent = written === null ? "" : timeOfDay(written);
    text.replaceChildren(...nodesOf(content?.spans ?? []));
  }

  private add(): RowElements {
    const row = made("div", "log-row");
    const number = document.createElement("a");
    number.className = "log-number";
    const time = made("span", "log-time");
    const text = made("span", "log-text");
    row.append(number, time, text);
    this.layer.append(row);
    const elements = { row, number, time, text };
    this.pool.push(elements);
    return elements;
  }
}

function nodesOf(spans: Span[]): Node[] {
  return spans.map((span) => {
    if (span.classes === "") return document.createTextNode(span.text);
    const element = made("span", span.classes);
    element.textContent = span.text;
    return element;
  });
}

function made(name: string, classes: string): HTMLElement {
  const element = document.createElement(name);
  element.className = classes;
  return element;
}
