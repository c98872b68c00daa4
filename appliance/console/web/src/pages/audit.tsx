// The audit log: search, filters from any value, a list that draws only what is seen, the entry beside it, verification, export.
import { useEffect, useRef } from "preact/hooks";
import { useComputed, useSignal } from "@preact/signals";
import { api, auditQuery, words, type AuditQuery } from "../api/client";
import type { AuditEntry, Outcome, Verification } from "../api/types";
import { Bones, Copy, Empty, Failed, Icon, Note, Pill, Time, count, span } from "../parts/basics";
import { go, query, route } from "../state/route";
import { admin } from "../state/session";
import { state } from "../state/live";
import { spoken } from "../parts/spoken";

const ROW = 34;
const PAGE = 200;
const FILTERS = ["actor", "action", "resource", "outcome"] as const;
type Filter = (typeof FILTERS)[number];
const OUTCOMES: Record<Outcome, string> = { succeeded: "done", denied: "refused", failed: "failed" };

const filters = (): AuditQuery => {
  const at = route.value.searchParams;
  const one = (key: string) => at.get(key) ?? undefined;
  const made: AuditQuery = {};
  for (const key of ["text", "actor", "action", "resource", "outcome", "from", "until"] as const) {
    const value = one(key);
    if (value) made[key] = value;
  }
  return made;
};

/** The entries that match the URL, fetched page by page as they are scrolled to. */
function useEntries() {
  const entries = useSignal<AuditEntry[]>([]);
  const size = useSignal(0);
  const next = useSignal<number | null>(null);
  const status = useSignal<"loading" | "more" | "idle" | "failed">("loading");
  const error = useSignal("");
  const turn = useRef<AbortController | null>(null);
  const wanted = JSON.stringify(filters());
  const fetch = (before?: number) => {
    turn.current?.abort();
    const mine = (turn.current = new AbortController());
    status.value = before === undefined ? "loading" : "more";
    api.audit({ ...(JSON.parse(wanted) as AuditQuery), limit: PAGE, ...(before === undefined ? {} : { before }) }, mine.signal).then(
      (page) => {
        if (mine.signal.aborted) return;
        entries.value = before === undefined ? page.entries : [...entries.value, ...page.entries];
        size.value = page.size;
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
    entries: entries.value, size: size.value, next: next.value, status: status.value, error: error.value,
    again: () => fetch(),
    more: () => {
      if (status.peek() === "idle" && next.peek() !== null) fetch(next.peek() ?? undefined);
    },
  };
}

const only = (key: Filter, value: string) => query({ [key]: value, entry: undefined }, "push");

const Cell = ({ k, v, c = "" }: { k: Filter; v: string; c?: string }) => (
  <button class={`cell ${c}`} tabIndex={-1} title={`Only ${k} ${v}`} onClick={(event) => { event.stopPropagation(); only(k, v); }}>{k === "outcome" ? OUTCOMES[v as Outcome] : v}</button>
);

function Search() {
  const at = route.value.searchParams;
  const typed = useSignal(at.get("text") ?? "");
  const timer = useRef<number>();
  useEffect(() => {
    typed.value = at.get("text") ?? "";
  }, [at.get("text")]);
  const set = (text: string) => {
    typed.value = text;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => query({ text: text || undefined }), 250);
  };
  const active = FILTERS.filter((key) => at.get(key));
  return (
    <div class="tools">
      <input class="input" type="search" data-filter aria-label="Search the audit log" placeholder="Search in any field" size={28} value={typed.value}
        onInput={(event) => set(event.currentTarget.value)} />
      <select class="input" aria-label="Outcome" value={at.get("outcome") ?? ""} onChange={(event) => query({ outcome: event.currentTarget.value || undefined }, "push")}>
        <option value="">Any outcome</option><option value="succeeded">Done</option><option value="denied">Refused</option><option value="failed">Failed</option>
      </select>
      <div class="chips">
        {active.map((key) => (
          <span class="chip" key={key}>{key} = {at.get(key)}<button aria-label={`Remove the filter on ${key}`} onClick={() => query({ [key]: undefined }, "push")}><Icon n="x" /></button></span>
        ))}
        {(active.length > 0 || at.get("text")) && <button class="btn ghost small" onClick={() => go("/audit")}><Icon n="filter-x" />Clear</button>}
      </div>
      <span class="grow" />
      <a class="btn" href={`/api/v1/audit/export${auditQuery({})}`} download="redan-audit.jsonl"><Icon n="download" />Export for verification</a>
    </div>
  );
}

export function Verdict({ report }: { report: Verification }) {
  return report.sound ? (
    <Note tone="ok" role="status">
      <b>The log is sound.</b> All {count(report.size)} entries hash into the signed root, checked in {span(report.took_us / 1000) === "0 s" ? `${(report.took_us / 1000).toFixed(1)} ms` : span(report.took_us / 1000)}.
      <dl class="kv"><dt>Root</dt><dd class="mono">{report.root}</dd><dt>Signed by</dt><dd class="mono">{report.key}</dd><dt>Checkpoint</dt><dd><Time at={report.checkpoint_at} /></dd></dl>
    </Note>
  ) : (
    <Note tone="crit" role="alert">
      <b>The log is damaged: {report.problems.length} {report.problems.length === 1 ? "mistake" : "mistakes"} in {count(report.size)} entries.</b>
      <ul class="words">{report.problems.map((problem) => <li key={problem}>{problem}</li>)}</ul>
    </Note>
  );
}

function Verify() {
  const busy = useSignal(false);
  const report = useSignal<Verification | null>(null);
  const error = useSignal<string | null>(null);
  const run = () => {
    busy.value = true;
    error.value = null;
    api.verify().then(
      (found) => { report.value = found; spoken.value = found.sound ? "The audit log is sound." : "The audit log is damaged."; },
      (failure: unknown) => (error.value = words(failure)),
    ).finally(() => (busy.value = false));
  };
  useEffect(() => {
    if (route.value.searchParams.get("verify") === "now") {
      query({ verify: undefined });
      run();
    }
  }, [route.value.search]);
  const last = state.value?.audit?.verified;
  return {
    button: (
      <>
        {last && !report.value && <Pill tone={last.sound ? "ok" : "crit"}><Icon n={last.sound ? "badge-check" : "octagon-alert"} />{last.sound ? "Verified" : "Damaged"} <Time at={last.at} seconds={false} /></Pill>}
        <button class="btn primary" disabled={busy.value} onClick={run}><Icon n="badge-check" />{busy.value ? "Verifying" : "Verify"}</button>
      </>
    ),
    result: (
      <>
        {error.value && <div class="verdict"><Note tone="crit" role="alert">{error.value}</Note></div>}
        {report.value && <div class="verdict"><Verdict report={report.value} /></div>}
      </>
    ),
  };
}

export function Audit() {
  const found = useEntries();
  const verify = Verify();
  const top = useSignal(0);
  const tall = useSignal(600);
  const list = useRef<HTMLDivElement>(null);
  const selected = Number(route.value.searchParams.get("entry") ?? NaN);
  const place = found.entries.findIndex((entry) => entry.sequence === selected);
  const entry = found.entries[place];
  useEffect(() => {
    const element = list.current;
    if (!element) return;
    const watch = new ResizeObserver(() => (tall.value = element.clientHeight));
    watch.observe(element);
    return () => watch.disconnect();
  }, [found.status === "loading" && found.entries.length === 0]);
  const first = Math.max(0, Math.floor(top.value / ROW) - 8);
  const shown = found.entries.slice(first, first + Math.ceil(tall.value / ROW) + 16);
  const wantsMore = useComputed(() => top.value + tall.value > (found.entries.length - 40) * ROW);
  useEffect(() => {
    if (wantsMore.value) found.more();
  }, [wantsMore.value, found.entries.length]);
  const select = (index: number) => {
    const next = found.entries[Math.max(0, Math.min(index, found.entries.length - 1))];
    if (!next || !list.current) return;
    query({ entry: String(next.sequence) });
    const at = found.entries.indexOf(next) * ROW;
    if (at < list.current.scrollTop) list.current.scrollTop = at;
    else if (at + ROW > list.current.scrollTop + list.current.clientHeight) list.current.scrollTop = at + ROW - list.current.clientHeight;
  };
  const keys = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "j" || event.key === "ArrowDown") select(place < 0 ? first : place + 1);
    else if (event.key === "k" || event.key === "ArrowUp") select(place < 0 ? first : place - 1);
    else if (event.key === "Escape") query({ entry: undefined });
    else if (event.key === "Home") select(0);
    else if (event.key === "End") select(found.entries.length - 1);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <main class="main" id="main" tabIndex={-1}><div class="page full">
        <div class="head"><div><h1>Audit log</h1><p>Who did what, when and from where. Every entry is a leaf of a Merkle tree whose root the appliance signs.</p></div><span class="grow" />{verify.button}</div>
        {verify.result}
        <Search />
        <div class="card log-card">
          <div class="lhead" aria-hidden="true"><span class="num">Entry</span><span>Time</span><span>Actor</span><span>Action</span><span class="opt">Resource</span><span>Outcome</span></div>
          {found.status === "failed" ? <Failed error={found.error} again={found.again} />
            : found.status === "loading" && found.entries.length === 0 ? <Bones lines={12} />
            : found.entries.length === 0 ? (
              <Empty icon="filter" title="No entry matches"><button class="btn" onClick={() => go("/audit")}>Clear the filters</button></Empty>
            ) : (
              <div class="log" ref={list} role="grid" aria-label="Entries" aria-rowcount={found.next === null ? found.entries.length : -1} aria-colcount={6} tabIndex={0}
                aria-activedescendant={entry && shown.includes(entry) ? `entry-${entry.sequence}` : undefined} onKeyDown={keys} onScroll={(event) => (top.value = event.currentTarget.scrollTop)}>
                <div class="inner" role="rowgroup" style={{ height: `${found.entries.length * ROW}px` }}>
                  {shown.map((one, i) => (
                    <div key={one.sequence} id={`entry-${one.sequence}`} role="row" aria-rowindex={first + i + 1} aria-selected={one === entry ? "true" : "false"} class={one === entry ? "lr sel" : "lr"}
                      style={{ top: `${(first + i) * ROW}px` }} onClick={() => query({ entry: one === entry ? undefined : String(one.sequence) })}>
                      <span role="gridcell" class="num mono sec">{one.sequence}</span><span role="gridcell" class="sec"><Time at={one.at} /></span>
                      <span role="gridcell"><Cell k="actor" v={one.actor} /></span><span role="gridcell"><Cell k="action" v={one.action} /></span>
                      <span role="gridcell" class="opt">{one.resource ? <Cell k="resource" v={one.resource} /> : null}</span>
                      <span role="gridcell"><Cell k="outcome" v={one.outcome} c={`out ${one.outcome}`} /></span>
                    </div>
                  ))}
                </div>
              </div>
            )}
          <div class="log-foot"><span>{found.status === "loading" ? "Searching" : `${count(found.entries.length)} shown${found.next === null ? "" : ", more below"}`}</span><span class="dim">of {count(found.size)} in the log</span>
            <span class="grow" />{found.status === "more" && <span>Loading more</span>}<button class="btn ghost small" onClick={found.again}><Icon n="refresh-cw" />Refresh</button></div>
        </div>
      </div></main>
      {entry && <Inspector entry={entry} />}
    </>
  );
}

function Inspector({ entry }: { entry: AuditEntry }) {
  const close = () => query({ entry: undefined });
  return (
    <aside class="insp" aria-label="Entry" onKeyDown={(event) => { if (event.key === "Escape") close(); }}>
      <header><h2>Entry {entry.sequence}</h2><span class={`out ${entry.outcome}`}>{OUTCOMES[entry.outcome]}</span>
        <button class="btn ghost icon" aria-label="Close" onClick={close}><Icon n="x" /></button></header>
      <div class="body" tabIndex={0} role="group" aria-label="Details">
        {entry.message && <p class="wrap">{entry.message}</p>}
        <dl class="kv">
          <dt>Time</dt><dd class="mono">{entry.at}</dd>
          <dt>Actor</dt><dd>{entry.actor}</dd>
          <dt>Action</dt><dd class="mono">{entry.action}</dd>
          {entry.resource && <><dt>Resource</dt><dd class="mono">{entry.resource}</dd></>}
          {entry.address && <><dt>Address</dt><dd class="mono">{entry.address}</dd></>}
          {entry.agent && <><dt>User agent</dt><dd>{entry.agent}</dd></>}
          {entry.incident && <><dt>Incident</dt><dd class="mono">{entry.incident} <Copy text={entry.incident} label="Copy the incident id" /></dd></>}
          {entry.request && <><dt>Request</dt><dd class="mono">{entry.request.method} {entry.request.path} → {entry.request.status}</dd>
            {entry.request.count > 1 && <><dt>Stands for</dt><dd>{entry.request.count} such requests</dd></>}</>}
        </dl>
        {entry.before !== null && <div><h3>Before</h3><pre class="secret doc wrap">{entry.before}</pre></div>}
        {entry.after !== null && <div><h3>After</h3><pre class="secret doc wrap">{entry.after}</pre></div>}
      </div>
      <footer>
        <button class="btn" onClick={() => only("actor", entry.actor)}><Icon n="filter" />This actor</button>
        <button class="btn" onClick={() => only("action", entry.action)}><Icon n="filter" />This action</button>
        {entry.address && admin.value && <a class="btn danger" href={`/blocks?new=1&address=${encodeURIComponent(entry.address)}&reason=${encodeURIComponent(`audit entry ${entry.sequence}: ${entry.action}`)}`}><Icon n="ban" />Block address</a>}
      </footer>
    </aside>
  );
}
