//! The second process: changes roles and disables people by way of the store, as an administrator's command beside a
//! running server does, and is killed with it. One order a line on standard input, one answer a line on standard output.

use std::io::BufRead as _;
use std::process::Stdio;

use hallpass_core::audit::{Actor, Entry, Event};
use hallpass_core::crypto::SystemRandom;
use hallpass_core::id::{RoleId, UserId};
use hallpass_store::roles::Holder;
use hallpass_store::{DatabaseUrl, Store, audit, roles, users};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::furnish::{APP, instant};
use crate::node::as_user;
use crate::rig::{Checked, Rig, Site};

/// Something to change.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Gives somebody a role.
    Grant(UserId, RoleId),
    /// Takes it away.
    Withdraw(UserId, RoleId),
    /// Disables somebody, which ends their sessions.
    Disable(UserId),
}

/// Talks to a running scribe. Whoever started it holds the process.
pub struct Scribe {
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Scribe {
    /// Starts one and waits until it has opened the database.
    pub async fn start(rig: &Rig, site: &Site) -> Checked<(Self, Child)> {
        let mut command = Command::new(&rig.own_binary);
        command.arg("scribe").env_clear().env("HALLPASS_DATABASE_URL", &site.database_url).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        as_user(&mut command, rig);
        let mut child = command.spawn()?;
        let orders = child.stdin.take().ok_or("the scribe has no standard input")?;
        let answers = child.stdout.take().ok_or("the scribe has no standard output")?;
        let mut scribe = Self { orders, answers: BufReader::new(answers).lines() };
        scribe.answer().await?;
        Ok((scribe, child))
    }

    /// Gives an order and waits until it is carried out.
    pub async fn order(&mut self, order: Order) -> Checked<()> {
        self.orders.write_all(format!("{}\n", serde_json::to_string(&order)?).as_bytes()).await?;
        self.answer().await
    }

    async fn answer(&mut self) -> Checked<()> {
        match self.answers.next_line().await? {
            Some(line) if line == "done" => Ok(()),
            Some(line) => Err(format!("the scribe says: {line}").into()),
            None => Err("the scribe is gone".into()),
        }
    }
}

/// What the process itself does.
pub async fn be(database: &str) -> Checked<()> {
    let store = Store::open(&database.parse::<DatabaseUrl>()?).await?;
    println!("done");
    for line in std::io::stdin().lock().lines() {
        carry_out(&store, serde_json::from_str(&line?)?).await?;
        println!("done");
    }
    Ok(())
}

/// Effect and audit entry in one transaction.
pub async fn carry_out(store: &Store, order: Order) -> Checked<()> {
    let now = instant();
    let mut write = store.write().await?;
    let entry = |event| Entry::new(event, Actor::Cli, now, &mut SystemRandom);
    let app = APP.parse()?;
    let (done, entry) = match order {
        Order::Grant(user, role) => (
            roles::assign(&mut write, &role, Holder::User(user), now).await?,
            entry(Event::RoleGranted).user(user).app(&app).with("role", &role),
        ),
        Order::Withdraw(user, role) => (
            roles::unassign(&mut write, &role, Holder::User(user), now).await?,
            entry(Event::RoleWithdrawn).user(user).app(&app).with("role", &role),
        ),
        Order::Disable(user) => {
            (users::set_disabled(&mut write, &user, true, now).await?, entry(Event::UserDisabled).user(user))
        }
    };
    if !done {
        return Err(format!("{order:?} changed nothing: somebody has done it before").into());
    }
    audit::append(&mut write, &(&entry).into()).await?;
    write.commit().await?;
    Ok(())
}
