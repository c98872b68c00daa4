// Addresses that the packet filter drops, each until a time.
import { useEffect } from "preact/hooks";
import { useSignal } from "@preact/signals";
import { api } from "../api/client";
import { Bones, Empty, Failed, Icon, Note, Pill, Time, span } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { useLoad } from "../state/load";
import { query, route } from "../state/route";
import { admin } from "../state/session";
import { complain, say } from "../state/toast";

const TIMES: [number, string][] = [[600, "10 minutes"], [3600, "1 hour"], [86_400, "1 day"], [604_800, "7 days"], [2_592_000, "30 days"]];

function NewBlock({ close, done }: { close: () => void; done: () => void }) {
  const at = route.value.searchParams;
  const address = useSignal(at.get("address") ?? "");
  const reason = useSignal(at.get("reason") ?? "");
  const seconds = useSignal(3600);
  const busy = useSignal(false);
  const submit = () => {
    busy.value = true;
    api.block({ address: address.value.trim(), seconds: seconds.value, reason: reason.value.trim() }).then(
      () => { say(`${address.value.trim()} is cut off`); done(); close(); },
      complain,
    ).finally(() => (busy.value = false));
  };
  return (
    <Dialog title="Block an address" small close={close} submit={submit}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary" disabled={busy.value}>Block</button></>}>
      <div class="field"><label for="address">Address or network</label><input class="input mono" id="address" required maxLength={64} spellcheck={false} placeholder="192.0.2.7 or 192.0.2.0/24"
        value={address.value} onInput={(event) => (address.value = event.currentTarget.value)} /></div>
      <div class="field"><label for="time">For</label><select class="input" id="time" value={String(seconds.value)} onChange={(event) => (seconds.value = Number(event.currentTarget.value))}>
        {TIMES.map(([value, name]) => <option key={value} value={value}>{name}</option>)}</select></div>
      <div class="field"><label for="reason">Why</label><input class="input" id="reason" required maxLength={200} value={reason.value} onInput={(event) => (reason.value = event.currentTarget.value)} /></div>
      <Note tone="warn">Connections that are open are cut at once. The block ends by itself.</Note>
    </Dialog>
  );
}

export function Blocks() {
  const blocks = useLoad(api.blocks, []);
  const adding = route.value.searchParams.get("new") === "1" && admin.value;
  const close = () => query({ new: undefined, address: undefined, reason: undefined });
  const lift = (address: string) => void api.unblock(address).then(() => { say(`${address} is let in again`); blocks.again(); }, complain);
  useEffect(() => {
    const timer = setInterval(blocks.again, 30_000);
    return () => clearInterval(timer);
  }, []);
  return (
    <main class="main" id="main" tabIndex={-1}><div class="page">
      <div class="head"><div><h1>Blocked addresses</h1><p>Dropped by the packet filter before anything else looks at them.</p></div><span class="grow" />
        {admin.value && <button class="btn primary" onClick={() => query({ new: "1" })}><Icon n="plus" />Block an address</button>}</div>
      <div class="card">
        {blocks.error ? <Failed error={blocks.error} again={blocks.again} /> : !blocks.value ? <Bones /> : blocks.value.length === 0 ? (
          <Empty icon="shield-check" title="No address is blocked">Block one here, or from an entry of the audit log.</Empty>
        ) : (
          <div class="scroll" tabIndex={0} role="group" aria-label="Blocked addresses, table"><table><thead><tr><th>Address</th><th>Why</th><th>Until</th><th>Left</th><th><span class="vh">Actions</span></th></tr></thead>
            <tbody>{blocks.value.map((block) => (
              <tr key={block.address}><td class="mono">{block.address}</td><td class="say">{block.reason}</td>
                <td>{block.until ? <Time at={block.until} /> : <Pill>configuration</Pill>}</td><td class="sec">{block.until ? span(new Date(block.until).getTime() - Date.now()) : "–"}</td>
                <td class="num">{admin.value && block.until && <button class="btn small" onClick={() => lift(block.address)} aria-label={`Let in ${block.address}`}>Let in</button>}</td></tr>
            ))}</tbody></table></div>
        )}
      </div>
      {adding && <NewBlock close={close} done={blocks.again} />}
    </div></main>
  );
}
