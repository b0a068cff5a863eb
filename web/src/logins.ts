// Sentences for the reasons why a login with a git provider, or a link of an account there, failed. Pure.
//
// The address of the page has the reason alone: a link of somebody else could bring any text.

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
