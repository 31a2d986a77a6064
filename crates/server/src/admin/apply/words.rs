//! What a printed plan says of zones and apps.

use std::fmt::Write as _;

use hallpass_core::app::{Access, App, Assertion, FirstContact};
use hallpass_core::oidc::{ClientKeys, ClientKind, IdTokenAlgorithm, SubjectType};
use hallpass_core::zone::Zone;

/// What is to change of a zone; empty if nothing is.
pub(super) fn zone_differences(before: &Zone, after: &Zone) -> String {
    differences(&[
        ("cookie_domain", before.cookie_domain.to_string(), after.cookie_domain.to_string()),
        ("cookie_name", before.cookie_name.as_str().to_owned(), after.cookie_name.as_str().to_owned()),
        ("home", before.home.to_string(), after.home.to_string()),
        ("alias", alias(before), alias(after)),
        ("bound", before.bound.to_string(), after.bound.to_string()),
        ("at_sign_in", before.at_sign_in.to_string(), after.at_sign_in.to_string()),
    ])
}

/// What is to change of an app; empty if nothing is.
pub(super) fn app_differences(before: &App, after: &App) -> String {
    differences(&[
        ("name", format!("{:?}", before.name), format!("{:?}", after.name)),
        ("zone", before.zone.to_string(), after.zone.to_string()),
        ("origins", listed(&before.origins), listed(&after.origins)),
        ("access", access(before.access), access(after.access)),
        ("first_contact", first_contact(before.first_contact), first_contact(after.first_contact)),
        ("sensitive", before.sensitive.to_string(), after.sensitive.to_string()),
        ("relayed_sign_in", before.relayed_sign_in.to_string(), after.relayed_sign_in.to_string()),
        ("forward_auth", before.forward_auth.to_string(), after.forward_auth.to_string()),
        ("agent", before.agent.to_string(), after.agent.to_string()),
        ("assertion", assertion(before.assertion), assertion(after.assertion)),
        ("client", before.client.kind.as_str().to_owned(), after.client.kind.as_str().to_owned()),
        ("refresh_cookie", before.client.refresh_cookie.to_string(), after.client.refresh_cookie.to_string()),
        ("offline_access", before.client.offline_access.to_string(), after.client.offline_access.to_string()),
        (
            "require_pushed_authorization_requests",
            before.client.require_pushed.to_string(),
            after.client.require_pushed.to_string(),
        ),
        ("subject_type", before.client.subject_type.to_string(), after.client.subject_type.to_string()),
        ("sector_identifier", sector(before), sector(after)),
        ("require_dpop", before.client.require_dpop.to_string(), after.client.require_dpop.to_string()),
        (
            "claims_in_id_token",
            before.client.claims_in_id_token.to_string(),
            after.client.claims_in_id_token.to_string(),
        ),
        ("audiences", listed(&before.audiences), listed(&after.audiences)),
        ("open_to_third_parties", listed(&before.open_to_third_parties), listed(&after.open_to_third_parties)),
        ("client_credentials", before.client_credentials.to_string(), after.client_credentials.to_string()),
        ("device", before.device.to_string(), after.device.to_string()),
        ("logout_urls", listed(&before.logout_urls), listed(&after.logout_urls)),
        ("redirect_uris", listed(&before.redirect_uris), listed(&after.redirect_uris)),
        (
            "post_logout_redirect_uris",
            listed(&before.post_logout_redirect_uris),
            listed(&after.post_logout_redirect_uris),
        ),
        ("initiate_login_uri", listed(&before.initiate_login_uri), listed(&after.initiate_login_uri)),
        ("id_token_alg", before.id_token_alg.to_string(), after.id_token_alg.to_string()),
        ("third_party", before.third_party.to_string(), after.third_party.to_string()),
        ("jwks", keys(before), keys(after)),
    ])
}

/// What a new app has that others do not.
pub(super) fn said_of(app: &App) -> String {
    let mut text = String::new();
    app.origins.iter().for_each(|origin| _ = write!(text, ", {origin}"));
    if app.access == Access::Everyone {
        text.push_str(", access everyone");
    }
    if app.first_contact == FirstContact::Confirm {
        text.push_str(", first_contact confirm");
    }
    if app.sensitive {
        text.push_str(", sensitive");
    }
    if app.relayed_sign_in {
        text.push_str(", relayed_sign_in");
    }
    if app.forward_auth {
        text.push_str(", forward_auth");
    }
    if app.agent {
        text.push_str(", agent");
    }
    if app.assertion != Assertion::None {
        _ = write!(text, ", assertion {}", assertion(app.assertion));
    }
    if app.client.kind != ClientKind::Confidential {
        _ = write!(text, ", client {}", app.client.kind.as_str());
    }
    if !app.client.refresh_cookie {
        text.push_str(", no refresh_cookie");
    }
    if app.client.offline_access {
        text.push_str(", offline_access");
    }
    if app.client.require_pushed {
        text.push_str(", require_pushed_authorization_requests");
    }
    if app.client.subject_type != SubjectType::default() {
        _ = write!(text, ", subject_type {}", app.client.subject_type);
    }
    if let Some(sector) = &app.client.sector_identifier {
        _ = write!(text, ", sector_identifier {sector}");
    }
    if app.client.require_dpop {
        text.push_str(", require_dpop");
    }
    if app.client.claims_in_id_token {
        text.push_str(", claims_in_id_token");
    }
    app.audiences.iter().for_each(|audience| _ = write!(text, ", audience {audience}"));
    app.open_to_third_parties.iter().for_each(|name| _ = write!(text, ", open_to_third_parties {name}"));
    if app.client_credentials {
        text.push_str(", client_credentials");
    }
    if app.device {
        text.push_str(", device");
    }
    app.redirect_uris.iter().for_each(|uri| _ = write!(text, ", redirect_uri {uri}"));
    app.initiate_login_uri.iter().for_each(|uri| _ = write!(text, ", initiate_login_uri {uri}"));
    if app.id_token_alg != IdTokenAlgorithm::default() {
        _ = write!(text, ", id_token_alg {}", app.id_token_alg);
    }
    if app.third_party {
        text.push_str(", third_party");
    }
    if app.jwks.is_some() {
        _ = write!(text, ", jwks {}", keys(app));
    }
    text
}

/// Values one after the other; "none" if there are none.
pub(super) fn listed<'a, T: std::fmt::Display + 'a>(values: impl IntoIterator<Item = &'a T>) -> String {
    let text = values.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "none".to_owned() } else { text }
}

fn differences(values: &[(&str, String, String)]) -> String {
    let differ = values.iter().filter(|(_, before, after)| before != after);
    differ.map(|(name, before, after)| format!("{name} {before} → {after}")).collect::<Vec<_>>().join(", ")
}

fn alias(zone: &Zone) -> String {
    zone.alias.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn sector(app: &App) -> String {
    app.client.sector_identifier.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
}

fn access(access: Access) -> String {
    let word = match access {
        Access::Assigned => "assigned",
        Access::Everyone => "everyone",
    };
    word.to_owned()
}

fn first_contact(first_contact: FirstContact) -> String {
    let word = match first_contact {
        FirstContact::Trust => "trust",
        FirstContact::Confirm => "confirm",
    };
    word.to_owned()
}

fn assertion(assertion: Assertion) -> String {
    let word = match assertion {
        Assertion::None => "none",
        Assertion::FormPost => "form_post",
        Assertion::Query => "query",
    };
    word.to_owned()
}

/// The names of a client's keys, each with the beginning of the hash of the key: a key that is replaced under its old name is a difference.
fn keys(app: &App) -> String {
    listed(&app.jwks.iter().flat_map(ClientKeys::fingerprints).collect::<Vec<_>>())
}
