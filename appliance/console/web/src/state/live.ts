// The picture of the appliance: one request for the whole, then one event stream that keeps it current. Nothing is fetched while
// the tab is hidden; when it is shown again, the whole is fetched anew.
import { computed, signal } from "@preact/signals";
import { api, Refused } from "../api/client";
import { recall } from "./session";
import type { Appliance, AuditEntry, Refusal, Sample, State } from "../api/types";

/** How many seconds of traffic are kept. */
const KEPT = 900;

export type Link = "connecting" | "live" | "lost";

export const link = signal<Link>("connecting");
export const appliance = signal<Appliance | null>(null);
export const state = signal<State | null>(null);
export const traffic = signal<Sample[]>([]);
export const refusals = signal<Refusal[]>([]);
export const recent = signal<AuditEntry[]>([]);

/** When the pending commit is taken back, in this page's own `performance.now()` milliseconds. */
export const revertsAt = signal<number | null>(null);

/** The pending commit, if any. */
export const pending = computed(() => state.value?.pending ?? null);

let source: EventSource | null = null;
let retry: number | undefined;
let wanted = false;

function take(next: State): void {
  state.value = next;
  revertsAt.value = next.pending ? performance.now() + next.pending.remaining_ms : null;
}

/** Shows a pending commit at once, before the stream tells of it. */
export function expect(next: State["pending"]): void {
  if (state.value) take({ ...state.value, pending: next });
}

async function open(): Promise<void> {
  // A refresh of what is live already needs no word about it.
  if (link.value !== "live") link.value = "connecting";
  close();
  try {
    const whole = await api.overview();
    appliance.value = whole.appliance;
    traffic.value = whole.traffic.slice(-KEPT);
    refusals.value = whole.refusals;
    recent.value = whole.recent;
    take(whole.state);
  } catch (error) {
    if (error instanceof Refused && (error.status === 401 || error.status === 403)) return;
    lost();
    return;
  }
  if (!wanted || document.hidden) return;
  source = new EventSource("/api/v1/events");
  const on = <T>(name: string, act: (value: T) => void) =>
    source?.addEventListener(name, (event) => act(JSON.parse((event as MessageEvent<string>).data) as T));
  on<Sample>("traffic", (sample) => {
    link.value = "live";
    const last = traffic.value.at(-1);
    if (!last || sample.at > last.at) traffic.value = [...traffic.value.slice(1 - KEPT), sample];
  });
  on<State>("state", take);
  on<Refusal[]>("refusals", (value) => (refusals.value = value));
  on<AuditEntry[]>("recent", (value) => (recent.value = value));
  source.addEventListener("signed-out", () => {
    close();
    void recall();
  });
  source.onopen = () => (link.value = "live");
  source.onerror = lost;
}

function lost(): void {
  close();
  link.value = "lost";
  if (wanted) retry = setTimeout(() => void open(), 2000);
}

function close(): void {
  clearTimeout(retry);
  source?.close();
  source = null;
}

/** Starts to follow the appliance. */
export function follow(): void {
  wanted = true;
  void open();
}

/** Stops, and forgets what was shown. */
export function unfollow(): void {
  wanted = false;
  close();
  appliance.value = null;
  state.value = null;
  traffic.value = [];
  recent.value = [];
  refusals.value = [];
  revertsAt.value = null;
}

/** Fetches the whole again. */
export const refresh = (): void => void open();

document.addEventListener("visibilitychange", () => {
  if (!wanted) return;
  if (document.hidden) close();
  else void open();
});
