//! User imports: a line is a user or an error that repeats nothing of the line.

use hallpass_core::user_import::{Header, ImportError, ImportedUser, json_line};

use crate::{Target, kind, text};

pub const TARGET: Target = Target {
    name: "import",
    run,
    seeds,
    words: &[
        "username",
        "display_name",
        "email",
        "password_hash",
        "groups",
        "must_change_password",
        "disabled",
        "attributes",
        "attributes.x",
        "true",
        "false",
        "null",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\u0000",
        "\\ud800",
        "$argon2id$v=19$m=19456,t=2,p=1$",
        "$2b$12$",
        "$pbkdf2-sha256$i=600000$",
        "$scrypt$ln=17,r=8,p=1$",
        "4294967295",
        "\u{202e}",
        "\n",
        ";",
    ],
};

/// Stands for a password hash in every line.
const CANARY: &str = "canary7361canary7361";

fn run(input: &[u8]) -> u64 {
    let text = text(input);
    let json = json_line(&text, 7);
    let mut lines = text.lines();
    let header = Header::parse(lines.next().unwrap_or_default().split(','));
    let row = header.as_ref().ok().map(|header| header.user(lines.next().unwrap_or_default().split(','), 8));
    for error in [json.as_ref().err(), header.as_ref().err(), row.as_ref().and_then(|row| row.as_ref().err())]
        .into_iter()
        .flatten()
    {
        let said = error.to_string();
        assert!(said.len() < 500, "{said}");
        assert!(!said.contains(CANARY), "repeats a value: {said}");
    }
    for user in [json.as_ref().ok(), row.as_ref().and_then(|row| row.as_ref().ok())].into_iter().flatten() {
        assert!(!user.username.canonical().is_empty() && !user.username.canonical().contains(char::is_whitespace));
        let attributes = serde_json::to_string(&user.attributes).expect("JSON");
        assert!(attributes.len() <= 4096, "{} bytes of attributes", attributes.len());
        if let Some(hash) = &user.password_hash {
            // Other members may repeat it; this one must not add to that.
            let shown = |user: &ImportedUser| format!("{user:?}").matches(hash.as_str()).count();
            let without = ImportedUser { password_hash: None, ..user.clone() };
            assert_eq!(shown(user), shown(&without), "Debug shows the hash");
        }
    }
    // The name of the reason alone: where it was found makes no difference.
    let reason = |error: Option<&ImportError>| {
        error.map(|error| format!("{:?}", error.reason).split(['(', ' ']).next().unwrap_or_default().to_owned())
    };
    let row = row.as_ref().and_then(|row| row.as_ref().err());
    kind(&(reason(json.as_ref().err()), reason(header.as_ref().err()), reason(row)))
}

fn seeds() -> Vec<Vec<u8>> {
    let hash = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    [
        format!(r#"{{"username":"ana","display_name":"Ana Costa","email":"ana@company.com","password_hash":"{hash}"}}"#),
        r#"{"username":"bob","groups":["till","night"],"must_change_password":true,"disabled":false,"attributes":{"store":12}}"#.to_owned(),
        format!(r#"{{"username":"ana","password_hash":"{CANARY}"}}"#),
        format!("username,password_hash,groups,disabled\nana,{hash},till;night,false"),
        format!("username,password_hash,attributes.city\nana,{CANARY},Lisbon"),
        format!("username,email\n{CANARY},{CANARY}"),
    ]
    .map(String::into_bytes)
    .to_vec()
}
