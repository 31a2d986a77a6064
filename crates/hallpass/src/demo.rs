//! `hallpass demo`: engine, cashier and POS on `*.company.localhost`, an outlet on `company2.localhost` and a back office, bound to its host, on
//! `company3.localhost`, all in one process on one port. Nothing to install, no hosts file, no certificate: browsers resolve `*.localhost` to this machine and treat it as
//! secure.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use hallpass_client::Hallpass;
use hallpass_core::audit::Actor;
use hallpass_core::authenticator::password::Password;
use hallpass_core::crypto::{Random as _, SystemRandom};
use hallpass_core::user_import::json_line;
use hallpass_demo::Addresses;
use hallpass_server::admin;
use hallpass_server::admin::apply::{self, File};
use hallpass_server::config::{Config, SignOutConfig};
use hallpass_server::context::{Clock, Context};
use hallpass_server::engine::{self, Engine};
use hallpass_server::listen::{Dispatch, Site};
use hallpass_store::users;

use crate::serve;
use crate::shell::Failure;

/// What `demo` takes.
#[derive(Args)]
pub struct Arguments {
    /// Port on this machine; 0 takes any that is free.
    #[arg(long, default_value_t = 7070)]
    port: u16,
    /// Also register the Express app of demo/express, and print how to start it; it listens on this port
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "7080")]
    express: Option<u16>,
}

const PEOPLE: [(&str, &str); 2] = [("ana", "Ana Costa"), ("ben", "Ben Okafor")];

/// Zones, apps, and who may do what in them: what `hallpass apply` takes.
const REGISTRY: &str = r#"
[zones.home]
cookie_domain = "company.localhost"
home = true

[zones.company2]
cookie_domain = "company2.localhost"
alias = "SSO2"

[zones.office]
cookie_domain = "office.company3.localhost"
bound = true

[apps.cashier]
name = "Cashier"
origins = ["CASHIER"]
[apps.cashier.roles]
cashier = ["canCreateOrder"]
shift-lead = ["canCreateOrder", "canCloseTill"]

[apps.pos]
name = "Point of sale"
origins = ["POS"]
[apps.pos.roles]
seller = ["canCreateOrder"]
refunder = ["canRefund"]

[apps.outlet]
name = "Outlet"
zone = "company2"
origins = ["OUTLET"]
[apps.outlet.roles]
seller = ["canCreateOrder"]
refunder = ["canRefund"]

[apps.office]
name = "Back office"
zone = "office"
origins = ["OFFICE"]
agent = true
sensitive = true
[apps.office.roles]
clerk = ["canSeePay"]
paymaster = ["canSeePay", "canPay"]

[users.ana.roles]
cashier = ["shift-lead"]
pos = ["seller", "refunder"]
outlet = ["seller"]
office = ["paymaster"]

[users.ben.roles]
cashier = ["cashier"]
pos = ["seller"]
outlet = ["seller", "refunder"]
office = ["clerk"]
"#;

/// The app of `demo/express`, a process of its own with the TypeScript SDK; at company2 like the outlet, and its own agent.
const EXPRESS: &str = r#"
[apps.express]
name = "Point of sale 2"
zone = "company2"
origins = ["EXPRESS"]
agent = true
[apps.express.roles]
seller = ["canCreateOrder"]
refunder = ["canRefund"]

[users.ana.roles]
express = ["seller"]

[users.ben.roles]
express = ["seller", "refunder"]
"#;

struct Shown {
    username: &'static str,
    display_name: &'static str,
    password: String,
}

/// Runs it until it is told to stop.
///
/// `data` keeps the data in that folder instead of one that is thrown away.
pub async fn run(arguments: Arguments, data: Option<PathBuf>, json: bool) -> Result<ExitCode, Failure> {
    serve::start_log(false, "warn");
    let listener = engine::bind(SocketAddr::from(([127, 0, 0, 1], arguments.port))).await?;
    let address = listener.local_addr()?;
    let temporary = if data.is_none() { Some(tempfile::tempdir()?) } else { None };
    let data_dir = data.or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned())).unwrap_or_default();
    std::fs::create_dir_all(&data_dir)?;
    let at = |name: &str| format!("http://{}:{}", host(name), address.port());
    let config = Config {
        public_url: Some(at("auth").parse()?),
        cookie_domain: Some("company.localhost".to_owned()),
        data_dir: data_dir.clone(),
        internal_listen: None,
        brand: "Company".to_owned(),
        // Programs that somebody tries with it run on this computer, too; without this none would hear of a sign-out.
        sign_out: SignOutConfig { allow_internal: vec!["127.0.0.0/8".to_owned().try_into()?] },
        ..Config::default()
    };
    let engine = Engine::start(config, Clock::System).await?;
    let express = arguments.express.map(|port| format!("http://pos.company2.localhost:{port}"));
    let (people, secrets) = furnish(&engine.context, &at, express.as_deref()).await?;

    let app = |key: &'static str, other: &str| -> Result<_, Failure> {
        let sdk =
            Hallpass::builder(at("auth"), key, secrets[key].as_str()).origin(at(key)).connect_to(address).build()?;
        Ok((sdk, Addresses { engine: at("auth"), other_app: at(other) }))
    };
    let (cashier, pos, outlet) = (app("cashier", "pos")?, app("pos", "cashier")?, app("outlet", "cashier")?);
    let office = (
        Hallpass::builder(at("auth"), "office", secrets["office"].as_str())
            .origin(at("office"))
            .connect_to(address)
            .bound()
            .build()?,
        Addresses { engine: at("auth"), other_app: at("cashier") },
    );
    let apps = HashMap::from([
        (authority(&at("cashier")), Site::App(hallpass_demo::cashier(&cashier.0, cashier.1))),
        (authority(&at("pos")), Site::App(hallpass_demo::pos(&pos.0, pos.1))),
        (authority(&at("outlet")), Site::App(hallpass_demo::outlet(&outlet.0, outlet.1))),
        (authority(&at("office")), Site::App(hallpass_demo::office(&office.0, office.1))),
    ]);
    let express = express.map(|origin| started_by(&origin, &at("auth"), &secrets["express"]));
    announce(&at, &people, &data_dir, express.as_ref(), json);

    let stopper = engine.stopper();
    tokio::spawn(async move {
        serve::stop_signal().await;
        stopper.send_replace(true);
    });
    let own = engine.sites();
    let dispatch: Dispatch = Arc::new(move |host| apps.get(host).cloned().or_else(|| own(host)));
    engine.serve_hosts(listener, dispatch).await;
    engine.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// The host of an app, of the engine (`auth`), or of what it answers for the other root domain (`sso2`).
fn host(name: &str) -> String {
    match name {
        "outlet" => "outlet.company2.localhost".to_owned(),
        "office" => "office.company3.localhost".to_owned(),
        "sso2" => "sso.company2.localhost".to_owned(),
        _ => format!("{name}.company.localhost"),
    }
}

fn authority(url: &str) -> String {
    url.trim_start_matches("http://").to_owned()
}

/// Apps, roles, people. Secrets and passwords are made anew at every start; nothing is built in.
async fn furnish(
    context: &Context,
    at: &impl Fn(&str) -> String,
    express: Option<&str>,
) -> Result<(Vec<Shown>, HashMap<&'static str, String>), Failure> {
    let (actor, now) = (&Actor::System, context.now());
    let mut shown = Vec::new();
    let mut hashes = Vec::new();
    for (username, display_name) in PEOPLE {
        let password = passphrase();
        hashes.push(context.passwords.hash(Password::presented(password.clone())?).await?);
        shown.push(Shown { username, display_name, password });
    }
    let mut write = context.store.write().await?;
    for (person, hash) in shown.iter().zip(&hashes) {
        let user = if let Some(user) = users::by_username(&mut write, &person.username.parse()?).await? {
            user
        } else {
            // Many programs that know only OpenID Connect want an address of everybody.
            let email = format!("{}@company.example", person.username);
            let line =
                serde_json::json!({ "username": person.username, "display_name": person.display_name, "email": email });
            admin::users::add(&mut write, &json_line(&line.to_string(), 1)?, actor, now).await?
        };
        admin::users::set_password(&mut write, &user, hash, false, actor, now).await?;
    }
    let places = [("CASHIER", "cashier"), ("POS", "pos"), ("OUTLET", "outlet"), ("OFFICE", "office"), ("SSO2", "sso2")];
    let registry = places.iter().fold(REGISTRY.to_owned(), |text, (place, name)| text.replace(place, &at(name)));
    let more = express.map(|origin| EXPRESS.replace("EXPRESS", origin));
    for registry in [Some(registry), more].into_iter().flatten() {
        let registry: File = registry.parse()?;
        let steps = apply::plan(&mut write, &registry, false).await?;
        apply::execute(&mut write, &steps, actor, now).await?;
    }
    let mut secrets = HashMap::new();
    for key in ["cashier", "pos", "outlet", "office"].into_iter().chain(express.map(|_| "express")) {
        let minted = admin::apps::replace_secrets(&mut write, &key.parse()?, actor, now).await?;
        secrets.insert(key, minted.secret.expose().to_string());
    }
    write.commit().await?;
    Ok((shown, secrets))
}

/// Four short words: easy to type from a terminal into a browser.
fn passphrase() -> String {
    const WORDS: [&str; 64] = [
        "amber", "anchor", "apple", "arrow", "badge", "basket", "beacon", "bridge", "button", "candle", "canyon",
        "castle", "cedar", "chalk", "cliff", "clover", "copper", "coral", "cotton", "cricket", "daisy", "desert",
        "drum", "eagle", "ember", "falcon", "feather", "fern", "flint", "forest", "garden", "ginger", "glacier",
        "hammer", "harbor", "hazel", "island", "ivory", "jasper", "kettle", "ladder", "lantern", "lemon", "linen",
        "maple", "marble", "meadow", "mirror", "needle", "olive", "orchid", "paper", "pebble", "pepper", "pillow",
        "quartz", "ribbon", "river", "saddle", "silver", "thunder", "velvet", "walnut", "willow",
    ];
    let mut bytes = [0u8; 5];
    SystemRandom.fill(&mut bytes);
    bytes.map(|byte| WORDS[usize::from(byte) % WORDS.len()]).join("-")
}

/// The environment of the Express app.
fn started_by(origin: &str, engine: &str, secret: &str) -> [(&'static str, String); 5] {
    let port = origin.rsplit(':').next().unwrap_or_default();
    [
        ("ENGINE", engine.to_owned()),
        ("APP_KEY", "express".to_owned()),
        ("SECRET_KEY", secret.to_owned()),
        ("ORIGIN", origin.to_owned()),
        ("PORT", port.to_owned()),
    ]
}

fn announce(
    at: &impl Fn(&str) -> String,
    people: &[Shown],
    data_dir: &std::path::Path,
    express: Option<&[(&'static str, String); 5]>,
    json: bool,
) {
    if json {
        let users: Vec<_> = people
            .iter()
            .map(|person| serde_json::json!({ "username": person.username, "password": person.password, "display_name": person.display_name }))
            .collect();
        let line = serde_json::json!({
            "engine": at("auth"),
            "apps": { "cashier": at("cashier"), "pos": at("pos"), "outlet": at("outlet"), "office": at("office") },
            "express": express.map(|variables| variables.iter().cloned().collect::<HashMap<_, _>>()),
            "users": users,
            "data_dir": data_dir,
        });
        println!("{line}");
        return;
    }
    println!("\n  Hallpass demo is running. Open the cashier, sign in, then open the point of sale:\n");
    println!("    Cashier         {}", at("cashier"));
    println!("    Point of sale   {}", at("pos"));
    println!("    Outlet          {}   (another root domain)", at("outlet"));
    println!("    Back office     {}   (a third, and bound to its host)", at("office"));
    println!("    My account      {}/account\n", at("auth"));
    for person in people {
        println!("    {:<12} user name {}   password {}", person.display_name, person.username, person.password);
    }
    if let Some(variables) = express {
        let line: String = variables.iter().fold(String::new(), |line, (name, value)| line + name + "=" + value + " ");
        println!("\n  The Express app, in another terminal, in demo/express:\n\n    {line}npm start");
    }
    println!(
        "\n  Ana may refund at the point of sale, Ben at the outlet. Passwords and secrets were made just now.\n  Ctrl-C stops it.\n"
    );
}
