// The processes of the appliance, one card each: state, figures, and what confines it.
import type { Service } from "../api/types";
import { Bones, Icon, Note, Pill, Time, ago, bytes } from "../parts/basics";
import { appliance, state } from "../state/live";
import { ServicePill } from "./overview";

const DOES: Record<string, string> = {
  supervisor: "Starts, watches and restarts the others",
  vault: "Store, keys, users, audit log; no network",
  manager: "Transactions of the configuration",
  network: "Packet filter, zones, blocklist",
  proxy: "TLS, requests, limits, upstreams",
  console: "This page and its API",
};

function Card({ service }: { service: Service }) {
  const missing = service.confinement.filter((one) => !one.active);
  return (
    <section class="card svc s4" id={service.name} aria-label={service.name}>
      <div class="top-line"><h2>{service.name}</h2><span class="grow" /><ServicePill state={service.state} /></div>
      <p class="sec">{DOES[service.name] ?? ""}</p>
      <dl class="figures">
        <div><dt>Process</dt><dd class="mono">{service.pid ?? "–"}</dd></div>
        <div><dt>Memory</dt><dd>{service.pid ? bytes(service.memory_bytes) : "–"}</dd></div>
        <div><dt>Restarts</dt><dd>{service.restarts}</dd></div>
        <div><dt>Up</dt><dd>{service.since ? <span title={service.since}>{ago(service.since)}</span> : "–"}</dd></div>
      </dl>
      {service.last_exit && <p class="sec">Before: {service.last_exit}</p>}
      {service.confinement.length > 0 && (
        <details>
          <summary>{missing.length === 0 ? `Confined by all ${service.confinement.length} protections` : `${service.confinement.length - missing.length} of ${service.confinement.length} protections; ${missing.length} absent here`}</summary>
          <table class="plain"><tbody>{service.confinement.map((one) => (
            <tr key={one.name}><td>{one.active ? <Pill tone="ok"><Icon n="check" />active</Pill> : <Pill tone="warn"><Icon n="triangle-alert" />absent</Pill>}</td><td class="say"><b>{one.name}</b> <span class="sec">{one.detail}</span></td></tr>
          ))}</tbody></table>
        </details>
      )}
    </section>
  );
}

export function Services() {
  const list = state.value?.services;
  const audit = state.value?.audit;
  return (
    <main class="main" id="main" tabIndex={-1}><div class="page">
      <div class="head"><div><h1>Services</h1><p>Each is a process of its own that can do only its own job{appliance.value && <>, running as {appliance.value.mode}</>}.</p></div><span class="grow" />
        {audit && <Pill title="Where private keys live"><Icon n="key-round" />Keys: {audit.device}</Pill>}</div>
      {(["critical", "warning"] as const).map((level) => {
        const list = (state.value?.attention ?? []).filter((one) => one.page === "/services" && one.level === level);
        return list.length > 0 && (
          <div class="verdict" key={level}><Note tone={level === "critical" ? "crit" : "warn"}>{list.map((one) => <p key={one.title + one.detail}><b>{one.title}.</b> {one.detail}</p>)}</Note></div>
        );
      })}
      {list ? <div class="grid">{list.map((service) => <Card key={service.name} service={service} />)}</div> : <div class="card"><Bones lines={8} /></div>}
      {appliance.value && <p class="sec below">Redan {appliance.value.version}{list?.[0]?.since && <>, first service started <Time at={list.map((one) => one.since ?? "").filter(Boolean).sort()[0] ?? ""} /></>}</p>}
    </div></main>
  );
}
