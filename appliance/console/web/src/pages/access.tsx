// Who may come in: users, API keys, open sessions, one's own password.
import type { ComponentChildren } from "preact";
import { useSignal } from "@preact/signals";
import { api } from "../api/client";
import type { User } from "../api/types";
import { Bones, Copy, Empty, Failed, Icon, Note, Pill, Time, ago } from "../parts/basics";
import { Dialog } from "../parts/dialog";
import { useLoad } from "../state/load";
import { query, route } from "../state/route";
import { admin, session } from "../state/session";
import { complain, say } from "../state/toast";
import { PasswordForm } from "./door";

type Shown = { title: string; text: string; secret: string };

/** A secret that is shown once. */
const Once = ({ shown, close }: { shown: Shown; close: () => void }) => (
  <Dialog title={shown.title} small close={close} submit={close} footer={<button class="btn primary">I have it</button>}>
    <p>{shown.text}</p>
    <div class="secret"><code>{shown.secret}</code><Copy text={shown.secret} label="Copy" /></div>
    <Note tone="warn">It is shown this once and kept nowhere.</Note>
  </Dialog>
);

type Question = { title: string; text: string; button: string; act: () => void };

/** Asks before something that cannot be taken back. */
const Ask = ({ question, close }: { question: Question; close: () => void }) => (
  <Dialog title={question.title} small close={close} submit={() => { close(); question.act(); }}
    footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary">{question.button}</button></>}>
    <p>{question.text}</p>
  </Dialog>
);

const words = (text: string) => text.split(/[\s,]+/).filter(Boolean);

function NewUser({ close, done }: { close: () => void; done: (shown: Shown) => void }) {
  const name = useSignal("");
  const roles = useSignal("viewer");
  return (
    <Dialog title="New user" small close={close} submit={() => void api.createUser({ name: name.value.trim(), roles: words(roles.value) }).then(
      (made) => { close(); done({ title: `User ${made.name}`, text: "The password for the first sign-in:", secret: made.password }); }, complain)}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary">Create</button></>}>
      <div class="field"><label for="user">Name</label><input class="input" id="user" required maxLength={64} spellcheck={false} autocapitalize="off" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} /></div>
      <div class="field"><label for="roles">Roles</label><input class="input" id="roles" required spellcheck={false} value={roles.value} onInput={(event) => (roles.value = event.currentTarget.value)} aria-describedby="roles-hint" />
        <span class="hint" id="roles-hint">Separated by spaces. <b>admin</b> changes, <b>viewer</b> sees; the configuration may define more.</span></div>
    </Dialog>
  );
}

function Users({ show }: { show: (shown: Shown) => void }) {
  const users = useLoad(api.users, []);
  const adding = useSignal(false);
  const asked = useSignal<Question | null>(null);
  const enable = (user: User) => void api.changeUser(user.name, { enabled: !user.enabled }).then(() => { say(user.enabled ? `${user.name} can no longer sign in` : `${user.name} may sign in`); users.again(); }, complain);
  const reset = (user: User) => void api.resetUser(user.name).then((made) => { show({ title: `New password for ${user.name}`, text: "All sessions have ended. The password for the next sign-in:", secret: made.password }); users.again(); }, complain);
  return (
    <section class="card" aria-label="Users">
      <header><h2>Users</h2><span class="grow" />{admin.value && <button class="btn small" onClick={() => (adding.value = true)}><Icon n="plus" />New user</button>}</header>
      <List loaded={users} empty="No users">{(list) => (
        <table><thead><tr><th>Name</th><th>Roles</th><th>State</th><th>Last sign-in</th><th><span class="vh">Actions</span></th></tr></thead><tbody>{list.map((user) => (
          <tr key={user.name}><td>{user.name}</td><td class="sec">{user.roles.join(", ")}</td>
            <td>{!user.enabled ? <Pill tone="crit"><Icon n="ban" />switched off</Pill> : user.locked_until && new Date(user.locked_until) > new Date() ? <Pill tone="warn"><Icon n="clock" />locked</Pill> : user.must_change_password ? <Pill tone="info"><Icon n="key-round" />one-time password</Pill> : <Pill tone="ok"><Icon n="check" />active</Pill>}</td>
            <td class="sec">{user.signed_in_at ? <Time at={user.signed_in_at} /> : "never"}</td>
            <td class="num actions">{admin.value && <><button class="btn ghost small" aria-label={`Reset password of ${user.name}`} onClick={() => (asked.value = { title: `Reset password of ${user.name}`, text: "The user is signed out everywhere and gets a one-time password, which you will see once.", button: "Reset password", act: () => reset(user) })}>Reset password</button>
              {user.name !== session.value?.name && <button class="btn small" aria-label={`${user.enabled ? "Switch off" : "Switch on"} ${user.name}`} onClick={() => (user.enabled ? (asked.value = { title: `Switch off ${user.name}`, text: "All sessions and API keys of the user stop working at once.", button: "Switch off", act: () => enable(user) }) : enable(user))}>{user.enabled ? "Switch off" : "Switch on"}</button>}</>}</td></tr>
        ))}</tbody></table>
      )}</List>
      {asked.value && <Ask question={asked.value} close={() => (asked.value = null)} />}
      {adding.value && <NewUser close={() => { adding.value = false; users.again(); }} done={show} />}
    </section>
  );
}

function NewKey({ close, done }: { close: () => void; done: (shown: Shown) => void }) {
  const owner = useSignal(session.value?.name ?? "");
  const roles = useSignal("viewer");
  const comment = useSignal("");
  return (
    <Dialog title="New API key" small close={close} submit={() => void api.createKey({ owner: owner.value.trim(), roles: words(roles.value), comment: comment.value.trim() }).then(
      (made) => { close(); done({ title: "API key", text: `Send it as “Authorization: Bearer …”. Its id is ${made.id}.`, secret: made.key }); }, complain)}
      footer={<><button class="btn ghost" type="button" onClick={close}>Cancel</button><button class="btn primary">Create</button></>}>
      <div class="field"><label for="owner">Whose</label><input class="input" id="owner" required maxLength={64} spellcheck={false} value={owner.value} onInput={(event) => (owner.value = event.currentTarget.value)} /></div>
      <div class="field"><label for="key-roles">Roles</label><input class="input" id="key-roles" required spellcheck={false} value={roles.value} onInput={(event) => (roles.value = event.currentTarget.value)} aria-describedby="key-roles-hint" /><span class="hint" id="key-roles-hint">At most what the owner has.</span></div>
      <div class="field"><label for="what">What for</label><input class="input" id="what" required maxLength={200} value={comment.value} onInput={(event) => (comment.value = event.currentTarget.value)} /></div>
    </Dialog>
  );
}

function Keys({ show }: { show: (shown: Shown) => void }) {
  const keys = useLoad(api.keys, []);
  const adding = route.value.searchParams.get("new") === "1" && admin.value;
  const asked = useSignal<Question | null>(null);
  const rotate = (id: string) => void api.rotateKey(id).then((made) => { show({ title: "Rotated API key", text: "The secret before works for 24 hours more. The new one:", secret: made.key }); keys.again(); }, complain);
  const revoke = (id: string) => void api.revokeKey(id).then(() => { say("The key no longer works"); keys.again(); }, complain);
  return (
    <section class="card" aria-label="API keys">
      <header><h2>API keys</h2><span class="grow" />{admin.value && <button class="btn small" onClick={() => query({ new: "1" })}><Icon n="plus" />New API key</button>}</header>
      <List loaded={keys} empty="No API keys">{(list) => (
        <table><thead><tr><th>What for</th><th>Owner</th><th>Roles</th><th>Last used</th><th>Until</th><th>Id</th><th><span class="vh">Actions</span></th></tr></thead><tbody>{list.map((key) => (
          <tr key={key.id}><td class="say">{key.comment || <span class="dim">not said</span>}</td><td>{key.owner}</td><td class="sec">{key.roles.join(", ")}</td><td class="sec">{key.used_at ? `${ago(key.used_at)} ago` : "never"}</td>
            <td>{key.revoked ? <Pill tone="crit"><Icon n="ban" />revoked</Pill> : !key.owner_enabled ? <Pill tone="crit"><Icon n="ban" />owner switched off</Pill> : <Time at={key.expires_at} seconds={false} />}</td><td class="mono dim">{key.id}</td>
            <td class="num actions">{admin.value && !key.revoked && <><button class="btn ghost small" aria-label={`Rotate key ${key.id}`} onClick={() => rotate(key.id)}>Rotate</button><button class="btn small danger" aria-label={`Revoke key ${key.id}`} onClick={() => (asked.value = { title: `Revoke key ${key.id}`, text: "Whatever uses it is refused at once. This cannot be undone.", button: "Revoke", act: () => revoke(key.id) })}>Revoke</button></>}</td></tr>
        ))}</tbody></table>
      )}</List>
      {asked.value && <Ask question={asked.value} close={() => (asked.value = null)} />}
      {adding && <NewKey close={() => { query({ new: undefined }); keys.again(); }} done={show} />}
    </section>
  );
}

function Account() {
  const sessions = useLoad(api.sessions, []);
  const end = (id: string) => void api.endSession(id).then(() => { say("The session has ended"); sessions.again(); }, complain);
  return (
    <div class="grid">
      <section class="card s8" aria-label="Open sessions">
        <header><h2>Open sessions</h2><span class="sec">{admin.value ? "of everybody" : "yours"}</span></header>
        <List loaded={sessions} empty="No sessions">{(list) => (
          <table><thead><tr><th>User</th><th>From</th><th>Opened</th><th>Last used</th><th><span class="vh">Actions</span></th></tr></thead><tbody>{list.map((one) => (
            <tr key={one.id}><td>{one.name}</td><td><span class="mono">{one.source}</span></td><td class="sec"><Time at={one.opened_at} seconds={false} /></td><td class="sec">{ago(one.used_at)} ago</td>
              <td class="num">{one.current ? <Pill tone="acc">this one</Pill> : <button class="btn small" aria-label={`End the session of ${one.name} from ${one.source}`} onClick={() => end(one.id)}>End</button>}</td></tr>
          ))}</tbody></table>
        )}</List>
      </section>
      <section class="card s4 door-form" aria-label="Password"><header><h2>Change my password</h2></header><PasswordForm first={false} done={() => { say("Password changed; your other sessions have ended"); sessions.again(); }} /></section>
    </div>
  );
}

/** A table in each of its states. */
function List<T>({ loaded, empty, children }: { loaded: { value: T[] | null; error: string | null; again: () => void }; empty: string; children: (list: T[]) => ComponentChildren }) {
  if (loaded.error) return <Failed error={loaded.error} again={loaded.again} />;
  if (!loaded.value) return <Bones />;
  if (loaded.value.length === 0) return <Empty title={empty} />;
  return <div class="scroll" tabIndex={0} role="group" aria-label="Table">{children(loaded.value)}</div>;
}

const VIEWS = [["users", "Users"], ["keys", "API keys"], ["account", "Password and sessions"]] as const;

export function Access() {
  const wanted = route.value.searchParams.get("show");
  // Who else may come in is for administrators to see.
  const views = admin.value ? VIEWS : VIEWS.filter(([key]) => key === "account");
  const view = views.find(([key]) => key === wanted)?.[0] ?? views[0]?.[0] ?? "account";
  const shown = useSignal<Shown | null>(null);
  const show = (what: Shown) => (shown.value = what);
  return (
    <main class="main" id="main" tabIndex={-1}><div class="page">
      <div class="head"><div><h1>Users and keys</h1><p>Passwords and keys are checked in the vault; nothing here can read them.</p></div><span class="grow" />
        <nav class="seg" aria-label="Users and keys">{views.map(([key, name]) => <a key={key} href={key === "users" ? "/access" : `/access?show=${key}`} aria-current={view === key ? "page" : undefined}>{name}</a>)}</nav></div>
      {view === "users" ? <Users show={show} /> : view === "keys" ? <Keys show={show} /> : <Account />}
      {shown.value && <Once shown={shown.value} close={() => (shown.value = null)} />}
    </div></main>
  );
}
