// Who is logged in: read once, since many pages show more to owners and operators. The server decides what is allowed.

import { get } from "./api/client.ts";
import type { User } from "./api/types.ts";

class Me {
  user = $state.raw<User | null>(null);

  get isOperator(): boolean {
    return this.user?.operator ?? false;
  }

  /** Read the user; a token that may not read it leaves it unknown. */
  async read(): Promise<void> {
    try {
      this.user = await get<User>("/api/v1/users/me");
    } catch {
      this.user = null;
    }
  }
}

export const me = new Me();
