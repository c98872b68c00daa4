//! Fields of clients that never reach an upstream, each with the reason: applications believe them when they stand behind a proxy,
//! since the proxy is supposed to have written them. Ours writes what it knows itself and lets nobody else.
//!
//! One table, no setting: an operator who wants an identity passed on wants it from the proxy, not from the client.

/// Why a field is withheld.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reason {
    /// Programs behind CGI take it for something else: `Proxy` becomes `HTTP_PROXY` (CVE-2016-5385), and an underscore is the same as a
    /// hyphen, so that a name with one stands for another name.
    Cgi,
    /// It says which certificate the client showed. Only whoever ended TLS knows that.
    Certificate,
    /// It says who the client is, as gateways that authenticate do.
    Identity,
    /// It says where the request came from.
    Origin,
    /// It makes the request one for another path, method or host than the one that was decided on.
    Routing,
}

#[derive(Clone, Copy, Debug)]
enum Match {
    /// The whole name.
    Name(&'static str),
    /// Every name that begins so.
    Prefix(&'static str),
}

use Match::{Name, Prefix};

/// In lower case. Names with an underscore are not listed: all are withheld.
const TABLE: &[(Match, Reason)] = &[
    (Name("proxy"), Reason::Cgi),
    (Name("client-cert"), Reason::Certificate),
    (Name("client-cert-chain"), Reason::Certificate),
    (Prefix("ssl-client-"), Reason::Certificate),
    (Prefix("tls-client-"), Reason::Certificate),
    (Name("x-arr-clientcert"), Reason::Certificate),
    (Prefix("x-client-cert"), Reason::Certificate),
    (Name("x-client-dn"), Reason::Certificate),
    (Name("x-client-verify"), Reason::Certificate),
    (Prefix("x-ssl-"), Reason::Certificate),
    (Prefix("x-tls-"), Reason::Certificate),
    (Name("x-arr-ssl"), Reason::Certificate),
    (Name("front-end-https"), Reason::Origin),
    (Name("fly-client-ip"), Reason::Origin),
    (Prefix("iv-"), Reason::Identity),
    (Prefix("oidc-"), Reason::Identity),
    (Name("proxy-client-ip"), Reason::Origin),
    (Name("proxy-user"), Reason::Identity),
    (Prefix("shib-"), Reason::Identity),
    (Prefix("sm-"), Reason::Identity),
    (Prefix("smuser"), Reason::Identity),
    (Prefix("wl-proxy-"), Reason::Certificate),
    (Prefix("x-appengine-"), Reason::Identity),
    (Name("x-forward-for"), Reason::Origin),
    (Prefix("x-jwt-"), Reason::Identity),
    (Name("x-scheme"), Reason::Origin),
    (Name("x-url-scheme"), Reason::Origin),
    (Name("auth-user"), Reason::Identity),
    (Prefix("cf-access-"), Reason::Identity),
    (Prefix("remote-"), Reason::Identity),
    (Prefix("tailscale-user-"), Reason::Identity),
    (Prefix("x-amzn-oidc-"), Reason::Identity),
    (Prefix("x-auth-"), Reason::Identity),
    (Prefix("x-authenticated-"), Reason::Identity),
    (Prefix("x-authentik-"), Reason::Identity),
    (Prefix("x-consumer-"), Reason::Identity),
    (Prefix("x-credential-"), Reason::Identity),
    (Prefix("x-goog-authenticated-user-"), Reason::Identity),
    (Prefix("x-goog-iap-"), Reason::Identity),
    (Prefix("x-ms-client-principal"), Reason::Identity),
    (Prefix("x-pomerium-"), Reason::Identity),
    (Prefix("x-remote-"), Reason::Identity),
    (Name("x-user"), Reason::Identity),
    (Name("x-userinfo"), Reason::Identity),
    (Prefix("x-vouch-"), Reason::Identity),
    (Prefix("x-webauth-"), Reason::Identity),
    (Name("cf-connecting-ip"), Reason::Origin),
    (Name("cf-connecting-ipv6"), Reason::Origin),
    (Name("client-ip"), Reason::Origin),
    (Name("fastly-client-ip"), Reason::Origin),
    (Name("forwarded"), Reason::Origin),
    (Name("forwarded-for"), Reason::Origin),
    (Name("true-client-ip"), Reason::Origin),
    (Name("x-azure-clientip"), Reason::Origin),
    (Name("x-client-ip"), Reason::Origin),
    (Name("x-cluster-client-ip"), Reason::Origin),
    (Prefix("x-envoy-"), Reason::Origin),
    (Name("x-forwarded"), Reason::Origin),
    (Prefix("x-forwarded-"), Reason::Origin),
    (Name("x-original-forwarded-for"), Reason::Origin),
    (Name("x-originating-ip"), Reason::Origin),
    (Name("x-proxyuser-ip"), Reason::Origin),
    (Name("x-real-ip"), Reason::Origin),
    // Ours: the upstream's log and the incident are to agree.
    (Name("x-request-id"), Reason::Origin),
    (Name("x-host"), Reason::Routing),
    (Name("x-http-host-override"), Reason::Routing),
    (Prefix("x-http-method"), Reason::Routing),
    (Name("x-method"), Reason::Routing),
    (Prefix("x-original-"), Reason::Routing),
    (Name("x-method-override"), Reason::Routing),
    // Next.js: tells its own requests from others (CVE-2025-29927).
    (Prefix("x-middleware-"), Reason::Routing),
    (Prefix("x-rewrite-"), Reason::Routing),
    (Name("x-script-name"), Reason::Routing),
    // Rack: which files may be sent, and from where.
    (Prefix("x-accel-"), Reason::Routing),
    (Name("x-sendfile-type"), Reason::Routing),
];

/// Credentials with such names are the application's own: it checks them, and believes nothing because of the name.
const CREDENTIALS: &[&str] = &["x-auth-key", "x-auth-token"];

/// Why a client's field is withheld from upstreams; none when it is passed on. Letter case does not matter.
pub(crate) fn withheld(name: &[u8]) -> Option<Reason> {
    if name.contains(&b'_') {
        return Some(Reason::Cgi);
    }
    // The letters with which the names of the table begin: most fields of a browser are through here.
    if !matches!(
        name.first()?.to_ascii_lowercase(),
        b'a' | b'c' | b'f' | b'i' | b'o' | b'p' | b'r' | b's' | b't' | b'w' | b'x'
    ) {
        return None;
    }
    let begins = |text: &str| {
        name.get(..text.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(text.as_bytes()))
    };
    let is = |text: &str| name.len() == text.len() && begins(text);
    let (_, reason) = TABLE.iter().find(|(wanted, _)| match wanted {
        Name(wanted) => is(wanted),
        Prefix(wanted) => begins(wanted),
    })?;
    (!CREDENTIALS.iter().any(|own| is(own))).then_some(*reason)
}

#[cfg(test)]
mod tests {
    use super::{CREDENTIALS, Name, Prefix, Reason, TABLE, withheld};

    #[test]
    fn every_entry_of_the_table_is_withheld_in_every_letter_case() {
        for (wanted, reason) in TABLE {
            let name = match wanted {
                Name(name) => (*name).to_owned(),
                Prefix(prefix) => format!("{prefix}anything"),
            };
            assert_eq!(withheld(name.as_bytes()), Some(*reason), "{name}");
            assert_eq!(withheld(name.to_uppercase().as_bytes()), Some(*reason), "{name}");
            assert_eq!(name, name.to_lowercase(), "the table is in lower case");
        }
    }

    #[test]
    fn what_upstreams_believe_is_withheld() {
        for (name, reason) in [
            ("Remote-User", Reason::Identity),
            ("X-Remote-User", Reason::Identity),
            ("X-Auth-Request-Email", Reason::Identity),
            ("X-Forwarded-User", Reason::Origin),
            ("X-Forwarded-Anything", Reason::Origin),
            ("Forwarded", Reason::Origin),
            ("X-Real-IP", Reason::Origin),
            ("True-Client-IP", Reason::Origin),
            ("Client-IP", Reason::Origin),
            ("X-Original-URL", Reason::Routing),
            ("X-Rewrite-URL", Reason::Routing),
            ("X-HTTP-Method", Reason::Routing),
            ("X-HTTP-Method-Override", Reason::Routing),
            ("X-Method-Override", Reason::Routing),
            ("Proxy", Reason::Cgi),
            ("SSL-Client-Cert", Reason::Certificate),
            ("X-SSL-Client-S-DN", Reason::Certificate),
            ("X-Client-Certificate", Reason::Certificate),
        ] {
            assert_eq!(withheld(name.as_bytes()), Some(reason), "{name}");
        }
    }

    #[test]
    fn an_underscore_stands_for_a_hyphen_to_programs_and_is_withheld() {
        for name in ["x_forwarded_for", "Remote_User", "X-Real_IP", "my_field", "_"] {
            assert_eq!(withheld(name.as_bytes()), Some(Reason::Cgi), "{name}");
        }
    }

    #[test]
    fn ordinary_fields_and_an_applications_own_credentials_pass() {
        for name in [
            "Accept",
            "Authorization",
            "Cache-Control",
            "Content-Type",
            "Cookie",
            "Proxy-Status",
            "Priority",
            "Referer",
            "Range",
            "Sec-Fetch-Site",
            "Traceparent",
            "X-Requested-With",
            "X-CSRF-Token",
            "X-Api-Version",
            "X-User-Agent",
            "",
        ]
        .iter()
        .chain(CREDENTIALS)
        {
            assert_eq!(withheld(name.as_bytes()), None, "{name}");
        }
    }
}
