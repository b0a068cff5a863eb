// Roles in an organization. Pure.

export const ROLES: readonly { value: string; title: string; does: string }[] = [
  { value: "ORGANIZATION_ROLE_OWNER", title: "owner", does: "may also move, delete and publish, and change members" },
  { value: "ORGANIZATION_ROLE_MEMBER", title: "member", does: "may also run, configure, and use secrets" },
  { value: "ORGANIZATION_ROLE_READER", title: "reader", does: "may see" },
];

/** Return what a role may do. */
export function roleDoes(role: string | undefined): string {
  return ROLES.find((each) => each.value === role)?.does ?? "";
}

/** Return the address of the page where the holder of a code accepts an invitation. */
export function invitationLink(origin: string, code: string): string {
  return `${origin}/invitations?code=${encodeURIComponent(code)}`;
}
