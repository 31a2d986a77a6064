//! Where a browser may be sent: never out of the registered origins, never off the host.

use hallpass_core::app::Origin;
use hallpass_core::destination::{Destination, local_path};
use url::Url;

use crate::{Target, kind, text};

pub const TARGET: Target = Target {
    name: "return_to",
    run,
    seeds,
    words: &[
        "https://",
        "http://",
        "//",
        "/\\",
        "\\",
        "@",
        ":",
        "#",
        "?",
        "%2f",
        "%5c",
        "%00",
        "%09",
        "..",
        "/./",
        "/../",
        "pos.company.com",
        "evil.example",
        "javascript:",
        "blob:",
        "[::1]",
        "\u{3002}",
        "\u{2028}",
        "\t",
        "\n",
        " ",
        "xn--",
        ".",
        "127.0.0.1",
    ],
};

fn run(input: &[u8]) -> u64 {
    let text = text(input);
    let origins: [Origin; 2] =
        ["https://pos.company.com", "https://pos.company.com:8443"].map(|origin| origin.parse().expect("an origin"));
    let destination = Destination::return_to(&text, &origins);
    if let Ok(destination) = &destination {
        let written = destination.as_str();
        let origin = destination.origin();
        assert!(origins.contains(origin), "{written}");
        let rest = written.strip_prefix(origin.as_str()).expect("the URL begins with its origin");
        assert!(rest.starts_with('/') && written.bytes().all(|byte| byte.is_ascii_graphic()), "{written}");
        let read = Url::parse(written).expect("a URL");
        assert_eq!(
            (read.origin().ascii_serialization().as_str(), read.as_str()),
            (origin.as_str(), written),
            "read twice, read differently"
        );
        assert_eq!(Destination::return_to(written, &origins).as_ref(), Ok(destination), "what we write we also read");
    }
    let path = local_path(&text);
    assert!(path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\"), "{path}");
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path}");
    let base = Url::parse("https://pos.company.com/a/b").expect("a URL");
    assert_eq!(base.join(&path).expect("a path").origin(), base.origin(), "{path}");
    assert_eq!(local_path(&path), path, "what we write we also read");
    kind(&(destination.err(), path == "/", path.contains('%'), path.len().min(64) / 16))
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "https://pos.company.com/till?n=3#top",
        "https://pos.company.com:8443/",
        "https://pos.company.com",
        "https://pos.company.com@evil.example/",
        "https://pos.company.com.evil.example/",
        "//evil.example",
        "/\\evil.example",
        "/.//evil.example",
        "/orders?page=2#x",
        "/%2e%2e/%2fevil",
        "javascript:alert(1)",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
