//! Where a request comes from: the peer, or what a trusted proxy says. Protocol §1.

use std::net::IpAddr;

use http::HeaderMap;

use crate::config::Network;

/// The peer's address; if the peer is a trusted proxy, the last address in `X-Forwarded-For` that is not itself one.
///
/// Whatever cannot be parsed counts as the peer (advisory T39): a garbled header must not let anybody choose an address.
pub fn caller_ip(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let peer = peer.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let mut hops = Vec::new();
    for value in headers.get_all("x-forwarded-for") {
        let Ok(text) = value.to_str() else { return peer };
        for part in text.split(',') {
            let Ok(address) = part.trim().parse::<IpAddr>() else { return peer };
            hops.push(address.to_canonical());
        }
    }
    // Proxies append, so the rightmost address that is not ours is the nearest one we cannot vouch for.
    hops.into_iter().rev().find(|hop| !is_trusted(*hop)).unwrap_or(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn said(trusted: &[&str], lines: &[&str]) -> String {
        let trusted: Vec<Network> =
            trusted.iter().map(|text| Network::try_from((*text).to_owned()).expect("network")).collect();
        let headers = lines
            .iter()
            .map(|line| {
                (
                    http::HeaderName::from_static("x-forwarded-for"),
                    HeaderValue::from_bytes(line.as_bytes()).expect("header"),
                )
            })
            .collect();
        caller_ip("10.0.0.1".parse().expect("ip"), &headers, &trusted).to_string()
    }

    #[test]
    fn nobody_is_believed_by_default() {
        assert_eq!(said(&[], &["1.2.3.4"]), "10.0.0.1");
    }

    #[test]
    fn the_nearest_untrusted_hop_counts() {
        assert_eq!(said(&["10.0.0.0/8"], &["1.2.3.4"]), "1.2.3.4");
        assert_eq!(
            said(&["10.0.0.0/8"], &["6.6.6.6, 1.2.3.4, 10.0.0.9"]),
            "1.2.3.4",
            "a spoofed first entry changes nothing"
        );
        assert_eq!(said(&["10.0.0.0/8"], &["6.6.6.6", "1.2.3.4"]), "1.2.3.4", "several headers are one list");
        assert_eq!(said(&["10.0.0.0/8"], &["10.0.0.3"]), "10.0.0.1");
        assert_eq!(said(&["10.0.0.0/8"], &[]), "10.0.0.1");
    }

    #[test]
    fn what_cannot_be_parsed_counts_as_the_peer() {
        for bad in ["unknown", "1.2.3.4, ", "1.2.3.4:80", "\u{e9}", "1.2.3.4, evil"] {
            assert_eq!(said(&["10.0.0.0/8"], &[bad]), "10.0.0.1", "{bad}");
        }
    }
}
