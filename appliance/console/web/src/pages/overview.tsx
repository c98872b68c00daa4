// Overview: what runs, what passes, what asks for a person, what changed.
import type { Sample, ServiceState } from "../api/types";
import { Bones, Empty, Icon, Pill, Time, ago, bytes, count } from "../parts/basics";
import { Traffic, pointed } from "../parts/chart";
import { Spark } from "../parts/spark";
import { appliance, link, recent, refresh, refusals, state, traffic } from "../state/live";

const sum = (samples: Sample[], of: (sample: Sample) => number) => samples.reduce((total, sample) => total + of(sample), 0);

/** A duration with a unit that fits. */
function duration(us: number): [string, string] {
  if (us < 1000) return [String(us), "µs"];
  if (us < 1_000_000) return [(us / 1000).toFixed(us < 10_000 ? 1 : 0), "ms"];
  return [(us / 1_000_000).toFixed(1), "s"];
}

function Figure({ title, value, unit, aside, bad, values }: { title: string; value: string; unit?: string; aside: string; bad?: boolean; values: number[] }) {
  return (
    <section class="card kpi s3" aria-label={title}>
      <h2 class="k">{title}</h2><span class="delta">{aside}</span>
      <div class="v">{value}{unit && <small>{unit}</small>}</div><span />
      <Spark values={values} bad={bad ?? false} />
    </section>
  );
}

function Figures() {
  const minute = traffic.value.slice(-60);
  const last = minute.at(-1);
  const requests = sum(minute, (s) => s.requests);
  const refused = sum(minute, (s) => s.refused);
  const failed = sum(minute, (s) => s.failed);
  const timed = (last?.p99_us ?? 0) > 0;
  const [p99, unit] = duration(last?.p99_us ?? 0);
  const [p50, unit50] = duration(last?.p50_us ?? 0);
  return (
    <>
      <Figure title="Requests, last minute" value={count(requests)} aside={`${last?.requests ?? 0}/s now`} values={minute.map((s) => s.requests)} />
      <Figure title="Refused, last minute" value={count(refused)} aside={requests ? `${((refused / requests) * 100).toFixed(1)} %` : "0 %"} bad values={minute.map((s) => s.refused)} />
      <Figure title="Latency, p99" value={timed ? p99 : "–"} unit={timed ? unit : ""} aside={timed ? `median ${p50} ${unit50}` : "no requests"} values={minute.map((s) => s.p99_us)} />
      <Figure title="Open connections" value={count(last?.connections ?? 0)} aside={failed ? `${count(failed)} upstream failures` : ""} values={minute.map((s) => s.connections)} />
    </>
  );
}

function Chart() {
  const samples = traffic.value;
  const sample = pointed.value === null ? samples.at(-1) : (samples[pointed.value] ?? samples.at(-1));
  return (
    <section class="card s8 traffic" aria-label="Traffic">
      <header><h2>Traffic</h2><span class="dim">{pointed.value !== null && sample ? <Time at={new Date(sample.at * 1000).toISOString()} /> : "last 15 minutes"}</span><span class="grow" />
        <div class="legend"><span><i />Allowed <output>{sample ? sample.requests - sample.refused : 0}</output>/s</span><span class="b"><i />Refused <output>{sample?.refused ?? 0}</output>/s</span></div></header>
      <Traffic />
    </section>
  );
}

function Attention() {
  const list = state.value?.attention ?? [];
  return (
    <section class="card s4" aria-label="Needs attention">
      <header><h2>Needs attention</h2><span class="grow" />{list.length > 0 && <Pill tone={list[0]?.level === "critical" ? "crit" : "warn"}>{list.length}</Pill>}</header>
      {list.length === 0 ? <Empty icon="badge-check" title="Nothing asks for you">All services run.</Empty> : (
        <ul class="rows">{list.slice(0, 5).map((one) => (
          <li key={one.title} class={one.level}><Icon n={one.level === "critical" ? "octagon-alert" : "triangle-alert"} />
            <div><div class="t">{one.title}<span class="vh"> ({one.level})</span></div><div class="dim">{one.detail}</div></div>
            {one.page !== "/" && <a class="btn small" href={one.page} aria-label={`Open: ${one.title}`}>Open</a>}</li>
        ))}</ul>
      )}
    </section>
  );
}

function Refusals() {
  const list = refusals.value.slice(0, 7);
  const most = Math.max(1, ...list.map((one) => one.count));
  return (
    <section class="card s5" aria-label="Refused by reason">
      <header><h2>Refused by reason</h2><span class="dim">last 15 minutes</span></header>
      {list.length === 0 ? <Empty icon="shield-check" title="Nothing was refused" /> : (
        <ul class="bars">{list.map((one) => (
          <li key={one.reason}><span class="clip" title={one.reason}>{one.reason}</span><meter aria-label={one.reason} min={0} max={most} value={one.count} /><span class="num">{count(one.count)}</span></li>
        ))}</ul>
      )}
    </section>
  );
}

function Services() {
  const list = state.value?.services ?? [];
  return (
    <section class="card s7" aria-label="Services">
      <header><h2>Services</h2><span class="grow" /><a class="btn ghost small" href="/services">All figures</a></header>
      <div class="scroll" tabIndex={0} role="group" aria-label="Services, table">
        <table><thead><tr><th>Service</th><th>State</th><th class="num">Memory</th><th class="num">Restarts</th><th>Since</th><th>Confinement</th></tr></thead>
          <tbody>{list.map((service) => {
            const missing = service.confinement.filter((one) => !one.active).length;
            return (
              <tr key={service.name}><td><a class="t" href={`/services#${service.name}`}>{service.name}</a></td>
                <td><ServicePill state={service.state} /></td><td class="num">{service.pid ? bytes(service.memory_bytes) : "–"}</td><td class="num">{service.restarts}</td>
                <td class="sec">{service.since ? ago(service.since) : "–"}</td>
                <td class="sec">{missing ? `${service.confinement.length - missing} of ${service.confinement.length}` : service.confinement.length ? `all ${service.confinement.length}` : "–"}</td></tr>
            );
          })}</tbody></table>
      </div>
    </section>
  );
}

export const ServicePill = ({ state }: { state: ServiceState }) => {
  if (state === "ready") return <Pill tone="ok"><Icon n="check" />Ready</Pill>;
  if (state === "starting") return <Pill tone="warn"><Icon n="clock" />Starting</Pill>;
  if (state === "stopped") return <Pill><Icon n="x" />Stopped</Pill>;
  return <Pill tone="crit"><Icon n="octagon-alert" />Down, starts again</Pill>;
};

function Recent() {
  const list = recent.value.slice(0, 6);
  return (
    <section class="card s12" aria-label="Recent audit entries">
      <header><h2>Recently in the audit log</h2><span class="grow" /><a class="btn ghost small" href="/audit">Audit log</a></header>
      {list.length === 0 ? <Empty title="No entries yet" /> : (
        <ul class="rows">{list.map((entry) => (
          <li key={entry.sequence}><Icon n={entry.action.startsWith("configuration") ? "git-compare" : entry.action.includes("key") ? "key-round" : entry.outcome === "succeeded" ? "scroll-text" : "triangle-alert"} />
            <a class="clip" href={`/audit?entry=${entry.sequence}`}><span class="t">{entry.action}</span> <span class="sec">{entry.resource}</span><span class="dim"> · {entry.actor}{entry.message && ` · ${entry.message}`}</span></a>
            <span class="dim"><Time at={entry.at} /></span></li>
        ))}</ul>
      )}
    </section>
  );
}

export function Overview() {
  const now = state.value;
  const running = now?.configuration;
  const verified = now?.audit?.verified;
  const down = now?.services.filter((service) => service.state !== "ready").length ?? 0;
  return (
    <main class="main" id="main" tabIndex={-1}><div class="page">
      <div class="head">
        <div><h1>Overview</h1><p>{running ? <>{appliance.value?.name} · <a href={`/configuration/versions/${running.number}`}>configuration version {running.number}</a> · committed <Time at={running.at} seconds={false} /> by {running.author}</> : (appliance.value?.name ?? "…")}</p></div>
        <span class="grow" />
        {now && (down === 0 ? <Pill tone="ok"><Icon n="check" />All services running</Pill> : <Pill tone="crit"><Icon n="octagon-alert" />{down} not running</Pill>)}
        {now?.audit && (verified
          ? verified.sound ? <Pill tone="ok"><Icon n="badge-check" />Audit log verified {ago(verified.at)} ago</Pill> : <Pill tone="crit"><Icon n="octagon-alert" />Audit log is damaged</Pill>
          : <a href="/audit?verify=now"><Pill><Icon n="badge-check" />Audit log not yet verified</Pill></a>)}
      </div>
      {now ? (
        <div class="grid"><Figures /><Chart /><Attention /><Services /><Refusals /><Recent /></div>
      ) : link.value === "lost" ? (
        <div class="card"><div class="state" role="alert"><Icon n="plug-zap" /><b>The appliance does not answer</b><div>Trying again every two seconds.</div><button class="btn" onClick={refresh}>Try now</button></div></div>
      ) : <div class="card"><Bones lines={9} /></div>}
    </div></main>
  );
}
