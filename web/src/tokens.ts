// Tokens: their states in words, and when a new one expires. Pure.

import type { Token } from "./api/types.ts";
import type { State } from "./words.ts";

const DAY_MS = 86_400_000;

export function stateOfToken(token: Token, now: number): State {
  if (token.revokeTime) return { word: "revoked", tone: "stopped" };
  if (token.expireTime && Date.parse(token.expireTime) <= now) return { word: "expired", tone: "skipped" };
  return { word: "valid", tone: "success" };
}

/** Return the time in some days; undefined for 0: never. */
export function expiryOf(days: number, now: number): string | undefined {
  return days > 0 ? new Date(now + days * DAY_MS).toISOString() : undefined;
}

/** Return the scopes of a text, such as `runs:read, runs:write`. */
export function scopesOf(text: string): string[] {
  return text.split(/[\s,]+/).filter(Boolean);
}

/** Return the tokens, the valid ones first, then the newest first. */
export function ordered(tokens: Token[], now: number): Token[] {
  const rank = (token: Token): number => (stateOfToken(token, now).word === "valid" ? 0 : 1);
  return [...tokens].sort((a, b) => rank(a) - rank(b) || (b.createTime ?? "").localeCompare(a.createTime ?? ""));
}
