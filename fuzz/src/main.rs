//! Feeds the targets with nonsense on a stable toolchain: mutates seeds, keeps what led to a new kind of outcome.
//!
//! `HALLPASS_FUZZ_SECONDS` per target (60), `HALLPASS_FUZZ_SEED` to repeat a run. Arguments: names of targets, or one name and a
//! file to run again. Ends with `N passed, N failed`.
#![expect(clippy::print_stdout, reason = "a command that reports to whoever runs it")]

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hallpass_core::crypto::{Random, SystemRandom, sha256};
use hallpass_fuzz::{TARGETS, Target};

/// Inputs are cut to this; nothing we read is longer but bodies, and their limit is tested elsewhere.
const LONGEST: usize = 16 * 1024;
/// Inputs kept beside the seeds.
const KEPT: usize = 2000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, file] = &arguments[..]
        && Path::new(file).is_file()
    {
        return again(name, file);
    }
    if let Some(unknown) = arguments.iter().find(|name| TARGETS.iter().all(|target| target.name != **name)) {
        println!("no target {unknown}; there are {}", TARGETS.map(|target| target.name).join(", "));
        return ExitCode::from(2);
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let time = Duration::from_secs(number("HALLPASS_FUZZ_SECONDS").unwrap_or(60));
    let seed = number("HALLPASS_FUZZ_SEED").unwrap_or_else(|| {
        let mut bytes = [0; 4];
        SystemRandom.fill(&mut bytes);
        u32::from_be_bytes(bytes).into()
    });
    println!("HALLPASS_FUZZ_SEED={seed}");
    let chosen =
        TARGETS.iter().filter(|target| arguments.is_empty() || arguments.iter().any(|name| name == target.name));
    let next = Mutex::new(chosen);
    // A processor for each, so that two at a time each get their whole minute.
    let crew = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        let (mut passed, mut failed) = (0, 0);
        while let Some(target) = { next.lock().expect("nobody panics here").next() } {
            match fuzz(target, time, seed) {
                Ok(()) => passed += 1,
                Err(input) => {
                    report(target, &input);
                    failed += 1;
                }
            }
        }
        (passed, failed)
    };
    let (passed, failed) = std::thread::scope(|scope| {
        let crew: Vec<_> = (0..crew).map(|_| scope.spawn(work)).collect();
        let counts = crew.into_iter().map(|member| member.join().expect("its inputs' panics are caught"));
        counts.fold((0, 0), |(passed, failed), (more, worse)| (passed + more, failed + worse))
    });
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs one input as it was found.
fn again(name: &str, file: &str) -> ExitCode {
    let (Some(target), Ok(input)) = (TARGETS.iter().find(|target| target.name == name), std::fs::read(file)) else {
        println!("no target {name}, or {file} cannot be read");
        return ExitCode::from(2);
    };
    (target.run)(&input);
    println!("{name}: nothing is wrong with it");
    ExitCode::SUCCESS
}

/// The input that broke a promise, if one did.
#[expect(clippy::disallowed_methods, reason = "how long to go on is a matter of real time")]
fn fuzz(target: &Target, time: Duration, seed: u64) -> Result<(), Vec<u8>> {
    let name = sha256(target.name.as_bytes());
    let mut dice = Dice(seed ^ u64::from_be_bytes(name[..8].try_into().expect("eight bytes")));
    let mut inputs = (target.seeds)();
    let mut kinds = HashSet::new();
    let outcome = |input: &[u8]| catch_unwind(AssertUnwindSafe(|| (target.run)(input))).map_err(|_| input.to_vec());
    kinds.insert(outcome(&[])?);
    for input in &inputs {
        kinds.insert(outcome(input)?);
    }
    let seeds = inputs.len();
    let mut runs = 0u64;
    let started = Instant::now();
    while started.elapsed() < time {
        let input = mutated(&inputs, target.words, &mut dice);
        runs += 1;
        if kinds.insert(outcome(&input)?) && inputs.len() < seeds + KEPT {
            inputs.push(input);
        }
    }
    println!("{}: {runs} inputs, {} kinds of outcome, nothing wrong", target.name, kinds.len());
    Ok(())
}

/// Keeps an input that broke a promise.
fn report(target: &Target, input: &[u8]) {
    let digest = u64::from_be_bytes(sha256(input)[..8].try_into().expect("eight bytes"));
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts");
    let path = directory.join(format!("{}-{digest:016x}", target.name));
    let kept = std::fs::create_dir_all(&directory).and_then(|()| std::fs::write(&path, input));
    let place =
        if kept.is_ok() { format!("fuzz/run {} {}", target.name, path.display()) } else { format!("{input:?}") };
    println!("{}: a promise is broken; look at it again with: {place}", target.name);
}

/// One input, changed one to eight times.
fn mutated(inputs: &[Vec<u8>], words: &[&str], dice: &mut Dice) -> Vec<u8> {
    let mut input = inputs[dice.below(inputs.len())].clone();
    for _ in 0..=dice.below(8) {
        let at = dice.below(input.len() + 1);
        let end = at + dice.below(input.len() - at + 1);
        match dice.below(9) {
            0 if at < input.len() => input[at] ^= 1 << dice.below(8),
            1 if at < input.len() => input[at] = dice.byte(),
            2 => input.insert(at, dice.byte()),
            3 => drop(input.drain(at..end)),
            4 => input.truncate(at),
            5 => {
                let chunk = input[at..end].to_vec();
                input.splice(at..at, chunk);
            }
            6 => {
                let other = &inputs[dice.below(inputs.len())];
                let from = dice.below(other.len() + 1);
                input.splice(at..end, other[from..].iter().copied());
            }
            7 => drop(input.splice(at..end, words[dice.below(words.len())].bytes())),
            _ => drop(input.splice(at..at, words[dice.below(words.len())].bytes())),
        }
        input.truncate(LONGEST);
    }
    input
}

/// `SplitMix64`: small, fast, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).expect("below a usize")
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault that is two words and one byte away from the seed is found; the same seed finds the same input.
    #[test]
    fn a_planted_fault_is_found_and_found_again() {
        fn run(input: &[u8]) -> u64 {
            let text = String::from_utf8_lossy(input);
            let (opened, closed) = (text.contains("<<"), text.contains(">>"));
            assert!(!(opened && closed && text.contains('!')), "planted");
            u64::from(opened) + 2 * u64::from(closed)
        }
        let planted = Target { name: "planted", run, seeds: || vec![b"seed".to_vec()], words: &["<<", ">>"] };
        let found = || fuzz(&planted, Duration::from_mins(1), 7).expect_err("found");
        let input = found();
        assert!(input.contains(&b'!'));
        assert_eq!(found(), input);
    }
}
