// Audit records in words, and the query of a filter. Pure.

import type { AuditRecord } from "./api/types.ts";

export interface AuditFilter {
  /** The name or id of who made the change; empty: anybody. */
  by: string;
  /** The type of what was changed, such as `secret`; empty: anything. */
  kind: string;
  /** Days, as a field of a form has them: `2026-11-30`; empty: no bound. */
  since: string;
  until: string;
}

/** What can be changed, as records name it. */
export const KINDS = [
  "delivery", "device_login", "executor", "invitation", "linked_account", "organization", "project", "project_group", "quota",
  "remote_source", "run", "schedule", "secret", "token", "user", "variable", "webhook",
] as const;

/** Return the query of a page of records of a node; empty: of the whole installation. */
export function queryOf(filter: AuditFilter, parent: string, token: string): string {
  const query = new URLSearchParams({ pageSize: "50" });
  if (parent) query.set("parentId", parent);
  if (filter.by) query.set("callerId", filter.by);
  if (filter.kind) query.set("resourceType", filter.kind);
  if (filter.since) query.set("since", `${filter.since}T00:00:00Z`);
  // The whole day.
  if (filter.until) query.set("until", new Date(Date.parse(`${filter.until}T00:00:00Z`) + 86_400_000).toISOString());
  if (token) query.set("pageToken", token);
  return query.toString();
}

/** Return the name of a method in words: `SetOrganizationMember` is `set organization member`. */
export function wordsOf(method: string): string {
  return method.replace(/(?<=[a-z])(?=[A-Z])/g, " ").toLowerCase();
}

/** Return who made a change. */
export function actorOf(record: Pick<AuditRecord, "callerName" | "callerId" | "callerKind">): string {
  return record.callerName || record.callerId || record.callerKind;
}

/** Return what a record says besides, in one line: without ids beside names, and addresses as people write them. */
export function detailsOf(record: Pick<AuditRecord, "details" | "peer" | "forwardedFor">): string {
  const details = record.details
    .filter((each) => each !== "*")
    .map((each) => each.replace(/ \([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\)/g, "").replace(/^(\w+):/, (name) => name.replace("_", " ")));
  const address = record.forwardedFor || addressOf(record.peer);
  return [...details, ...(address ? [`from ${address}`] : [])].join(" · ");
}

/** Return the address of a peer as gRPC writes it: `ipv4:10.0.0.1:4711` is `10.0.0.1`. */
function addressOf(peer: string): string {
  return decodeURIComponent(peer.replace(/^ipv[46]:/, "").replace(/:\d+$/, "")).replace(/^\[|\]$/g, "");
}
