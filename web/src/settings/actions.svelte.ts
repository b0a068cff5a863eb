// What a person does in a part of the settings: one call at a time, and the sentence if it is refused.

import { sentence } from "../api/client.ts";

export class Actions {
  isBusy = $state(false);
  fault = $state("");
  done = $state("");

  /** Do something; `done` says then what was done. Returns whether it succeeded. */
  async act(action: () => Promise<void>, done = ""): Promise<boolean> {
    this.isBusy = true;
    this.fault = this.done = "";
    try {
      await action();
      this.done = done;
      return true;
    } catch (error) {
      this.fault = sentence(error);
      return false;
    } finally {
      this.isBusy = false;
    }
  }
}
