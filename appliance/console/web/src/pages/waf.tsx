// What the web application firewall found: filters from any value, the event beside its list, and an exception in two clicks.
import { useEffect, useRef } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api, words, type WafQuery } from "../api/client";
import type { WafEvent, WafMatch } from "../api/types";
import { Bones, Copy, Empty, Failed, Icon, Pill, Time, count } from "../parts/basics";
import { useLoad } from "../state/load";
import { go, query, route } from "../state/route";
import { admin } from "../state/session";
import { MakeException } from "./exception";

const PAGE = 100;
const FILTERS = ["service", "rule", "client", "path", "incident"] as const;
type Filter = (typeof FILTERS)[number];
const NAMES: Record<Filter, string> = { service: "Service", rule: "Rule", client: "Client", path: "Path begins", incident: "Incident" };
const AGES: [number, string][] = [[3600, "Last hour"], [86_400, "Last 24 hours"], [604_800, "Last 7 days"]];
const SEVERITIES = ["emergency", "alert", "critical", "error", "warning", "notice", "info", "debug"];

/** The filters that stand in the URL; the age becomes a time when it is asked for. */
function filters(): WafQuery {
  const at = route.value.searchParams;
  const made: WafQuery = {};
  for (const key of [...FILTERS, "blocked"] as const) {
    const value = at.get(key);
    if (value) made[key] = value;
  }
  const age = Number(at.get("age"));
  if (age > 0) made.from = String(Math.floor(Date.now() / 1000) - age);
  return made;
}

function useEvents() {
  const events = useSignal<WafEvent[]>([]);
  const kept = useSignal(0);
  const next = useSignal<number | null>(null);
  const status = useSignal<"loading" | "more" | "idle" | "failed">("loading");
  const error = useSignal("");
  const turn = useRef<AbortController | null>(null);
  const at = route.value.searchParams;
  const wanted = [...FILTERS, "blocked", "age"].map((key) => at.get(key) ?? "").join("\n");
  const fetch = (before?: number) => {
    turn.current?.abort();
    const mine = (turn.current = new AbortController());
    status.value = before === undefined ? "loading" : "more";
    api.wafEvents({ ...filters(), limit: PAGE, ...(before === undefined ? {} : { before }) }, mine.signal).then(
      (page) => {
        if (mine.signal.aborted) return;
        events.value = before === undefined ? page.events : [...events.value, ...page.events];
        kept.value = page.kept;
        next.value = page.next;
        status.value = "idle";
      },
      (failure: unknown) => {
        if (mine.signal.aborted) return;
        error.value = words(failure);
        status.value = "failed";
      },
    );
  };
  useEffect(() => {
    fetch();
    return () => turn.current?.abort();
  }, [wanted]);
  return {
    events: events.value, kept: kept.value, next: next.value, status: status.value, error: error.value,
    again: () => fetch(),
    more: () => { if (next.value !== null) fetch(next.value); },
  };
}

const only = (key: Filter, value: string) => query({ [key]: value, event: undefined }, "push");

const Cell = ({ k, v }: { k: Filter; v: string }) => (
  <button class="cell" tabIndex={-1} title={`Only ${NAMES[k].toLowerCase()} ${v}`} onClick={(event) => { event.stopPropagation(); only(k, v); }}>{v}</button>
);

export const Verdict = ({ event }: { event: WafEvent }) =>
  event.blocked ? <Pill tone="crit"><Icon n="ban" />refused</Pill>
    : event.stopped_by !== null ? <Pill tone="warn" title="The service only records: it would be refused where it blocks"><Icon n="triangle-alert" />would refuse</Pill>
    : <Pill>recorded</Pill>;

/** The match that says most: the one that counted most, not the rule that only sums up. */
const worst = (event: WafEvent): WafMatch | undefined => event.matches.reduce<WafMatch | undefined>((best, one) => (best === undefined || one.score > best.score ? one : best), undefined);

function Search() {
  const at = route.value.searchParams;
  const field = useSignal<Filter>("path");
  const typed = useSignal("");
  const active = FILTERS.filter((key) => at.get(key));
  return (
    <form class="tools" role="search" onSubmit={(event) => { event.preventDefault(); if (typed.value.trim()) only(field.value, typed.value.trim()); typed.value = ""; }}>
      <select class="input" aria-label="Filter by" value={field.value} onChange={(event) => (field.value = event.currentTarget.value as Filter)}>
        {FILTERS.map((key) => <option key={key} value={key}>{NAMES[key]}</option>)}
      </select>
      <input class="input" type="search" data-filter aria-label="Value to filter by" placeholder="Enter adds the filter" size={22} value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} />
      <select class="input" aria-label="Verdict" value={at.get("blocked") ?? ""} onChange={(event) => query({ blocked: event.currentTarget.value || undefined, event: undefined }, "push")}>
        <option value="">Any verdict</option><option value="true">Refused</option><option value="false">Not refused</option>
      </select>
      <select class="input" aria-label="Time" value={at.get("age") ?? ""} onChange={(event) => query({ age: event.currentTarget.value || undefined, event: undefined }, "push")}>
        <option value="">All that is kept</option>{AGES.map(([seconds, name]) => <option key={seconds} value={String(seconds)}>{name}</option>)}
      </select>
      <div class="chips">
        {active.map((key) => (
          <span class="chip" key={key}>{NAMES[key].toLowerCase()} = {at.get(key)}<button type="button" aria-label={`Remove the filter on ${key}`} onClick={() => query({ [key]: undefined }, "push")}><Icon n="x" /></button></span>
        ))}
        {(active.length > 0 || at.get("blocked") || at.get("age")) && <button type="button" class="btn ghost small" onClick={() => go("/waf")}><Icon n="filter-x" />Clear</button>}
      </div>
    </form>
  );
}

export function WafEvents() {
  const found = useEvents();
  const list = useRef<HTMLTableSectionElement>(null);
  const selected = Number(route.value.searchParams.get("event") ?? NaN);
  const place = found.events.findIndex((event) => event.id === selected);
  const select = (index: number) => {
    const next = found.events[Math.max(0, Math.min(index, found.events.length - 1))];
    if (!next) return;
    query({ event: String(next.id) });
    const row = list.current?.rows[found.events.indexOf(next)];
    row?.focus();
    row?.scrollIntoView({ block: "nearest" });
  };
  const keys = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j" || event.key === "ArrowDown") select(place + 1);
    else if (event.key === "k" || event.key === "ArrowUp") select(place < 0 ? 0 : place - 1);
    else if (event.key === "Escape") query({ event: undefined });
    else if (event.key === "Enter" && event.target instanceof HTMLTableRowElement) select(event.target.sectionRowIndex);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <main class="main" id="main" tabIndex={-1}><div class="page full">
        <div class="head"><div><h1>WAF events</h1><p>Requests in which rules found something. What could be a secret is masked before it leaves the proxy.</p></div></div>
        <Search />
        <div class="card fill waf">
          {found.status === "failed" ? <Failed error={found.error} again={found.again} />
            : found.status === "loading" && found.events.length === 0 ? <Bones lines={12} />
            : found.events.length === 0 ? (
              <Empty icon="shield-check" title="Nothing was found">{route.value.search ? <button class="btn" onClick={() => go("/waf")}>Clear the filters</button> : "Services with a firewall record here what their rules find."}</Empty>
            ) : (
              <div class="scroll pane" tabIndex={0} role="group" aria-label="List of events"><table aria-label="Events" onKeyDown={keys}>
                <colgroup><col class="time" /><col class="service opt" /><col class="client" /><col /><col class="opt" /><col class="score" /><col class="verdict" /></colgroup>
                <thead><tr><th>Time</th><th class="opt">Service</th><th>Client</th><th>Request</th><th class="opt">Found</th><th class="num">Score</th><th>Verdict</th></tr></thead>
                <tbody ref={list}>{found.events.map((event, index) => {
                  const top = worst(event);
                  return (
                    <tr key={event.id} tabIndex={place < 0 ? (index === 0 ? 0 : -1) : index === place ? 0 : -1} aria-selected={event.id === selected ? "true" : "false"} onClick={() => query({ event: event.id === selected ? undefined : String(event.id) })}>
                      <td class="sec"><Time at={event.at} /></td><td class="opt"><Cell k="service" v={event.service} /></td><td class="mono"><Cell k="client" v={event.client} /></td>
                      <td class="mono" title={`${event.method} ${event.path}`}>{event.method} <Cell k="path" v={event.path} /></td>
                      <td class="opt" title={top?.message}>{top && <><Cell k="rule" v={String(top.rule)} /> {top.message}</>}</td>
                      <td class="num">{event.inbound_score + event.outbound_score}</td><td><Verdict event={event} /></td>
                    </tr>
                  );
                })}</tbody>
              </table></div>
            )}
          <div class="log-foot"><span>{found.status === "loading" ? "Searching" : `${count(found.events.length)} shown`}</span><span class="dim">of {count(found.kept)} kept</span><span class="grow" />
            {found.next !== null && <button class="btn ghost small" disabled={found.status === "more"} onClick={found.more}>{found.status === "more" ? "Loading more" : "Load more"}</button>}
            <button class="btn ghost small" onClick={found.again}><Icon n="refresh-cw" />Refresh</button></div>
        </div>
      </div></main>
      {Number.isInteger(selected) && <Inspector key={selected} id={selected} />}
    </>
  );
}

function Match({ match }: { match: WafMatch }) {
  return (
    <li>
      <div class="head-line"><Cell k="rule" v={String(match.rule)} /><span class="t">{match.message}</span></div>
      <div class="sec">phase {match.phase}{match.severity !== null && `, ${SEVERITIES[match.severity] ?? match.severity}`}{match.score > 0 && `, +${match.score} points`}</div>
      {match.variable && <code>{match.variable}</code>}
      {match.excerpt && <code class="secret">{match.excerpt}</code>}
      {match.data && <span class="dim wrap">{match.data}</span>}
    </li>
  );
}

function Inspector({ id }: { id: number }) {
  const loaded = useLoad(() => api.wafEvent(id), [id]);
  const making = useSignal(false);
  const close = () => query({ event: undefined });
  const event = loaded.value?.event;
  return (
    <aside class="insp" aria-label="Event" onKeyDown={(pressed) => { if (pressed.key === "Escape" && !making.value) close(); }}>
      <header><h2>Event {id}</h2>{event && <Verdict event={event} />}<button class="btn ghost icon" aria-label="Close" onClick={close}><Icon n="x" /></button></header>
      <div class="body" tabIndex={0} role="group" aria-label="Details">
        {loaded.error ? <Failed error={loaded.error} again={loaded.again} /> : !event ? <Bones lines={8} /> : (
          <>
            <dl class="kv">
              <dt>Time</dt><dd class="mono">{event.at}</dd>
              <dt>Service</dt><dd>{event.service}{event.route && `, route ${event.route}`}</dd>
              <dt>Client</dt><dd class="mono">{event.client}</dd>
              <dt>Request</dt><dd class="mono">{event.method} {event.host}{event.path} → {event.status}</dd>
              <dt>Incident</dt><dd class="mono">{event.incident} <Copy text={event.incident} label="Copy the incident id" /></dd>
              <dt>Score</dt><dd>{event.inbound_score} of {event.inbound_threshold}{event.outbound_score > 0 && `, response ${event.outbound_score} of ${event.outbound_threshold}`}, paranoia level {event.paranoia}</dd>
              {event.stopped_by !== null && <><dt>{event.blocked ? "Refused by" : "Would refuse"}</dt><dd class="mono">{event.stopped_by === 0 ? "a limit" : `rule ${event.stopped_by}`}</dd></>}
              {event.limit && <><dt>Limit</dt><dd>{event.limit}</dd></>}
            </dl>
            <div><h3>What matched</h3><ul class="matches">{event.matches.map((match, i) => <Match key={i} match={match} />)}</ul>{event.more > 0 && <p class="muted">{event.more} more {event.more === 1 ? "match is" : "matches are"} not kept.</p>}</div>
            {loaded.value?.audit && <details><summary>Audit record</summary><pre class="secret doc wrap">{pretty(loaded.value.audit)}</pre></details>}
          </>
        )}
      </div>
      {event && <footer>
        {admin.value && <button class="btn primary" onClick={() => (making.value = true)}><Icon n="shield-off" />Make an exception</button>}
        <button class="btn" onClick={() => only("client", event.client)}><Icon n="filter" />This client</button>
        {admin.value && <a class="btn danger" href={`/blocks?new=1&address=${encodeURIComponent(event.client)}&reason=${encodeURIComponent(`WAF event ${event.id}`)}`}><Icon n="ban" />Block address</a>}
      </footer>}
      {event && making.value && <MakeException event={event} close={() => (making.value = false)} />}
    </aside>
  );
}

function pretty(audit: string): string {
  try {
    return JSON.stringify(JSON.parse(audit), null, 2);
  } catch {
    return audit;
  }
}
