// What the settings of a project are made of: its ancestors, conditions as text, secrets for the gateway. Pure.

import type { VariableWhen, WhenRule } from "../api/types.ts";

/** Return the paths of what a project is in, the nearest first: groups, then the organization or user. */
export function ancestorsOf(path: string): string[] {
  const names = path.split("/");
  return names.slice(2, -1).reduceRight<string[]>((found, _, at) => [...found, names.slice(0, at + 3).join("/")], []).concat(names.slice(0, 2).join("/"));
}

/** Return a rule as text: patterns between spaces, those that exclude with a `!` before them. */
export function textOfRule(rule: WhenRule | undefined): string {
  return [...(rule?.include ?? []), ...(rule?.exclude ?? []).map((each) => `!${each}`)].join(" ");
}

/** Return the rule of a text, or undefined if it has no pattern. */
export function ruleOfText(text: string): WhenRule | undefined {
  const patterns = text.split(/\s+/).filter((each) => each !== "" && each !== "!");
  if (patterns.length === 0) return undefined;
  return {
    include: patterns.filter((each) => !each.startsWith("!")),
    exclude: patterns.filter((each) => each.startsWith("!")).map((each) => each.slice(1)),
  };
}

/** Return a condition in words, such as `branch main`; empty: always. */
export function wordsOfWhen(when: VariableWhen | undefined): string {
  const parts: [string, string][] = [
    ["branch", textOfRule(when?.branch)],
    ["tag", textOfRule(when?.tag)],
    ["ref", textOfRule(when?.ref)],
  ];
  return parts
    .filter(([, text]) => text)
    .map(([name, text]) => `${name} ${text}`)
    .join(", ");
}

/** Return text as the gateway takes bytes: base64 of its UTF-8. */
export function base64Of(text: string): string {
  let bytes = "";
  for (const byte of new TextEncoder().encode(text)) bytes += String.fromCharCode(byte);
  return btoa(bytes);
}

/** Return the secret of a webhook, as the API takes it, of random bytes. */
export function newWebhookSecret(random: Uint8Array): string {
  return `whsec_${btoa(String.fromCharCode(...random))}`;
}

/** Return whether git reads a URL over SSH: `ssh://host/path` or `user@host:path`. */
export function isGitOverSsh(url: string): boolean {
  return /^(ssh:\/\/|[^/\s@]+@[^/\s:]+:)/.test(url.trim());
}
