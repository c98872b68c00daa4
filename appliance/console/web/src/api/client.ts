// The one place that talks to the API. Every answer is either the value or a `Refused` with the appliance's own words.
import type {
  ApiKey, AuditPage, Block, Candidate, Check, Commit, Diff, Document, Failure, IssuedApiKey, Login, Mistake, NewApiKey, NewBlock, NewUser,
  OneTimePassword, OpenSession, Overview, PasswordChange, Pending, Rollback, Seal, SealShare, Session, User, UserChange, Verification, Version,
} from "./types";

/** An error that the API answered, or that kept it from answering (`unreachable`). */
export class Refused extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly incident: string, readonly mistakes: Mistake[]) {
    super(message);
  }
}

let signedOut: () => void = () => {};

/** Sets what happens when the appliance says that nobody is signed in. */
export function onSignedOut(what: () => void): void {
  signedOut = what;
}

async function call<T>(method: string, path: string, body?: unknown, abort?: AbortSignal): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`/api/v1${path}`, {
      method,
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      // A form of another site cannot send this header; the server asks for it on everything that changes something.
      headers: { "x-redan-console": "1", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(abort ? { signal: abort } : {}),
    });
  } catch (error) {
    if (abort?.aborted) throw error;
    throw new Refused(0, "unreachable", "The appliance does not answer. It may be restarting, or the network is cut.", "", []);
  }
  if (answer.status === 204) return undefined as T;
  const text = await answer.text();
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Refused(answer.status, "unreadable", "The appliance's answer cannot be read.", "", []);
  }
  if (answer.ok) return value as T;
  const failure = value as Failure;
  if (answer.status === 401 && path !== "/login") signedOut();
  throw new Refused(answer.status, failure.code, failure.message, failure.incident, failure.mistakes ?? []);
}

const get = <T>(path: string, abort?: AbortSignal) => call<T>("GET", path, undefined, abort);
const post = <T>(path: string, body?: unknown) => call<T>("POST", path, body ?? {});
const remove = <T>(path: string) => call<T>("DELETE", path);
const part = encodeURIComponent;

/** Filters of the audit log; empty values are left out. */
export type AuditQuery = { text?: string; actor?: string; action?: string; resource?: string; outcome?: string; from?: string; until?: string; before?: number; limit?: number };

/** The query of the audit log's URL, the same for pages and for the export. */
export function auditQuery(query: AuditQuery): string {
  const list = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value !== undefined && value !== "") list.set(key, String(value));
  const text = list.toString();
  return text && `?${text}`;
}

export const api = {
  login: (login: Login) => post<Session>("/login", login),
  logout: () => post<void>("/logout"),
  session: () => get<Session | null>("/session"),
  seal: () => get<Seal>("/seal"),
  unseal: (share: SealShare) => post<Seal>("/seal/unseal", share),
  password: (change: PasswordChange) => post<Session>("/password", change),
  sessions: () => get<OpenSession[]>("/sessions"),
  endSession: (id: string) => remove<void>(`/sessions/${part(id)}`),
  overview: (abort?: AbortSignal) => get<Overview>("/overview", abort),
  audit: (query: AuditQuery, abort?: AbortSignal) => get<AuditPage>(`/audit${auditQuery(query)}`, abort),
  verify: () => post<Verification>("/audit/verify"),
  configuration: () => get<Document>("/configuration"),
  versions: () => get<Version[]>("/configuration/versions"),
  version: (number: number) => get<Document>(`/configuration/versions/${number}`),
  diff: (from: number, to: number) => get<Diff>(`/configuration/diff?from=${from}&to=${to}`),
  check: (candidate: Candidate) => post<Check>("/configuration/check", candidate),
  commit: (commit: Commit) => post<Pending>("/configuration/commit", commit),
  confirm: (version: number) => post<void>("/configuration/confirm", { version }),
  rollback: (rollback: Rollback) => post<Pending | null>("/configuration/rollback", rollback),
  users: () => get<User[]>("/users"),
  createUser: (user: NewUser) => post<OneTimePassword>("/users", user),
  changeUser: (name: string, change: UserChange) => call<void>("PATCH", `/users/${part(name)}`, change),
  resetUser: (name: string) => post<OneTimePassword>(`/users/${part(name)}/reset`),
  keys: () => get<ApiKey[]>("/keys"),
  createKey: (key: NewApiKey) => post<IssuedApiKey>("/keys", key),
  rotateKey: (id: string) => post<IssuedApiKey>(`/keys/${part(id)}/rotate`),
  revokeKey: (id: string) => remove<void>(`/keys/${part(id)}`),
  blocks: () => get<Block[]>("/blocks"),
  block: (block: NewBlock) => post<void>("/blocks", block),
  unblock: (address: string) => remove<void>(`/blocks?address=${part(address)}`),
};

/** What an error says to a person. */
export function words(error: unknown): string {
  if (error instanceof Refused) return error.incident ? `${error.message} (incident ${error.incident})` : error.message;
  return error instanceof Error ? error.message : String(error);
}
