// The smallest parts: icon, pill, states of a list, notes, times, copy.
import type { ComponentChildren } from "preact";
import { clock } from "../state/theme";
import { complain, say } from "../state/toast";
import type { IconName } from "./icon-names";

declare const SPRITE: string;

export type Tone = "" | "ok" | "warn" | "crit" | "info" | "acc";

export const Icon = ({ n }: { n: IconName }) => (
  <svg class="ico" aria-hidden="true"><use href={`${SPRITE}#${n}`} /></svg>
);

export const Mark = () => (
  <span class="mark" aria-hidden="true"><svg viewBox="0 0 24 24"><path d="M4 18 12 6l8 12" /><path d="m9 18 3-4.500 3 4.500" /></svg></span>
);

export const Pill = ({ tone = "", children, title }: { tone?: Tone; children: ComponentChildren; title?: string }) => (
  <span class={`pill ${tone}`} {...(title ? { title } : {})}>{children}</span>
);

const NOTES: Record<string, IconName> = { "": "info", ok: "badge-check", warn: "triangle-alert", crit: "octagon-alert" };

export const Note = ({ tone = "", children, role }: { tone?: "" | "ok" | "warn" | "crit"; children: ComponentChildren; role?: "alert" | "status" }) => (
  <div class={`note ${tone}`} {...(role ? { role } : {})}><Icon n={NOTES[tone] ?? "info"} /><div>{children}</div></div>
);

/** Nothing to show, and why. */
export const Empty = ({ icon = "inbox", title, children }: { icon?: IconName; title: string; children?: ComponentChildren }) => (
  <div class="state"><Icon n={icon} /><b>{title}</b>{children && <div>{children}</div>}</div>
);

/** Something could not be fetched. */
export const Failed = ({ error, again }: { error: string; again: () => void }) => (
  <div class="state" role="alert"><Icon n="plug-zap" /><b>This could not be loaded</b><div>{error}</div>
    <button class="btn" onClick={again}><Icon n="refresh-cw" />Try again</button></div>
);

/** On its way. */
export const Bones = ({ lines = 5 }: { lines?: number }) => (
  <div class="bones" role="status" aria-label="Loading">{Array.from({ length: lines }, (_, i) => <span class="bone" key={i} />)}</div>
);

const two = (n: number) => String(n).padStart(2, "0");

/** A point in time as the chosen clock shows it: `2026-11-22 09:31:07`. */
export function moment(at: string, seconds = true): string {
  const date = new Date(at);
  if (Number.isNaN(date.getTime())) return at;
  const [y, mo, d, h, m, s] = clock.value === "utc"
    ? [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
    : [date.getFullYear(), date.getMonth(), date.getDate(), date.getHours(), date.getMinutes(), date.getSeconds()];
  return `${y}-${two(mo + 1)}-${two(d)} ${two(h)}:${two(m)}${seconds ? `:${two(s)}` : ""}`;
}

export const Time = ({ at, seconds = true }: { at: string; seconds?: boolean }) => (
  <time dateTime={at} title={at}>{moment(at, seconds)}</time>
);

/** A span of time in its two largest units. */
export function span(milliseconds: number): string {
  const s = Math.max(0, Math.round(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60 ? `${s % 60} s` : ""}`.trim();
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** How long ago, in its largest unit. */
export function ago(at: string): string {
  const s = Math.max(0, Math.round((Date.now() - new Date(at).getTime()) / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

export const count = (n: number) => (n >= 1e6 ? `${(n / 1e6).toFixed(1)}M` : n >= 1e4 ? `${(n / 1e3).toFixed(1)}k` : n.toLocaleString("en"));

export const bytes = (n: number) => (n >= 2 ** 30 ? `${(n / 2 ** 30).toFixed(1)} GiB` : n >= 2 ** 20 ? `${(n / 2 ** 20).toFixed(1)} MiB` : `${Math.round(n / 1024)} KiB`);

export const Copy = ({ text, label }: { text: string; label: string }) => (
  <button class="btn icon ghost" type="button" aria-label={label} title={label}
    onClick={() => navigator.clipboard.writeText(text).then(() => say("Copied"), complain)}><Icon n="copy" /></button>
);
