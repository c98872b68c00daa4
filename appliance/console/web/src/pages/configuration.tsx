// Configuration: what runs, the versions with their differences, and the editor with commit-confirm.
import { useSignal } from "@preact/signals";
import { api } from "../api/client";
import type { Version } from "../api/types";
import { Bones, Copy, Empty, Failed, Icon, Pill, Time } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { Lines, Words } from "../parts/diff";
import { Listing } from "../parts/listing";
import { changed } from "../state/draft";
import { expect, pending, state } from "../state/live";
import { useLoad } from "../state/load";
import { go, query, route } from "../state/route";
import { admin } from "../state/session";
import { complain } from "../state/toast";
import { Editor } from "./editor";

const TABS: [string, string][] = [["/configuration", "Running"], ["/configuration/edit", "Edit"], ["/configuration/versions", "Versions"]];

const StatePill = ({ version }: { version: Version }) =>
  version.state === "running" ? <Pill tone="ok"><Icon n="check" />running</Pill> : version.state === "pending" ? <Pill tone="warn"><Icon n="clock" />waits for confirmation</Pill> : null;

function Running() {
  const number = state.value?.configuration?.number;
  const document = useLoad(api.configuration, [number, pending.value?.version]);
  if (document.error) return <div class="card"><Failed error={document.error} again={document.again} /></div>;
  if (!document.value) return <div class="card"><Bones lines={12} /></div>;
  const { version, text } = document.value;
  return (
    <section class="card fill" aria-label="Running configuration">
      <header><h2>Version {version.number}</h2><StatePill version={version} /><span class="sec clip">{version.comment}</span><span class="grow" /><span class="dim wide"><Time at={version.at} /> by {version.author}</span><Copy text={text} label="Copy the document" /></header>
      <Listing text={text} />
    </section>
  );
}

function Versions() {
  const running = state.value?.configuration;
  const versions = useLoad(api.versions, [running?.number, pending.value?.version]);
  const back = useSignal<Version | null>(null);
  if (versions.error) return <div class="card"><Failed error={versions.error} again={versions.again} /></div>;
  if (!versions.value) return <div class="card"><Bones lines={8} /></div>;
  if (versions.value.length === 0) return <div class="card"><Empty icon="history" title="No version yet" /></div>;
  return (
    <div class="card">
      <div class="scroll" tabIndex={0} role="group" aria-label="Versions, table">
        <table><thead><tr><th class="num">Version</th><th>State</th><th>When</th><th>Who</th><th>Why</th><th>SHA-256</th><th><span class="vh">Actions</span></th></tr></thead>
          <tbody>{versions.value.map((version) => (
            <tr key={version.number}>
              <td class="num"><a class="link" href={`/configuration/versions/${version.number}`}>{version.number}</a></td><td><StatePill version={version} /></td>
              <td class="sec"><Time at={version.at} /></td><td>{version.author}</td><td class="say">{version.comment || <span class="dim">none given</span>}</td><td class="mono dim">{version.hash.slice(0, 12)}</td>
              <td class="num actions">
                {version.number > 1 && <a class="btn ghost small" href={`/configuration/versions/${version.number}?against=${version.number - 1}`} aria-label={`Changes of version ${version.number}`}>Changes</a>}
                {version.state === "idle" && admin.value && !pending.value && <button class="btn small" aria-label={`Return to version ${version.number}`} onClick={() => (back.value = version)}>Return to</button>}
              </td></tr>
          ))}</tbody></table>
      </div>
      {back.value && <Return version={back.value} close={() => (back.value = null)} />}
    </div>
  );
}

function Return({ version, close }: { version: Version; close: () => void }) {
  const running = state.value?.configuration?.number ?? 0;
  const diff = useLoad(() => api.diff(running, version.number), []);
  const busy = useSignal(false);
  const submit = () => {
    busy.value = true;
    api.rollback({ version: version.number, confirm_within_s: 60 }).then((waiting) => { expect(waiting); close(); }, complain).finally(() => (busy.value = false));
  };
  return (
    <Dialog title={`Return to version ${version.number}`} close={close} submit={submit}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary" disabled={busy.value || !diff.value}>Apply, take back in 60 s unless kept</button></>}>
      <p>Its text becomes a new version; nothing in between is lost.</p>
      {diff.error ? <Failed error={diff.error} again={diff.again} /> : diff.value ? <><Words changes={diff.value.changes} /><Lines lines={diff.value.lines} /></> : <Bones />}
    </Dialog>
  );
}

function One({ number }: { number: number }) {
  const against = Number(route.value.searchParams.get("against") ?? NaN);
  const comparing = Number.isInteger(against) && against > 0;
  const document = useLoad(() => api.version(number), [number, state.value?.configuration?.number]);
  const versions = useLoad(api.versions, []);
  const diff = useLoad(() => (comparing ? api.diff(against, number) : Promise.resolve(null)), [number, against]);
  if (document.error) return <div class="card"><Failed error={document.error} again={document.again} /></div>;
  if (!document.value) return <div class="card"><Bones lines={12} /></div>;
  const { version, text } = document.value;
  return (
    <section class="card fill" aria-label={`Version ${number}`}>
      <header><h2>Version {number}</h2><StatePill version={version} /><span class="sec clip">{version.comment}</span><span class="grow" />
        <label class="sec" for="against">Compared with</label>
        <select class="input" id="against" value={comparing ? String(against) : ""} onChange={(event) => query({ against: event.currentTarget.value || undefined }, "push")}>
          <option value="">nothing</option>{(versions.value ?? []).filter((one) => one.number !== number).map((one) => <option key={one.number} value={String(one.number)}>version {one.number}</option>)}
        </select><Copy text={text} label="Copy the document" /></header>
      {!comparing ? <Listing text={text} /> : diff.error ? <Failed error={diff.error} again={diff.again} /> : !diff.value ? <Bones /> : diff.value.lines.length === 0 ? <Empty icon="check" title="The two are the same" /> : (
        <div class="pane">{diff.value.changes.length > 0 && <div class="padded"><Words changes={diff.value.changes} /></div>}<Lines lines={diff.value.lines} tall /></div>
      )}
    </section>
  );
}

export function Configuration() {
  const path = route.value.pathname;
  const one = /^\/configuration\/versions\/(\d+)$/.exec(path);
  const tab = one ? "/configuration/versions" : path;
  return (
    <main class="main" id="main" tabIndex={-1}><div class="page full">
      <div class="head"><div><h1>Configuration</h1><p>One document, checked as a whole, applied by all services or none, taken back unless somebody keeps it.</p></div><span class="grow" />
        <nav class="seg" aria-label="Configuration">{TABS.map(([to, name]) => <a key={to} href={to} aria-current={tab === to ? "page" : undefined}>{name}{to.endsWith("edit") && changed.value && <Pill tone="acc">draft</Pill>}</a>)}</nav></div>
      {one ? <One number={Number(one[1])} /> : path === "/configuration/versions" ? <Versions /> : path === "/configuration/edit" ? <Editor /> : path === "/configuration" ? <Running /> : (
        <div class="card"><Empty title="There is no such page"><button class="btn" onClick={() => go("/configuration")}>Running configuration</button></Empty></div>
      )}
    </div></main>
  );
}
