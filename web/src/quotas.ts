// Quotas in words: what is counted, and how full it is. Pure.

import type { GetQuotaResponse, Quota } from "./api/types.ts";

export type QuotaName = Exclude<keyof Quota, never>;

interface Kind {
  name: QuotaName;
  title: string;
  /** What counts, for people. */
  counts: string;
}

const KINDS: readonly Kind[] = [
  { name: "projects", title: "Projects", counts: "projects and project groups, at all levels together" },
  { name: "runningTasks", title: "Running tasks", counts: "of all projects together; more wait" },
  { name: "queuedRuns", title: "Queued runs", counts: "of each project" },
  { name: "secrets", title: "Secrets", counts: "here, and in each group and project below" },
  { name: "variables", title: "Variables", counts: "here, and in each group and project below" },
  { name: "schedules", title: "Schedules", counts: "of each project" },
  { name: "tokens", title: "Tokens", counts: "that are valid and that no login made" },
];

/** A row of the table of quotas. */
export interface Row extends Kind {
  /** What there is; undefined: it is counted elsewhere. */
  used: number | undefined;
  /** 0: no limit. */
  limit: number;
  /** Whether it is set here, and not above. */
  isOwn: boolean;
  own: number;
}

/** What a node is, by its path: which quotas it can have. */
export function rowsOf(path: string, found: GetQuotaResponse): Row[] {
  const depth = path.split("/").length;
  const isUser = path.startsWith("user/") && depth === 2;
  const isProject = found.usage?.projects === 0 && depth > 2;
  const number = (of: Quota | undefined, name: QuotaName): number => Number(of?.[name] ?? 0);
  const isInstallation = path === "installation";
  return KINDS.filter((kind) => kind.name !== "tokens" || isUser || isInstallation).map((kind) => {
    const isOfProjects = kind.name === "queuedRuns" || kind.name === "schedules";
    return {
      ...kind,
      used: isInstallation || (isOfProjects && depth === 2) ? undefined : number(found.usage, kind.name),
      limit: number(found.effective, kind.name),
      isOwn: number(found.quota, kind.name) > 0,
      own: number(found.quota, kind.name),
    };
  }).filter((row) => !(isProject && row.name === "projects" && row.limit === 0 && row.used === 0));
}

/** Return how much of a limit is used, from 0 to 1; 0 without a limit. */
export function share(row: Pick<Row, "used" | "limit">): number {
  return row.limit === 0 ? 0 : Math.min(1, (row.used ?? 0) / row.limit);
}
