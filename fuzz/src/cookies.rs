//! The `Cookie` header at the home host: whatever other hosts of the company put into it, our own cookie is found, and found once.

use hallpass_server::web::cookies::{Presented, SESSION, presented};
use http::{HeaderMap, HeaderValue, header};

use crate::{Target, kind};

pub const TARGET: Target = Target {
    name: "cookies",
    run,
    seeds,
    words: &[
        "__Host-Http-hallpass=",
        "__Host-Http-hallpass",
        "__host-http-hallpass=",
        "; ",
        ";",
        "=",
        "\t",
        "\"",
        "\n",
    ],
};

fn run(input: &[u8]) -> u64 {
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    let mut headers = HeaderMap::new();
    for line in &lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let before = match presented(&headers, SESSION) {
        Presented::None => 0,
        Presented::One(value) => {
            let pair = format!("{SESSION}={value}");
            let there = |line: &&[u8]| line.windows(pair.len()).any(|window| window == pair.as_bytes());
            assert!(value.is_empty() || lines.iter().any(there), "a value that nobody sent");
            1
        }
        Presented::Several => 2,
    };
    // Ours at the end, as far as cookies are looked at at all.
    let pairs: usize =
        headers.get_all(header::COOKIE).iter().map(|line| line.as_bytes().split(|byte| *byte == b';').count()).sum();
    if pairs < 64 {
        headers.append(header::COOKIE, HeaderValue::from_static("__Host-Http-hallpass=ours"));
        let wanted = if before == 0 { Presented::One("ours") } else { Presented::Several };
        assert_eq!(presented(&headers, SESSION), wanted, "another cookie hides ours, or passes for it");
    }
    kind(&(before, lines.len().min(4), pairs.min(64) / 16))
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "",
        "__Host-Http-hallpass=x",
        "a=1; __Host-Http-hallpass=x; b=2",
        "__Host-Http-hallpass=x; __Host-Http-hallpass=y",
        "__Host-Http-hallpass=x\n__Host-Http-hallpass=y",
        "a=\"b; __Host-Http-hallpass=x\"",
        "=; novalue; =x; a==; __Secure-hallpass-pass=e30.e30.x",
    ]
    .map(|seed| seed.as_bytes().to_vec())
    .to_vec()
}
