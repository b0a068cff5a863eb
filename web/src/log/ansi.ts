// The text of a line of a log, and its colours: escape sequences become spans with classes, never HTML. Pure.
//
// Only SGR ("select graphic rendition", ECMA-48 8.3.117) has an effect. Other sequences, such as those that move the
// cursor, set a title, or make links, are dropped, as are other control characters.

export interface Span {
  text: string;
  /** Such as `fg1 bold`; empty: plain. */
  classes: string;
}

/** The rendition that one line hands on to the next. */
export interface Rendition {
  foreground: number | null;
  background: number | null;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  inverse: boolean;
}

export const PLAIN: Rendition = {
  foreground: null,
  background: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
};

/** The most spans of a line; the rest of a line with more is one more, without colours. */
export const MOST_SPANS = 100;

// CSI: parameters, intermediates, a final byte. OSC, DCS, SOS, PM and APC: until BEL or ST, or the end of the line.
// Then other escapes of two or three characters, and single control characters but the tab.
const SEQUENCE =
  // eslint-disable-next-line no-control-regex
  /(?:\u001b\[|\u009b)([0-?]*)[ -/]*([@-~]?)|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c|$)?|\u001b[ -/]*[0-~]?|[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

/** Return the spans of a line, and the rendition after it. */
export function parseLine(line: string, before: Rendition = PLAIN): { spans: Span[]; after: Rendition } {
  const text = shownPart(line);
  const spans: Span[] = [];
  let rendition = before;
  let from = 0;
  const add = (piece: string): void => {
    if (piece === "") return;
    const classes = spans.length < MOST_SPANS ? classesOf(rendition) : "";
    const last = spans[spans.length - 1];
    if (last !== undefined && (last.classes === classes || spans.length > MOST_SPANS)) last.text += piece;
    else spans.push({ text: piece, classes });
  };
  for (const found of text.matchAll(SEQUENCE)) {
    add(text.slice(from, found.index));
    from = found.index + found[0].length;
    if (found[2] === "m") rendition = rendered(found[1]!, rendition);
  }
  add(text.slice(from));
  return { spans, after: rendition };
}

/** Return a line without escape sequences. */
export function plainText(line: string): string {
  return parseLine(line)
    .spans.map((span) => span.text)
    .join("");
}

/** A terminal shows what follows the last carriage return; progress bars are written so. */
function shownPart(line: string): string {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.slice(text.lastIndexOf("\r") + 1);
}

function rendered(parameters: string, before: Rendition): Rendition {
  const now = { ...before };
  // Colons separate what belongs together (ISO 8613-6); an empty parameter is 0.
  const codes = parameters.split(/[;:]/).map((each) => (/^\d{0,4}$/.test(each) ? Number(each) : -1));
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at]!;
    if (code === 0) Object.assign(now, PLAIN);
    else if (code === 1) now.bold = true;
    else if (code === 2) now.dim = true;
    else if (code === 3) now.italic = true;
    else if (code === 4) now.underline = true;
    else if (code === 7) now.inverse = true;
    else if (code === 22) now.bold = now.dim = false;
    else if (code === 23) now.italic = false;
    else if (code === 24) now.underline = false;
    else if (code === 27) now.inverse = false;
    else if (code >= 30 && code <= 37) now.foreground = code - 30;
    else if (code === 39) now.foreground = null;
    else if (code >= 40 && code <= 47) now.background = code - 40;
    else if (code === 49) now.background = null;
    else if (code >= 90 && code <= 97) now.foreground = code - 82;
    else if (code >= 100 && code <= 107) now.background = code - 92;
    else if (code === 38 || code === 48) {
      const colour = codes[at + 1] === 5 ? ofPalette(codes[at + 2]) : ofRgb(codes[at + 2], codes[at + 3], codes[at + 4]);
      if (code === 38) now.foreground = colour;
      else now.background = colour;
      at += codes[at + 1] === 5 ? 2 : 4;
    }
  }
  return now;
}

/** Return the nearest of the 16 colours to one of the 256. */
function ofPalette(code: number | undefined): number | null {
  if (code === undefined || code < 0 || code > 255) return null;
  if (code < 16) return code;
  if (code >= 232) return grey((code - 232) / 23);
  const cube = code - 16;
  return ofRgb(Math.floor(cube / 36) * 51, (Math.floor(cube / 6) % 6) * 51, (cube % 6) * 51);
}

function ofRgb(red = 0, green = 0, blue = 0): number | null {
  const [most, least] = [Math.max(red, green, blue), Math.min(red, green, blue)];
  if (least < 0 || most > 255) return null;
  if (most - least < 40) return grey(most / 255);
  const half = (most + least) / 2;
  const bits = (red > half ? 1 : 0) + (green > half ? 2 : 0) + (blue > half ? 4 : 0);
  return bits + (most > 200 ? 8 : 0);
}

function grey(light: number): number {
  return light < 0.25 ? 0 : light < 0.55 ? 8 : light < 0.85 ? 7 : 15;
}

function classesOf(rendition: Rendition): string {
  const { inverse } = rendition;
  const foreground = inverse ? (rendition.background ?? "back") : rendition.foreground;
  const background = inverse ? (rendition.foreground ?? "text") : rendition.background;
  const classes: string[] = [];
  if (foreground !== null) classes.push(`fg-${foreground}`);
  if (background !== null) classes.push(`bg-${background}`);
  for (const name of ["bold", "dim", "italic", "underline"] as const) if (rendition[name]) classes.push(name);
  return classes.join(" ");
}
