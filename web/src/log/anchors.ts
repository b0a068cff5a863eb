// Links to lines of logs: `#step-2:L120` is line 120 of the step with the index 2, `#setup:L3` one of the pod's setup. Pure.

export interface Anchor {
  /** The index of the step, from 0; null: the setup. */
  step: number | null;
  /** From 1; null: the whole step. */
  line: number | null;
}

/** Return what the part of an address from `#` on leads to, or null. */
export function anchorOf(hash: string): Anchor | null {
  const found = /^#(?:step-(\d{1,6})|setup)(?::L([1-9]\d{0,11}))?$/.exec(hash);
  if (found === null) return null;
  return {
    step: found[1] === undefined ? null : Number(found[1]),
    line: found[2] === undefined ? null : Number(found[2]),
  };
}

/** Return the name of a step in links. */
export function nameOf(step: number | null): string {
  return step === null ? "setup" : `step-${step}`;
}

export function hashOf({ step, line }: Anchor): string {
  return `#${nameOf(step)}${line === null ? "" : `:L${line}`}`;
}
