//! The load: a handful of workers, each with people of its own, so that what is acknowledged about one is in order.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::dice::Dice;
use crate::door::{Answer, Door};
use crate::figures::now;
use crate::furnish::{Cast, Furnished};
use crate::ledger::{Ending, Endings, Ledger};
use crate::rig::Checked;
use crate::scribe::{Order, Scribe};

/// Within this long a node knows what another process did: protocol §5.
pub const PROPAGATION: Duration = Duration::from_secs(1);
/// Between two sign-ins: hashing passwords all the time would leave the machine no time for anything else.
const BETWEEN_SIGN_INS: Duration = Duration::from_millis(30);

/// What all workers share.
pub struct Load {
    /// How to reach the node.
    pub door: Door,
    /// The app.
    pub furnished: Furnished,
    /// The people.
    pub cast: Cast,
    endings: Endings,
    killed: AtomicBool,
}

/// The workers at work.
pub struct Working(JoinSet<Ledger>);

impl Load {
    /// Nobody works yet.
    pub fn new(door: Door, furnished: Furnished, cast: Cast) -> Arc<Self> {
        Arc::new(Self { door, furnished, cast, endings: Endings::default(), killed: AtomicBool::new(false) })
    }

    /// Sets them to work.
    pub fn start(self: &Arc<Self>, scribes: [Scribe; 2], dice: &mut Dice) -> Working {
        let mut workers = JoinSet::new();
        let [first, second] = scribes;
        for _ in 0..2 {
            workers.spawn(self.clone().introspect(dice.split()));
        }
        for half in 0..2 {
            workers.spawn(self.clone().sign_out(half));
        }
        workers.spawn(self.clone().sign_in(dice.split()));
        workers.spawn(self.clone().sign_out_everywhere());
        workers.spawn(self.clone().change_roles(first, dice.split()));
        workers.spawn(self.clone().disable(second));
        Working(workers)
    }

    /// From now on errors mean nothing. To be called just before the processes are killed.
    pub fn over(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.killed.load(Ordering::SeqCst)
    }

    /// After an error: whether it is the kill's, or one that should not be.
    fn excused(&self, ledger: &mut Ledger, what: &str, error: impl std::fmt::Display) {
        if !self.is_over() {
            ledger.problems.push(format!("{what}, before anything was killed: {error}"));
        }
    }

    async fn introspect(self: Arc<Self>, mut dice: Dice) -> Ledger {
        let mut ledger = Ledger::default();
        let all: Vec<_> = self.cast.held().collect();
        while !self.is_over() {
            let held = *dice.pick(&all);
            let (before, sent) = (self.endings.of(held.session), now());
            let answer = match self.door.introspect(&self.furnished.secret, &held.pass).await {
                Ok(answer) => answer,
                Err(error) => {
                    self.excused(&mut ledger, "introspection failed", error);
                    break;
                }
            };
            ledger.introspected += 1;
            match (before, answer, self.endings.of(held.session)) {
                (Some(Ending::InactiveFrom(from)), Answer::Active { .. }, _) if sent >= from => {
                    ledger.problems.push(format!("{} is active after its end was acknowledged", held.session));
                }
                (_, Answer::Inactive, None) => {
                    ledger.problems.push(format!("{} is inactive although nobody ended it", held.session));
                }
                (_, Answer::Active { session, .. }, _) if session != held.session => {
                    ledger.problems.push(format!("the answer about {} is about {session}", held.session));
                }
                (_, Answer::Refused(status, body), _) => {
                    self.excused(&mut ledger, "introspection refused", format_args!("{status} {body}"));
                    break;
                }
                _ => {}
            }
        }
        ledger
    }

    async fn sign_out(self: Arc<Self>, half: usize) -> Ledger {
        let mut ledger = Ledger::default();
        for held in self.cast.leaving.iter().skip(half).step_by(2) {
            if self.is_over() {
                break;
            }
            self.endings.note([held.session], Ending::Begun);
            match self.door.sign_out(&self.furnished.secret, held.session, held.user).await {
                Ok(()) => {
                    self.endings.note([held.session], Ending::InactiveFrom(now()));
                    ledger.signed_out.done.push(held.session);
                }
                Err(error) => {
                    ledger.signed_out.in_flight.push(held.session);
                    self.excused(&mut ledger, "a sign-out failed", error);
                    break;
                }
            }
        }
        ledger
    }

    async fn sign_out_everywhere(self: Arc<Self>) -> Ledger {
        let mut ledger = Ledger::default();
        for sessions in &self.cast.leaving_everywhere {
            if self.is_over() {
                break;
            }
            let first = &sessions[0];
            let token = match self.door.account_token(first).await {
                Ok(token) => token,
                Err(error) => {
                    self.excused(&mut ledger, "the account page failed", error);
                    break;
                }
            };
            let ids = || sessions.iter().map(|held| held.session);
            self.endings.note(ids(), Ending::Begun);
            match self.door.sign_out_everywhere(first, &token).await {
                Ok(()) => {
                    self.endings.note(ids(), Ending::InactiveFrom(now()));
                    ledger.signed_out_everywhere.done.push(first.user);
                }
                Err(error) => {
                    ledger.signed_out_everywhere.in_flight.push(first.user);
                    self.excused(&mut ledger, "a sign-out everywhere failed", error);
                    break;
                }
            }
        }
        ledger
    }

    async fn sign_in(self: Arc<Self>, mut dice: Dice) -> Ledger {
        let mut ledger = Ledger::default();
        while !self.is_over() {
            let (user, name) = dice.pick(&self.cast.arriving).clone();
            match self.door.sign_in(&self.furnished.secret, &name, &mut dice).await {
                Ok(signed_in) => ledger.signed_in.push(signed_in),
                Err(error) => {
                    ledger.signing_in.push(user);
                    self.excused(&mut ledger, "a sign-in failed", error);
                    break;
                }
            }
            tokio::time::sleep(BETWEEN_SIGN_INS).await;
        }
        ledger
    }

    async fn change_roles(self: Arc<Self>, mut scribe: Scribe, mut dice: Dice) -> Ledger {
        let mut ledger = Ledger::default();
        let mut holds = HashSet::new();
        while !self.is_over() {
            let user = dice.pick(&self.cast.changing).user;
            let role = dice.pick(&self.furnished.roles).0;
            let had = holds.contains(&(user, role));
            let order = if had { Order::Withdraw(user, role) } else { Order::Grant(user, role) };
            if let Err(error) = scribe.order(order).await {
                ledger.changing_roles.push((user, role));
                self.excused(&mut ledger, "a role change failed", error);
                break;
            }
            if had {
                holds.remove(&(user, role))
            } else {
                holds.insert((user, role))
            };
            *ledger.role_changes.entry((user, role)).or_default() += 1;
        }
        ledger
    }

    async fn disable(self: Arc<Self>, mut scribe: Scribe) -> Ledger {
        let mut ledger = Ledger::default();
        for sessions in &self.cast.to_disable {
            if self.is_over() {
                break;
            }
            let user = sessions[0].user;
            let ids = || sessions.iter().map(|held| held.session);
            self.endings.note(ids(), Ending::Begun);
            if let Err(error) = scribe.order(Order::Disable(user)).await {
                ledger.disabled.in_flight.push(user);
                self.excused(&mut ledger, "disabling somebody failed", error);
                break;
            }
            self.endings.note(ids(), Ending::InactiveFrom(now() + PROPAGATION));
            ledger.disabled.done.push(user);
        }
        ledger
    }
}

impl Working {
    /// Waits for all of them: what they did, together.
    pub async fn finish(mut self) -> Checked<Ledger> {
        let mut all = Ledger::default();
        while let Some(ledger) = self.0.join_next().await {
            all.append(ledger?);
        }
        Ok(all)
    }
}
