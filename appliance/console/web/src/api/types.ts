// Made from the server's types (src/api/model); a test compares. To write it anew:
// REDAN_WRITE_TYPES=1 cargo test -p redan-console the_pages_types

export type ApiKey = { 
/**
 * Its id, which is not the key.
 */
id: string, 
/**
 * Whose it is.
 */
owner: string, 
/**
 * The roles it acts with.
 */
roles: Array<string>, 
/**
 * What for.
 */
comment: string, 
/**
 * When it was made.
 */
created_at: string, 
/**
 * Works until then.
 */
expires_at: string, 
/**
 * Where rotated: the secret before works until then.
 */
previous_until: string | null, 
/**
 * Used last, to the minute.
 */
used_at: string | null, 
/**
 * Whether an administrator ended it.
 */
revoked: boolean, 
/**
 * Whether its owner is switched on; a key of one who is not does nothing.
 */
owner_enabled: boolean, };

export type Appliance = { 
/**
 * Its name in the configuration.
 */
name: string, 
/**
 * How it runs: `appliance`, or one of the evaluation modes.
 */
mode: string, 
/**
 * Whether that is an evaluation: software keys, generated certificates.
 */
evaluation: boolean, 
/**
 * Redan's version.
 */
version: string, };

export type Attention = { 
/**
 * How bad it is.
 */
level: Level, 
/**
 * One line.
 */
title: string, 
/**
 * Why, and what to do.
 */
detail: string, 
/**
 * The page that shows more.
 */
page: string, };

export type AuditEntry = { 
/**
 * Its place in the log, from 0.
 */
sequence: number, 
/**
 * When it happened.
 */
at: string, 
/**
 * Who did it: `user:ann`, `key:… (ann)`, `operator:0`, `redan:proxy` or `anonymous`.
 */
actor: string, 
/**
 * What was done, such as `configuration.committed`.
 */
action: string, 
/**
 * To what, such as `service/shop`.
 */
resource: string, 
/**
 * How it ended.
 */
outcome: Outcome, 
/**
 * The client's address; empty where it came from within.
 */
address: string, 
/**
 * The client's user agent.
 */
agent: string, 
/**
 * The state before, where it matters.
 */
before: string | null, 
/**
 * The state after, where it matters.
 */
after: string | null, 
/**
 * The HTTP request that it belongs to.
 */
request: AuditedRequest | null, 
/**
 * The incident that a person was shown.
 */
incident: string | null, 
/**
 * In words.
 */
message: string, };

export type AuditPage = { 
/**
 * The entries that match, newest first.
 */
entries: Array<AuditEntry>, 
/**
 * Pass it as `before` for the next older page; absent when there is none.
 */
next: number | null, 
/**
 * How many entries the log has, matching or not.
 */
size: number, };

export type AuditState = { 
/**
 * How many entries it has.
 */
size: number, 
/**
 * The key device that signs its checkpoints.
 */
device: string, 
/**
 * The last verification since the console started.
 */
verified: Verification | null, };

export type AuditedRequest = { 
/**
 * The method.
 */
method: string, 
/**
 * The path, without the query.
 */
path: string, 
/**
 * The status answered.
 */
status: number, 
/**
 * How many such requests of this actor this entry stands for.
 */
count: number, };

export type Block = { 
/**
 * The address or network, such as `192.0.2.7` or `192.0.2.0/24`.
 */
address: string, 
/**
 * When it is let in again; absent for an entry of the configuration.
 */
until: string | null, 
/**
 * Why.
 */
reason: string, };

export type Candidate = { 
/**
 * The whole document (TOML), at most 512 KiB.
 */
text: string, };

export type Change = { 
/**
 * What happened to it.
 */
kind: ChangeKind, 
/**
 * Where, such as `services.shop.limits`.
 */
path: string, 
/**
 * In words.
 */
text: string, };

export type ChangeKind = "added" | "changed" | "removed";

export type Check = { 
/**
 * All mistakes; the candidate may be committed when none of them is fatal.
 */
mistakes: Array<Mistake>, 
/**
 * What committing it would change, in words; empty where there are fatal mistakes.
 */
changes: Array<Change>, 
/**
 * The same as lines of text.
 */
diff: Array<DiffLine>, };

export type Commit = { 
/**
 * The whole document (TOML), at most 512 KiB.
 */
text: string, 
/**
 * Why; at most 500 characters, not empty.
 */
comment: string, 
/**
 * The version that the text was made from; the commit is refused if another is running by now.
 */
base: number, 
/**
 * How long to wait for confirmation before it is taken back, in seconds: 30 to 600.
 */
confirm_within_s: number, };

export type Confirm = { 
/**
 * The pending version's number.
 */
version: number, };

export type Diff = { 
/**
 * The older side's number.
 */
from: number, 
/**
 * The newer side's number.
 */
to: number, 
/**
 * What differs, in words.
 */
changes: Array<Change>, 
/**
 * The lines, with three of context around each change.
 */
lines: Array<DiffLine>, };

export type DiffKind = "added" | "gap" | "removed" | "same";

export type DiffLine = { 
/**
 * What the line is.
 */
kind: DiffKind, 
/**
 * Its number in the old text, from 1; absent on an added line.
 */
old: number | null, 
/**
 * Its number in the new text, from 1; absent on a removed line.
 */
new: number | null, 
/**
 * The text without its end of line.
 */
text: string, };

export type Document = { 
/**
 * Which version.
 */
version: Version, 
/**
 * The document as it was committed (TOML).
 */
text: string, };

export type Failure = { 
/**
 * A fixed word for programs, such as `not-authorised`.
 */
code: string, 
/**
 * One sentence for people; never a path, a version or a parser's position inside the appliance.
 */
message: string, 
/**
 * Names this occurrence; the appliance's own log has it too.
 */
incident: string, 
/**
 * The mistakes in a candidate configuration, where that is why the request was refused.
 */
mistakes?: Array<Mistake>, };

export type IssuedApiKey = { 
/**
 * Its id.
 */
id: string, 
/**
 * The key itself, to be sent as `Authorization: Bearer …`.
 */
key: string, };

export type Level = "critical" | "warning";

export type Login = { 
/**
 * The user's name.
 */
name: string, 
/**
 * The password; at most 1,024 bytes.
 */
password: string, };

export type Mistake = { 
/**
 * The line, from 1.
 */
line: number, 
/**
 * The column, from 1, in characters.
 */
column: number, 
/**
 * How many characters it concerns.
 */
length: number, 
/**
 * What is wrong.
 */
message: string, 
/**
 * What would be right; may be empty.
 */
help: string, 
/**
 * Whether it prevents a commit.
 */
fatal: boolean, };

export type NewApiKey = { 
/**
 * Whose it is.
 */
owner: string, 
/**
 * The roles it acts with; at most what the owner may.
 */
roles: Array<string>, 
/**
 * What for; at most 200 characters.
 */
comment: string, };

export type NewBlock = { 
/**
 * The address or network.
 */
address: string, 
/**
 * For how long, in seconds: 1 to 2,592,000 (30 days).
 */
seconds: number, 
/**
 * Why; at most 200 characters.
 */
reason: string, };

export type NewUser = { 
/**
 * The name to sign in with.
 */
name: string, 
/**
 * The roles held.
 */
roles: Array<string>, };

export type OneTimePassword = { 
/**
 * Whose.
 */
name: string, 
/**
 * The password; it must be changed at the first sign-in.
 */
password: string, };

export type OpenSession = { 
/**
 * Its public number; not the secret in the cookie.
 */
id: string, 
/**
 * Whose it is.
 */
name: string, 
/**
 * The address it was opened from.
 */
source: string, 
/**
 * When it was opened.
 */
opened_at: string, 
/**
 * With which user agent.
 */
agent: string, 
/**
 * When it was last used.
 */
used_at: string, 
/**
 * Whether it is the caller's own.
 */
current: boolean, };

export type Outcome = "denied" | "failed" | "succeeded";

export type Overview = { 
/**
 * The appliance itself.
 */
appliance: Appliance, 
/**
 * What changes seldom.
 */
state: State, 
/**
 * One sample a second, oldest first, at most the last 15 minutes.
 */
traffic: Array<Sample>, 
/**
 * Refused requests by reason in the same time, most frequent first.
 */
refusals: Array<Refusal>, 
/**
 * The newest entries of the audit log, newest first.
 */
recent: Array<AuditEntry>, };

export type PasswordChange = { 
/**
 * The password in use.
 */
current: string, 
/**
 * The new one.
 */
new: string, };

export type Pending = { 
/**
 * The version that was applied.
 */
version: number, 
/**
 * The version to return to.
 */
previous: number, 
/**
 * Who applied it.
 */
author: string, 
/**
 * When it is taken back unless confirmed.
 */
revert_at: string, 
/**
 * The time left when this was written, in milliseconds: counting down from here needs no agreement about the clock.
 */
remaining_ms: number, };

export type Protection = { 
/**
 * Its name, such as `seccomp`.
 */
name: string, 
/**
 * Whether it stands.
 */
active: boolean, 
/**
 * Why not, or what it holds.
 */
detail: string, };

export type Refusal = { 
/**
 * The stage that refused, such as `rate-limit`.
 */
reason: string, 
/**
 * How many in the last 15 minutes.
 */
count: number, };

export type Role = "viewer" | "admin";

export type Rollback = { 
/**
 * The version to return to; absent takes the pending commit back.
 */
version?: number, 
/**
 * How long to wait for confirmation, in seconds: 30 to 600; 60 where absent. Taking a pending commit back waits for nothing.
 */
confirm_within_s?: number, };

export type Sample = { 
/**
 * The second's end, in seconds since 1970.
 */
at: number, 
/**
 * Whether the proxy was reachable in that second; all figures are zero where not.
 */
known: boolean, 
/**
 * Requests answered, whatever the answer.
 */
requests: number, 
/**
 * Requests among them that Redan refused.
 */
refused: number, 
/**
 * Requests among them that failed at the upstream.
 */
failed: number, 
/**
 * Connections open at the second's end.
 */
connections: number, 
/**
 * The median time that a request took, upstream included, over the minute that ends here, in microseconds; 0 without requests.
 * An estimate: the proxy counts in buckets that double.
 */
p50_us: number, 
/**
 * The 99th percentile of the same.
 */
p99_us: number, };

export type Seal = { 
/**
 * Why the vault is sealed; absent while it is open.
 */
sealed: string | null, 
/**
 * How many shares of the recovery are needed; 1 for a recovery key, absent where there is no recovery.
 */
threshold: number | null, 
/**
 * How many were brought so far.
 */
gathered: number, };

export type SealDetails = { 
/**
 * Why the vault is sealed; absent while it is open.
 */
sealed: string | null, 
/**
 * The key device; absent where it does not answer.
 */
device: string | null, 
/**
 * What the store is sealed to.
 */
sealed_to: string, 
/**
 * Whether the vault opens by itself at a start.
 */
automatic: boolean, 
/**
 * The recovery, where there is one.
 */
recovery: SealRecovery | null, 
/**
 * How many shares were brought so far.
 */
gathered: number, };

export type SealRecovery = { 
/**
 * Its number: shares of different ones do not go together.
 */
generation: number, 
/**
 * How many shares there are.
 */
shares: number, 
/**
 * How many of them open the vault.
 */
threshold: number, 
/**
 * When it was made.
 */
made: string, };

export type SealShare = { 
/**
 * As it was written down.
 */
share: string, };

export type Service = { 
/**
 * Its name.
 */
name: string, 
/**
 * What it is doing.
 */
state: ServiceState, 
/**
 * Its process id in the supervisor's namespace; absent while it is down.
 */
pid: number | null, 
/**
 * Resident memory in bytes.
 */
memory_bytes: number, 
/**
 * How many times the supervisor started it again.
 */
restarts: number, 
/**
 * When the present process was started.
 */
since: string | null, 
/**
 * What confines it, and what is missing.
 */
confinement: Array<Protection>, 
/**
 * How the instance before ended; empty where there was none.
 */
last_exit: string, };

export type ServiceState = "back-off" | "ready" | "starting" | "stopped";

export type Session = { 
/**
 * The user's name.
 */
name: string, 
/**
 * The strongest role of the console that the user holds.
 */
role: Role, 
/**
 * A one-time password was used: nothing but changing it is allowed.
 */
must_change_password: boolean, 
/**
 * When the session ends, unless it ends earlier for want of use.
 */
expires_at: string, };

export type State = { 
/**
 * The running configuration; absent until the manager has told.
 */
configuration: Version | null, 
/**
 * The commit that waits for confirmation.
 */
pending: Pending | null, 
/**
 * The services and their state.
 */
services: Array<Service>, 
/**
 * The audit log; absent until the vault has told.
 */
audit: AuditState | null, 
/**
 * What asks for a person, worst first.
 */
attention: Array<Attention>, };

export type User = { 
/**
 * The name to sign in with.
 */
name: string, 
/**
 * The roles held.
 */
roles: Array<string>, 
/**
 * Whether the user may sign in.
 */
enabled: boolean, 
/**
 * Whether the password must be changed at the next sign-in.
 */
must_change_password: boolean, 
/**
 * Locked until then after too many failures.
 */
locked_until: string | null, 
/**
 * When the user was made.
 */
created_at: string, 
/**
 * When the user signed in last.
 */
signed_in_at: string | null, };

export type UserChange = { 
/**
 * All roles from now on.
 */
roles?: Array<string>, 
/**
 * Whether the user may sign in; switching off ends sessions and keys at once.
 */
enabled?: boolean, };

export type Verification = { 
/**
 * When it ended.
 */
at: string, 
/**
 * Whether every entry hashes into the signed root.
 */
sound: boolean, 
/**
 * How many entries were checked.
 */
size: number, 
/**
 * The Merkle root (RFC 9162) in base64.
 */
root: string, 
/**
 * The public key that signs the log, in verifier form (C2SP signed note).
 */
key: string, 
/**
 * When the last checkpoint was signed.
 */
checkpoint_at: string, 
/**
 * What is wrong and where; empty when sound.
 */
problems: Array<string>, 
/**
 * How long it took, in microseconds.
 */
took_us: number, };

export type Version = { 
/**
 * Its number: 1 for the first.
 */
number: number, 
/**
 * Who committed it.
 */
author: string, 
/**
 * When.
 */
at: string, 
/**
 * Why, in the author's words.
 */
comment: string, 
/**
 * SHA-256 of the document in hexadecimal.
 */
hash: string, 
/**
 * What became of it.
 */
state: VersionState, };

export type VersionState = "idle" | "pending" | "running";

export type WafEvent = { 
/**
 * Its number.
 */
id: number, 
/**
 * When the request was over.
 */
at: string, 
/**
 * The service.
 */
service: string, 
/**
 * The route; empty where there was none.
 */
route: string, 
/**
 * What the client was told.
 */
incident: string, 
/**
 * The client's address.
 */
client: string, 
/**
 * The method.
 */
method: string, 
/**
 * The host that was asked for.
 */
host: string, 
/**
 * The path, without the query.
 */
path: string, 
/**
 * The status that the client got.
 */
status: number, 
/**
 * Whether the service refuses what the rules refuse, or only records it.
 */
blocking: boolean, 
/**
 * Whether the request or its response was refused.
 */
blocked: boolean, 
/**
 * The rule that refused it, or would have; 0 for a limit.
 */
stopped_by: number | null, 
/**
 * The paranoia level of the service.
 */
paranoia: number, 
/**
 * The anomaly score of the request.
 */
inbound_score: number, 
/**
 * From here on a request is refused.
 */
inbound_threshold: number, 
/**
 * The anomaly score of the response.
 */
outbound_score: number, 
/**
 * From here on a response is refused.
 */
outbound_threshold: number, 
/**
 * What matched, in the order of the phases.
 */
matches: Array<WafMatch>, 
/**
 * How many matches more there were: the event would have become too large.
 */
more: number, 
/**
 * The limit that was met, in words; null where none was.
 */
limit: string | null, };

export type WafEventDetail = { 
/**
 * The event.
 */
event: WafEvent, 
/**
 * The record in ModSecurity's JSON form, as JSON text; empty where it was too long to be kept.
 */
audit: string, };

export type WafEvents = { 
/**
 * The events.
 */
events: Array<WafEvent>, 
/**
 * `before` of the next page; null on the last.
 */
next: number | null, 
/**
 * Events that are kept.
 */
kept: number, };

export type WafException = { 
/**
 * The service.
 */
service: string, 
/**
 * The rule.
 */
rule: number, 
/**
 * The rule's message.
 */
message: string, 
/**
 * The path.
 */
path: string, 
/**
 * The part of the request, for instance `ARGS:q`; null: the rule does not run at all on the path.
 */
parameter: string | null, 
/**
 * Why it is wider than one part of the request; null where it is not.
 */
wider: string | null, 
/**
 * The rule that it compiles to.
 */
seclang: string, };

export type WafExceptionPreview = { 
/**
 * One for each rule and part of the request.
 */
exceptions: Array<WafException>, 
/**
 * Matches that get none, and why.
 */
without: Array<WafWithout>, 
/**
 * What the events of the last 24 hours say.
 */
replay: WafReplay, 
/**
 * The exceptions as part of a document.
 */
toml: string, 
/**
 * The running document with them; null where the appliance cannot write it.
 */
candidate: string | null, 
/**
 * Why there is no candidate.
 */
obstacle: string | null, 
/**
 * The version that the candidate was made from.
 */
base: number, 
/**
 * What the candidate changes, in words.
 */
changes: Array<Change>, 
/**
 * The same in lines.
 */
diff: Array<DiffLine>, };

export type WafExceptionWish = { 
/**
 * The event's number.
 */
event: number, 
/**
 * Places of its matches, from 0; empty: of all that counted.
 */
matches: Array<number>, 
/**
 * Days until the exceptions end, 1 to 3650; null: they never end.
 */
days: number | null, 
/**
 * Why it is harmless: 1 to 200 characters.
 */
reason: string, };

export type WafMatch = { 
/**
 * The rule's id.
 */
rule: number, 
/**
 * Its phase, 1 to 5.
 */
phase: number, 
/**
 * Its message.
 */
message: string, 
/**
 * Its severity, 0 (emergency) to 7 (debug).
 */
severity: number | null, 
/**
 * Its tags.
 */
tags: Array<string>, 
/**
 * What matched, for instance `ARGS:q`.
 */
variable: string, 
/**
 * The value that matched, cut and masked.
 */
excerpt: string, 
/**
 * What the rule says about it, cut and masked.
 */
data: string, 
/**
 * What it added to the score.
 */
score: number, };

export type WafReplay = { 
/**
 * Since when events were looked at.
 */
since: string, 
/**
 * How many were looked at: those of the service on which one of the rules matched on the path.
 */
events: number, 
/**
 * Whether these were all; else only the newest.
 */
complete: boolean, 
/**
 * How many would have passed that were refused, or would have been where nothing is refused.
 */
would_pass: number, 
/**
 * How many would still have been refused.
 */
still_refused: number, 
/**
 * The numbers of those that would have passed, the newest first, at most 100.
 */
passing: Array<number>, 
/**
 * Clients that sent them, the most frequent first.
 */
clients: Array<WafTally>, 
/**
 * Kinds of values that they carried, the most frequent first.
 */
classes: Array<WafTally>, };

export type WafTally = { 
/**
 * Of what.
 */
name: string, 
/**
 * How many.
 */
count: number, };

export type WafWithout = { 
/**
 * Its place, from 0.
 */
place: number, 
/**
 * Why.
 */
reason: string, };
