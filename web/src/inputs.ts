// The inputs of runs: which a form asks for, and which values it sends. Pure; the server checks them.

import type { ConfiguredRun, Input } from "./api/types.ts";

/** Return the inputs of the run of a name, or if it is empty of all runs that apply; those of one name are alike. */
export function inputsOf(runs: ConfiguredRun[], runName: string): Input[] {
  const chosen = runs.filter((run) => (runName ? run.name === runName : run.applies));
  const found = new Map<string, Input>();
  for (const run of chosen) for (const input of run.inputs) if (!found.has(input.name)) found.set(input.name, input);
  return [...found.values()];
}

/** Return the value that an input has if none is given, as text. */
export function valueWithout(input: Input): string {
  if (input.defaultValue !== undefined) return input.defaultValue;
  switch (input.type) {
    case "INPUT_TYPE_NUMBER":
      return "0";
    case "INPUT_TYPE_BOOLEAN":
      return "false";
    case "INPUT_TYPE_CHOICE":
      return input.options[0] ?? "";
    default:
      return "";
  }
}

/** Return whether a value must be typed: it is required, and has no default. */
export function isNeeded(input: Input): boolean {
  return input.required && input.defaultValue === undefined;
}

/** Return what a form shows at first: nothing where a value must be typed. */
export function firstValue(input: Input): string {
  return isNeeded(input) && input.type === "INPUT_TYPE_NUMBER" ? "" : valueWithout(input);
}

/** Return the values to send: those that were changed, and those that must be given. */
export function givenValues(inputs: Input[], values: Record<string, string>): Record<string, string> {
  const given: Record<string, string> = {};
  for (const input of inputs) {
    const value = values[input.name] ?? firstValue(input);
    if (isNeeded(input) || value !== valueWithout(input)) given[input.name] = value;
  }
  return given;
}
