// What stands around every page: rail, top bar, changes bar, palette, toasts.
import { useEffect, useId, useRef } from "preact/hooks";
import { signal, useSignal } from "@preact/signals";
import { api } from "../api/client";
import { appliance, expect, link, pending, refresh, revertsAt, state } from "../state/live";
import { changed, draft } from "../state/draft";
import { go, route } from "../state/route";
import { admin, leave, session } from "../state/session";
import { clock, shortcuts, theme, type Clock, type Theme } from "../state/theme";
import { complain, dismiss, say, toasts } from "../state/toast";
import { PAGES, pageOf } from "../pages/pages";
import { Icon, Mark, Pill, span } from "./basics";
import { Dialog } from "./dialog";
import { spoken } from "./spoken";
import type { IconName } from "./icon-names";

/** Which of the frame's windows is open. */
export const open = signal<"none" | "palette" | "keys">("none");

function Rail() {
  const here = pageOf(route.value.pathname);
  const attention = state.value?.attention ?? [];
  const groups = [...new Set(PAGES.map((page) => page.group))];
  return (
    <nav class="nav" aria-label="Main">
      {groups.map((group) => (
        <div key={group}>
          {group && <h2>{group}</h2>}
          {PAGES.filter((page) => page.group === group).map((page) => {
            const open = attention.filter((one) => one.page === page.path && page.path !== "/");
            return (
              <a key={page.path} href={page.path} aria-current={here === page ? "page" : undefined} title={page.name}>
                <Icon n={page.icon} /><span>{page.name}</span>
                {open.length > 0 && <span class={open.some((one) => one.level === "critical") ? "n crit" : "n"}>{open.length}<span class="vh"> to look at</span></span>}
              </a>
            );
          })}
        </div>
      ))}
      {appliance.value && <p class="foot">Redan {appliance.value.version}<br />{appliance.value.mode}</p>}
    </nav>
  );
}

function Now() {
  const now = useSignal(new Date());
  useEffect(() => {
    const timer = setInterval(() => (now.value = new Date()), 1000);
    return () => clearInterval(timer);
  }, []);
  const utc = clock.value === "utc";
  const time = utc ? now.value.toISOString().slice(11, 16) : now.value.toTimeString().slice(0, 5);
  return (
    <button class="btn ghost small wide" title="Switch between UTC and local time" onClick={() => (clock.value = utc ? "local" : "utc")}>
      <Icon n="clock" />{time} {utc ? "UTC" : "local"}
    </button>
  );
}

const LINKS = {
  connecting: <Pill><span class="live" />Connecting</Pill>,
  live: <Pill tone="ok"><span class="live" />Live</Pill>,
  lost: <Pill tone="crit"><Icon n="plug-zap" />Not connected</Pill>,
};

function Account() {
  const menu = useRef<HTMLDivElement>(null);
  const id = useId();
  const who = session.value;
  if (!who) return null;
  const close = () => menu.current?.hidePopover();
  return (
    <>
      <button class="btn ghost" popoverTarget={id} aria-haspopup="dialog"><Icon n="user" /><span>{who.name}</span><span class="dim wide">{who.role}</span></button>
      <div class="menu" popover="auto" id={id} ref={menu} role="dialog" aria-label="Account">
        <div class="who"><b>{who.name}</b><div class="sec">{who.role === "admin" ? "Administrator" : "Viewer"}</div></div>
        <div class="row"><span>Theme</span><Choice<Theme> label="Theme" value={theme.value} set={(value) => (theme.value = value)} of={["system", "light", "dark"]} /></div>
        <div class="row"><span>Clock</span><Choice<Clock> label="Clock" value={clock.value} set={(value) => (clock.value = value)} of={["utc", "local"]} /></div>
        <div class="row"><span>Letter keys</span><Choice<"on" | "off"> label="Letter keys" value={shortcuts.value} set={(value) => (shortcuts.value = value)} of={["on", "off"]} /></div>
        <a href="/access?show=account" onClick={close}><Icon n="key-round" />Password and sessions</a>
        <button onClick={() => { close(); open.value = "keys"; }}><Icon n="keyboard" />Keyboard</button>
        <button onClick={() => { close(); void leave(); }}><Icon n="log-out" />Sign out</button>
      </div>
    </>
  );
}

function Choice<T extends string>({ label, value, set, of }: { label: string; value: T; set: (value: T) => void; of: T[] }) {
  return (
    <span class="seg" role="group" aria-label={label}>
      {of.map((one) => <button key={one} aria-pressed={one === value ? "true" : "false"} onClick={() => set(one)}>{one === "utc" ? "UTC" : one}</button>)}
    </span>
  );
}

const NEXT: Record<Theme, Theme> = { system: "dark", dark: "light", light: "system" };

function Top() {
  return (
    <header class="top">
      <button class="search" aria-keyshortcuts="Control+K" onClick={() => (open.value = "palette")}>
        <Icon n="search" /><span class="grow">Search or jump to</span><span class="kbd">Ctrl K</span>
      </button>
      <span class="grow" />
      {appliance.value?.evaluation && <Pill tone="warn" title="Software keys and generated certificates: not for production"><Icon n="flask-conical" />Evaluation</Pill>}
      {LINKS[link.value]}
      <Now />
      <button class="btn ghost icon" aria-label={`Theme: ${theme.value}. Switch to ${NEXT[theme.value]}`} title={`Theme: ${theme.value}`}
        onClick={() => (theme.value = NEXT[theme.value])}><Icon n="sun-moon" /></button>
      <Account />
    </header>
  );
}

/** Seconds until the pending commit is taken back. */
function useCountdown(): number | null {
  const left = useSignal<number | null>(null);
  useEffect(() => {
    const tick = () => (left.value = revertsAt.value === null ? null : Math.max(0, Math.ceil((revertsAt.value - performance.now()) / 1000)));
    tick();
    const timer = setInterval(tick, 250);
    return () => clearInterval(timer);
  }, [revertsAt.value]);
  return left.value;
}

function Countdown() {
  const left = useCountdown();
  const now = pending.value;
  const busy = useSignal(false);
  // The ring is full at the time that was left when this page first heard of the commit.
  const granted = useSignal(1);
  useEffect(() => {
    granted.value = now?.remaining_ms ?? 1;
    if (now) spoken.value = `Version ${now.version} is applied. It is taken back in ${span(now.remaining_ms)} unless it is kept.`;
  }, [now?.version]);
  if (!now || left === null) return null;
  const round = 2 * Math.PI * 10;
  const part = Math.min(1, (left * 1000) / Math.max(1, granted.value));
  const act = (what: () => Promise<unknown>, done: string) => {
    busy.value = true;
    what().then(
      () => { expect(null); say(done); refresh(); },
      (error: unknown) => { complain(error); refresh(); },
    ).finally(() => (busy.value = false));
  };
  return (
    <section class="changes" aria-label="Pending change">
      <svg class="ring" viewBox="0 0 26 26" aria-hidden="true">
        <circle class="t" cx="13" cy="13" r="10" />
        <circle class="p" cx="13" cy="13" r="10" stroke-dasharray={round} stroke-dashoffset={round * (1 - part)} />
      </svg>
      <div class="text clip"><b>Version {now.version} is applied. Still reachable?</b>{" "}
        <span class="sec" role="timer">Taken back in {left} s</span></div>
      {admin.value ? (
        <>
          <button class="btn" disabled={busy.value} onClick={() => act(() => api.rollback({}), `Back to version ${now.previous}`)}>Revert now</button>
          <button class="btn primary" disabled={busy.value} onClick={() => act(() => api.confirm(now.version), `Version ${now.version} is kept`)}>Keep changes</button>
        </>
      ) : <span class="sec">by {now.author}</span>}
    </section>
  );
}

function Staged() {
  if (pending.value || !changed.value || !admin.value || route.value.pathname === "/configuration/edit") return null;
  return (
    <section class="changes" aria-label="Unapplied changes">
      <Icon n="pencil" /><span>Your draft differs from the running configuration</span>
      <button class="btn ghost" onClick={() => (draft.value = null)}>Discard</button>
      <a class="btn primary" href="/configuration/edit">Review and apply</a>
    </section>
  );
}

type Hit = { text: string; kind: string; icon: IconName; act: () => void };

function Palette() {
  const typed = useSignal("");
  const at = useSignal(0);
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const element = dialog.current;
    if (element && !element.open) element.showModal();
    return () => element?.close();
  }, []);
  const to = (path: string) => () => go(path);
  const all: Hit[] = [
    ...PAGES.map((page) => ({ text: page.name, kind: "Page", icon: page.icon, act: to(page.path) })),
    { text: "Edit the configuration", kind: "Action", icon: "pencil", act: to("/configuration/edit") },
    { text: "Configuration versions", kind: "Page", icon: "history", act: to("/configuration/versions") },
    { text: "Verify the audit log", kind: "Action", icon: "badge-check", act: to("/audit?verify=now") },
    { text: "Change my password", kind: "Action", icon: "key-round", act: to("/access?show=account") },
    { text: "New API key", kind: "Action", icon: "plus", act: to("/access?show=keys&new=1") },
    { text: "Use the dark theme", kind: "Action", icon: "sun-moon", act: () => (theme.value = "dark") },
    { text: "Use the light theme", kind: "Action", icon: "sun-moon", act: () => (theme.value = "light") },
    { text: "Keyboard shortcuts", kind: "Help", icon: "keyboard", act: () => (open.value = "keys") },
    { text: "Sign out", kind: "Action", icon: "log-out", act: () => void leave() },
    ...(state.value?.services ?? []).map((service): Hit => ({ text: service.name, kind: "Service", icon: "server", act: to(`/services#${service.name}`) })),
  ];
  const wanted = typed.value.trim().toLowerCase();
  const hits = all.filter((hit) => hit.text.toLowerCase().includes(wanted)).slice(0, 9);
  if (wanted) hits.push({ text: `Search the audit log for “${typed.value.trim()}”`, kind: "Audit log", icon: "scroll-text", act: to(`/audit?text=${encodeURIComponent(typed.value.trim())}`) });
  const choose = (hit: Hit | undefined) => {
    if (!hit) return;
    open.value = "none";
    hit.act();
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") at.value = Math.min(at.value + 1, hits.length - 1);
    else if (event.key === "ArrowUp") at.value = Math.max(at.value - 1, 0);
    else if (event.key === "Enter") choose(hits[at.value]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog class="pal" ref={dialog} aria-label="Search and commands" onClose={() => { if (open.value === "palette") open.value = "none"; }}
      onClick={(event) => { if (event.target === dialog.current) open.value = "none"; }}>
      <input role="combobox" aria-expanded="true" aria-controls="palette-hits" aria-autocomplete="list" aria-activedescendant={hits.length ? `hit-${at.value}` : undefined}
        aria-label="Search" placeholder="Search pages, actions, services, the audit log" value={typed.value} autocomplete="off" spellcheck={false}
        onInput={(event) => { typed.value = event.currentTarget.value; at.value = 0; }} onKeyDown={keys} />
      <ul id="palette-hits" role="listbox" aria-label="Results">
        {hits.map((hit, i) => (
          <li key={hit.text} id={`hit-${i}`} role="option" aria-selected={i === at.value ? "true" : "false"} onClick={() => choose(hit)} onPointerMove={() => (at.value = i)}>
            <Icon n={hit.icon} /><span class="clip">{hit.text}</span><span class="kind">{hit.kind}</span>
          </li>
        ))}
      </ul>
    </dialog>
  );
}

const KEYS: [string, string][] = [
  ["Ctrl K", "Search, jump, act"], ["/", "Filter the list"], ["j k", "Next, previous row"], ["Home End", "First, last row"],
  ["Escape", "Close"], ["?", "This list"], ...PAGES.map((page): [string, string] => [`g ${page.key}`, page.name]),
];

function Keys() {
  const close = () => (open.value = "none");
  return (
    <Dialog title="Keyboard" small close={close} submit={close} footer={<button class="btn primary" type="submit">Close</button>}>
      <dl class="kv">{KEYS.map(([key, what]) => <><dt><span class="kbd">{key}</span></dt><dd>{what}</dd></>)}</dl>
      <p class="sec">Letters act outside of text fields only, and can be switched off in the account menu.</p>
    </Dialog>
  );
}

function Toasts() {
  return (
    <div class="toasts" role="status">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={`toast ${toast.tone}`}>
          <Icon n={toast.tone === "ok" ? "check" : "octagon-alert"} /><div>{toast.text}</div>
          <button class="btn ghost icon small" aria-label="Dismiss" onClick={() => dismiss(toast.id)}><Icon n="x" /></button>
        </div>
      ))}
    </div>
  );
}

/** The keyboard outside of text fields. */
function useKeyboard() {
  useEffect(() => {
    let g = 0;
    const press = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        open.value = open.value === "palette" ? "none" : "palette";
        return;
      }
      const target = event.target as HTMLElement;
      if (shortcuts.value === "off" || event.ctrlKey || event.metaKey || event.altKey || open.value !== "none" || document.querySelector("dialog[open]")) return;
      if (target.matches("input, textarea, select, [contenteditable]")) return;
      if (event.key === "g") {
        g = event.timeStamp;
        return;
      }
      const page = event.timeStamp - g < 1500 ? PAGES.find((one) => one.key === event.key) : undefined;
      g = 0;
      if (page) {
        event.preventDefault();
        go(page.path);
      } else if (event.key === "?") open.value = "keys";
      else if (event.key === "/") {
        const filter = document.querySelector<HTMLInputElement>("[data-filter]");
        if (filter) {
          event.preventDefault();
          filter.focus();
          filter.select();
        }
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}

export function Frame() {
  useKeyboard();
  const page = pageOf(route.value.pathname);
  const View = page?.view;
  useEffect(() => {
    document.title = `${page?.name ?? "Not found"} · ${appliance.value?.name ?? "Redan"}`;
  }, [page, appliance.value?.name]);
  return (
    <>
      <a class="skip" href="#main">Skip to content</a>
      <div class="shell">
        <div class="brand"><Mark /><span class="clip">{appliance.value?.name ?? "Redan"}</span></div>
        <Top />
        <Rail />
        {View ? <View /> : (
          <main class="main" id="main" tabIndex={-1}><div class="page"><div class="state"><h1>There is no such page</h1><div class="mono">{route.value.pathname}</div><a class="btn" href="/">Overview</a></div></div></main>
        )}
      </div>
      <Countdown />
      <Staged />
      {open.value === "palette" && <Palette />}
      {open.value === "keys" && <Keys />}
      <Toasts />
      <div class="vh" aria-live="polite">{spoken.value}</div>
    </>
  );
}
