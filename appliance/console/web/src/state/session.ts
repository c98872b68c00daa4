// Who is signed in. `undefined` until the appliance has answered.
import { computed, signal } from "@preact/signals";
import { api, onSignedOut, words } from "../api/client";
import type { Session } from "../api/types";

export const session = signal<Session | null | undefined>(undefined);

/** Why the sign-in page is shown, where that needs a word. */
export const doorNote = signal("");

const ENDED = "Your session has ended. Sign in to go on where you were.";

/** Whether the signed-in user may change anything. */
export const admin = computed(() => session.value?.role === "admin");

onSignedOut(() => {
  if (session.value) doorNote.value = ENDED;
  session.value = null;
});

/** Asks the appliance who is signed in. */
export async function recall(): Promise<void> {
  try {
    const known = await api.session();
    if (known === null && session.value) doorNote.value = ENDED;
    session.value = known;
  } catch (error) {
    doorNote.value = words(error);
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
