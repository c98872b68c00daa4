// Who is signed in. `undefined` until the appliance has answered.
import { computed, signal } from "@preact/signals";
import { api, onSignedOut, Refused } from "../api/client";
import type { Session } from "../api/types";

export const session = signal<Session | null | undefined>(undefined);

/** Why the sign-in page is shown, where that needs a word. */
export const doorNote = signal("");

/** Whether the signed-in user may change anything. */
export const admin = computed(() => session.value?.role === "admin");

onSignedOut(() => {
  if (session.value) doorNote.value = "Your session has ended. Sign in to go on where you were.";
  session.value = null;
});

/** Asks the appliance who is signed in. */
export async function recall(): Promise<void> {
  try {
    session.value = await api.session();
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) doorNote.value = error instanceof Error ? error.message : "";
    session.value = null;
  }
}

/** Ends the session; signed out here even if the appliance cannot be reached. */
export async function leave(): Promise<void> {
  try {
    await api.logout();
  } catch {
    // The cookie goes with its session when the appliance comes back: it expires there.
  }
  doorNote.value = "";
  session.value = null;
}
