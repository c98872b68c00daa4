//! Which request goes where. One function for each pair of roles; what is not in a pair's enum cannot be asked.

use super::accounts::{Attempt, Vouched};
use super::audit::Export;
use super::certificates::Issuing;
use super::configurations::Configurations;
use super::pool::Pool;
use super::{Vault, VaultError};
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::audit::{Actor, ExportPart};
use redan_ipc::messages::vault::{
    Certificate, CertificateOwner, ConsoleVaultReply, ConsoleVaultRequest, ManagerVaultReply, ManagerVaultRequest,
    ProxyVaultReply, ProxyVaultRequest, VaultRefusal,
};
use redan_ipc::messages::{ConsoleVault, ManagerVault, ProxyVault};
use redan_ipc::{Pair, Responder};
use redan_types::{HostName, Process};
use std::sync::{Arc, Mutex, PoisonError};

impl Vault {
    /// Answers the proxy.
    pub(super) fn answer_proxy(self: &Arc<Self>, request: ProxyVaultRequest, responder: Responder<ProxyVault>) {
        match request {
            ProxyVaultRequest::ResolveKey { key } => {
                responder.reply(&ProxyVaultReply::Principal(self.accounts.resolve(&key, self.now())));
            }
            ProxyVaultRequest::Traffic(sample) => {
                self.traffic
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .add(&sample, self.now());
                responder.reply(&ProxyVaultReply::Noted);
            }
            ProxyVaultRequest::Waf { records } => {
                self.later(&self.disk, responder, ProxyVaultReply::Refused, move |vault| {
                    if vault.waf.add(&records, vault.now())? > 0 {
                        vault
                            .note("records of the web application firewall were too large and are not kept".to_owned());
                    }
                    Ok(ProxyVaultReply::Noted)
                });
            }
            ProxyVaultRequest::Audit { events } => {
                self.later(&self.disk, responder, ProxyVaultReply::Refused, move |vault| {
                    vault.record(&events).map(|()| ProxyVaultReply::Recorded)
                });
            }
        }
    }

    /// Answers the console. `export` is what this wire is exporting.
    pub(super) fn answer_console(
        self: &Arc<Self>,
        export: &Arc<Mutex<Option<Export>>>,
        request: ConsoleVaultRequest,
        responder: Responder<ConsoleVault>,
    ) {
        use ConsoleVaultReply as Reply;
        use ConsoleVaultRequest as Request;
        let refused = Reply::Refused;
        match request {
            Request::Session { token } => responder.reply(&Reply::Session(self.accounts.session(&token, self.now()))),
            Request::ResolveKey { key } => responder.reply(&Reply::Principal(self.accounts.resolve(&key, self.now()))),
            Request::Traffic { after } => {
                let seconds = self
                    .traffic
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .after(after, self.now());
                responder.reply(&Reply::Traffic(seconds));
            }
            Request::Login {
                user,
                password,
                address,
                agent,
                device,
            } => {
                let attempt = Attempt {
                    user,
                    password,
                    address,
                    agent,
                    device,
                };
                self.awaited(&self.hashing, responder, refused, move |vault| {
                    vault.accounts.login(&attempt, vault.now()).map(Reply::Login)
                });
            }
            Request::ChangePassword { token, old, new } => {
                self.awaited(&self.hashing, responder, refused, move |vault| {
                    vault
                        .accounts
                        .change_password(&token, &old, &new, vault.now())
                        .map(|()| Reply::Done)
                });
            }
            Request::Logout { token } => self.later(&self.disk, responder, refused, move |vault| {
                vault.accounts.logout(&token, vault.now()).map(|()| Reply::Done)
            }),
            Request::Accounts { actor, request } => {
                self.later(self.pool_for(&request), responder, refused, move |vault| {
                    vault
                        .administrate(Vouched::Console, &actor, &request)
                        .map(Reply::Accounts)
                });
            }
            Request::Audit { events } => {
                self.later(&self.disk, responder, refused, move |vault| {
                    vault.record(&events).map(|()| Reply::Recorded)
                });
            }
            Request::Transit { actor, key, request } => self.later(&self.disk, responder, refused, move |vault| {
                let now = vault.now();
                let roles = vault.accounts.roles_of(Vouched::Console, &actor, now);
                vault
                    .transit
                    .answer(&actor, &roles, &key, request, now)
                    .map(Reply::Transit)
            }),
            Request::AuditSearch(query) => self.awaited(&self.reading, responder, refused, move |vault| {
                vault.audit.search(&query).map(Reply::AuditPage)
            }),
            Request::AuditVerify => {
                self.awaited(&self.reading, responder, refused, |vault| {
                    vault.audit.verify().map(Reply::AuditVerified)
                });
            }
            Request::AuditExport { from } => {
                let export = Arc::clone(export);
                self.awaited(&self.reading, responder, refused, move |vault| {
                    vault.export(&export, from).map(Reply::AuditExport)
                });
            }
            Request::Waf(request) => self.awaited(&self.reading, responder, refused, move |vault| {
                vault.waf.answer(&request).map(Reply::Waf)
            }),
            Request::Health => {
                self.awaited(&self.reading, responder, refused, |vault| {
                    Ok(Reply::Health(vault.health()))
                });
            }
            // The room answers that, open or closed.
            Request::Seal { .. } => responder.reply(&refused(VaultRefusal::Missing)),
        }
    }

    /// Answers the manager. `export` is what this wire is exporting.
    pub(super) fn answer_manager(
        self: &Arc<Self>,
        export: &Arc<Mutex<Option<Export>>>,
        request: ManagerVaultRequest,
        responder: Responder<ManagerVault>,
    ) {
        use ManagerVaultReply as Reply;
        use ManagerVaultRequest as Request;
        let refused = Reply::Refused;
        match request {
            Request::PutVersion {
                document,
                author,
                comment,
                time,
            } => {
                self.later(&self.disk, responder, refused, move |vault| {
                    vault
                        .configurations
                        .put(&vault.store, document, author, comment, time)
                        .map(Reply::Stored)
                });
            }
            Request::Version(generation) => self.awaited(&self.disk, responder, refused, move |vault| {
                Configurations::version(&vault.store, generation).map(Reply::Version)
            }),
            Request::Versions { before } => self.awaited(&self.disk, responder, refused, move |vault| {
                Configurations::list(&vault.store, before).map(Reply::Versions)
            }),
            Request::CommitState => self.awaited(&self.disk, responder, refused, |vault| {
                Configurations::state(&vault.store).map(Reply::CommitState)
            }),
            Request::SetCommitState(state) => self.later(&self.disk, responder, refused, move |vault| {
                Configurations::set_state(&vault.store, &state).map(|()| Reply::Done)
            }),
            Request::EnsureCertificate { owner, names } => self.later(&self.disk, responder, refused, move |vault| {
                vault.ensure_certificate(&owner, &names).map(Reply::Certificate)
            }),
            Request::Configure(slice) => self.later(&self.disk, responder, refused, move |vault| {
                vault.accounts.configure(&slice, vault.now())?;
                vault.signers.permit_tls12(&slice.tls12);
                vault.transit.configure(&slice.keys, vault.now())?;
                Ok(Reply::Done)
            }),
            Request::Audit { events } => {
                self.later(&self.disk, responder, refused, move |vault| {
                    vault.record(&events).map(|()| Reply::Done)
                });
            }
            Request::Accounts { actor, request } => {
                self.later(self.pool_for(&request), responder, refused, move |vault| {
                    vault
                        .administrate(Vouched::Manager, &actor, &request)
                        .map(Reply::Accounts)
                });
            }
            Request::SerialPin => self.awaited(&self.disk, responder, refused, |vault| {
                Configurations::serial_pin(&vault.store).map(Reply::SerialPin)
            }),
            Request::SetSerialPin(hash) => self.later(&self.disk, responder, refused, move |vault| {
                Configurations::set_serial_pin(&vault.store, hash.as_deref()).map(|()| Reply::Done)
            }),
            Request::AuditSearch(query) => self.awaited(&self.reading, responder, refused, move |vault| {
                vault.audit.search(&query).map(Reply::AuditPage)
            }),
            Request::AuditExport { from } => {
                let export = Arc::clone(export);
                self.awaited(&self.reading, responder, refused, move |vault| {
                    vault.export(&export, from).map(Reply::AuditExport)
                });
            }
            Request::AuditSegments => self.awaited(&self.reading, responder, refused, |vault| {
                Ok(Reply::AuditSegments(vault.audit.segments()))
            }),
            Request::AuditSeal { actor, until } => self.later(&self.reading, responder, refused, move |vault| {
                let event = vault.event_by(actor, "audit.segment-sealed", "audit");
                let sealed = vault.audit.seal_segment(until, event)?;
                Ok(Reply::AuditSegments(vec![sealed]))
            }),
            Request::AuditErase { actor, person } => self.later(&self.reading, responder, refused, move |vault| {
                // Not an entry of the asker's own: whoever asks for the erasure of their own entries would erase this one too.
                let mut event = vault.event_by(Actor::Process(Process::Vault), "audit.person-erased", "audit");
                event.message = format!("a person's key was destroyed, asked for by {actor}");
                vault.audit.erase_person(&person, event).map(|()| Reply::Done)
            }),
            Request::AuditVerify => {
                self.awaited(&self.reading, responder, refused, |vault| {
                    vault.audit.verify().map(Reply::AuditVerified)
                });
            }
            Request::RotateKeys { actor } => self.later(&self.disk, responder, refused, move |vault| {
                vault.rotate_keys(&actor).map(|()| Reply::Done)
            }),
            Request::Waf(request) => self.awaited(&self.reading, responder, refused, move |vault| {
                vault.waf.answer(&request).map(Reply::Waf)
            }),
            Request::Health => {
                self.awaited(&self.reading, responder, refused, |vault| {
                    Ok(Reply::Health(vault.health()))
                });
            }
            // The room answers that, open or closed.
            Request::KeepManagement(_) | Request::Management | Request::Seal { .. } => {
                responder.reply(&refused(VaultRefusal::Missing));
            }
        }
    }

    fn ensure_certificate(&self, owner: &CertificateOwner, names: &[HostName]) -> Result<Certificate, VaultError> {
        let Self {
            certificates,
            store,
            device,
            signers,
            audit,
            ..
        } = self;
        certificates.ensure(
            &Issuing {
                store,
                device: &**device,
                signers,
                audit,
                now: self.now(),
            },
            owner,
            names,
        )
    }

    fn administrate(
        &self,
        vouched: Vouched,
        actor: &Actor,
        request: &AccountRequest,
    ) -> Result<AccountReply, VaultError> {
        self.accounts.administrate(vouched, actor, request, self.now())
    }

    fn export(&self, under_way: &Mutex<Option<Export>>, from: u64) -> Result<ExportPart, VaultError> {
        let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
        self.audit.export(&mut under_way, from, self.now())
    }

    /// Where an account's request may wait: those that hash keep away from those that only write.
    const fn pool_for(&self, request: &AccountRequest) -> &Pool {
        match request {
            AccountRequest::CreateUser { .. } | AccountRequest::ResetPassword { .. } => &self.hashing,
            _ => &self.disk,
        }
    }

    /// Does `work` in a pool and answers with its result, or with `Busy` at once where the pool is full.
    fn later<P: Pair>(
        self: &Arc<Self>,
        pool: &Pool,
        responder: Responder<P>,
        refused: fn(VaultRefusal) -> P::Reply,
        work: impl FnOnce(&Self) -> Result<P::Reply, VaultError> + Send + 'static,
    ) {
        let vault = Arc::clone(self);
        pool.run(move |accepted| {
            let reply = if accepted {
                work(&vault).map_err(Into::into)
            } else {
                Err(VaultRefusal::Busy)
            };
            responder.reply(&reply.unwrap_or_else(refused));
        });
    }

    /// As `later`, for work that is of no use to anybody once its client has stopped waiting.
    fn awaited<P: Pair>(
        self: &Arc<Self>,
        pool: &Pool,
        responder: Responder<P>,
        refused: fn(VaultRefusal) -> P::Reply,
        work: impl FnOnce(&Self) -> Result<P::Reply, VaultError> + Send + 'static,
    ) {
        let vault = Arc::clone(self);
        pool.run(move |accepted| {
            if accepted && !responder.is_awaited() {
                return;
            }
            let reply = if accepted {
                work(&vault).map_err(Into::into)
            } else {
                Err(VaultRefusal::Busy)
            };
            responder.reply(&reply.unwrap_or_else(refused));
        });
    }
}
