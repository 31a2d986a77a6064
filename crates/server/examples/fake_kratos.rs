//! The stand-in for Ory Kratos as a process, for trying `tests/upstream/kratos-live` where there is no real one:
//! `cargo run -p hallpass-server --example fake_kratos -- PUBLIC ADMIN DOMAIN ALLOWED`. It ends when its standard input does.

#[expect(dead_code, reason = "tests use more of it")]
#[path = "../tests/http/kratos/fake.rs"]
mod fake;

use std::io::Read as _;
use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [public, admin, domain, allowed] = &arguments[..] else {
        return ExitCode::FAILURE;
    };
    let kratos = fake::Fake::start(public, admin, domain, allowed).await;
    kratos.keep_time(|| jiff::Timestamp::now().as_millisecond());
    // Whoever started it holds the other end.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    match ended.await {
        Ok(Ok(_)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
