// Sentences about logins with git providers, and accounts that are linked there. Pure.
//
// The address of the page has the reason of a failure alone: a link of somebody else could bring any text.

import type { LinkedAccount } from "./api/types.ts";

const SENTENCES: Record<string, string> = {
  LINKED_ACCOUNT_TAKEN: "Another user has linked this account. Log in as that user, or remove it there first.",
  LOGIN_ACCOUNT_UNKNOWN:
    "No user here has linked this account. Log in another way and link it on the account page, or ask an operator.",
  LOGIN_AMBIGUOUS: "Several users have linked this account by access tokens. Log in another way and link it once more.",
  LOGIN_NOT_ALLOWED: "Logins with this provider are not allowed any more.",
  ALREADY_EXISTS: "You have linked another account of this provider. Remove it first.",
  OAUTH2_DENIED: "You did not authorize Sluiceway at the provider. Try once more, or log in another way.",
  OAUTH2_REFUSED:
    "The provider refused the authorization. An operator finds its message in the log of the gateway, and compares client id, secret and redirect URI.",
  OAUTH2_STATE_INVALID: "This authorization has expired, was used, or was begun in another browser. Try once more.",
  USER_NAME_TAKEN: "No user name like that of your account is free. Ask an operator for a user.",
};

const AWAY = "The provider, or the server, does not respond now. Try once more in a moment.";

/** Return the sentence for a reason; empty for none. */
export function loginFault(reason: string): string {
  if (reason === "") return "";
  const sentence = Object.hasOwn(SENTENCES, reason) ? SENTENCES[reason] : undefined;
  if (sentence !== undefined) return sentence;
  return /UNAVAILABLE|DEADLINE|RATE_LIMITED/.test(reason)
    ? AWAY
    : "This did not work. An operator finds the cause in the log of the gateway.";
}

/** Paths that a question names. */
const NAMED = 5;

/** Return what ends when a linked account is removed, as the question before it. */
export function questionOfRemoval(account: Pick<LinkedAccount, "projectPaths" | "otherProjects">, provider: string): string {
  const count = account.projectPaths.length + account.otherProjects;
  const login = `You cannot log in with ${provider} any more, until you link an account there again.`;
  if (count === 0) return `No project works with it. ${login}`;
  const named = account.projectPaths.slice(0, NAMED);
  const more = count - named.length;
  const rest = more > 0 ? [named.length > 0 ? `${more} more` : more === 1 ? "1 project that you may not see" : `${more} projects that you may not see`] : [];
  const projects = [...named, ...rest].join(", ").replace(/, ([^,]*)$/, " and $1");
  const verb = count === 1 ? "works" : "work";
  return `${projects} ${verb} with it: pushes start no runs there any more, and commits get no statuses, until you link it again. ${login}`;
}
