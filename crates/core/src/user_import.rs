//! Users from elsewhere: one row of a CSV file (RFC 4180) or one line of JSON Lines, read into an [`ImportedUser`].
//!
//! Strict: an unknown column or member is an error, because a misspelt `must_change_pasword` that is ignored would be noticed by
//! nobody. Messages name the line and the column and never repeat a value: it may be a password hash, or, in a file with swapped
//! columns, a password.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::Value;

use crate::authenticator::imported::InvalidHash;
use crate::authenticator::password::PasswordHash;
use crate::id::GroupName;
use crate::user::{DisplayName, InvalidName, Username};

/// Attributes of one user, as JSON, in bytes.
const MAX_ATTRIBUTES: usize = 4096;

/// The names that a header or an object may have; `attributes.city` counts as `attributes`.
const COLUMNS: &str =
    "username, display_name, email, password_hash, groups, must_change_password, disabled, attributes, attributes.NAME";

/// A user as another system had them.
#[derive(Debug, Clone)]
pub struct ImportedUser {
    /// Required.
    pub username: Username,
    /// The user name where the file gives none.
    pub display_name: DisplayName,
    /// For mail from us.
    pub email: Option<String>,
    /// Without one the user cannot sign in until an administrator sets a password.
    pub password_hash: Option<PasswordHash>,
    /// Sorted as in the file.
    pub groups: Vec<GroupName>,
    /// The next sign-in must choose a new password first.
    pub must_change_password: bool,
    /// May not sign in.
    pub disabled: bool,
    /// At most 4 KB as JSON.
    pub attributes: BTreeMap<String, Value>,
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ImportError {
    /// Counted from 1, as editors do.
    pub line: u64,
    /// Why.
    pub reason: ImportRefused,
}

/// Why a line is no user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefused {
    /// The header or object has a name that we do not know; given where it looks like a name.
    #[error("unknown column {0}; known are {COLUMNS}")]
    UnknownColumn(NameOrPlace),
    /// A column stands twice in the header, or a member twice in the object.
    #[error("{0} is there twice")]
    Twice(NameOrPlace),
    /// No `username` column or member.
    #[error("username is missing")]
    NoUsername,
    /// A row with more or fewer cells than the header.
    #[error("has {found} cells where the header has {expected}")]
    CellCount {
        /// In the header.
        expected: usize,
        /// In this row.
        found: usize,
    },
    /// Not JSON, or not an object.
    #[error("is not a JSON object; the fault is at character {0}")]
    NotJson(usize),
    /// A member of another type than it should have.
    #[error("has a member of the wrong type at character {0}")]
    WrongType(usize),
    /// `username`, `display_name`.
    #[error("{0} {1}")]
    Name(&'static str, InvalidName),
    /// `email`.
    #[error("email is not an address")]
    Email,
    /// `password_hash`.
    #[error("password_hash is {0}")]
    PasswordHash(InvalidHash),
    /// `groups`.
    #[error("groups has an entry that is not a valid group name (letters, digits and _ . : / -, at most 128)")]
    Group,
    /// `must_change_password`, `disabled`.
    #[error("{0} is neither true nor false")]
    NotABoolean(&'static str),
    /// `attributes`.
    #[error("attributes must be a JSON object of at most 4096 bytes, with names of 1 to 64 letters, digits, _ and -")]
    Attributes,
}

/// A column's name if it looks like one, otherwise its number: in a file without a header the first row holds hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameOrPlace {
    /// At most 40 letters, digits, `_`, `-` and `.`, with no more than three digits.
    Name(String),
    /// Counted from 1; 0 in an object.
    Place(usize),
}

impl NameOrPlace {
    fn of(name: &str, place: usize) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        if !name.is_empty() && name.len() <= 40 && digits <= 3 && name.bytes().all(plain) {
            Self::Name(name.to_owned())
        } else {
            Self::Place(place)
        }
    }
}

impl fmt::Display for NameOrPlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(formatter, "\"{name}\""),
            Self::Place(0) => formatter.write_str("(its name is not shown)"),
            Self::Place(place) => write!(formatter, "number {place} (is the header line missing?)"),
        }
    }
}

/// The first row of a CSV file: what each cell below means.
#[derive(Debug, Clone)]
pub struct Header(Vec<Column>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Column {
    Username,
    DisplayName,
    Email,
    PasswordHash,
    Groups,
    MustChangePassword,
    Disabled,
    Attributes,
    Attribute(String),
}

impl Header {
    /// Reads the first row. Errors name line 1.
    pub fn parse<'a>(cells: impl IntoIterator<Item = &'a str>) -> Result<Self, ImportError> {
        Self::read(cells).map_err(|reason| ImportError { line: 1, reason })
    }

    fn read<'a>(cells: impl IntoIterator<Item = &'a str>) -> Result<Self, ImportRefused> {
        let mut columns = Vec::new();
        for (index, cell) in cells.into_iter().enumerate() {
            // Spreadsheets write a byte order mark before the first name.
            let name = if index == 0 { cell.trim_start_matches('\u{feff}') } else { cell }.trim();
            let place = NameOrPlace::of(name, index + 1);
            let column = match name {
                "username" => Column::Username,
                "display_name" => Column::DisplayName,
                "email" => Column::Email,
                "password_hash" => Column::PasswordHash,
                "groups" => Column::Groups,
                "must_change_password" => Column::MustChangePassword,
                "disabled" => Column::Disabled,
                "attributes" => Column::Attributes,
                _ => match name.strip_prefix("attributes.") {
                    Some(attribute) if is_attribute_name(attribute) => Column::Attribute(attribute.to_owned()),
                    _ => return Err(ImportRefused::UnknownColumn(place)),
                },
            };
            if columns.contains(&column) {
                return Err(ImportRefused::Twice(place));
            }
            columns.push(column);
        }
        if columns.contains(&Column::Username) { Ok(Self(columns)) } else { Err(ImportRefused::NoUsername) }
    }

    /// Reads one row below the header; `line` is where it begins in the file. An empty cell is an absent value.
    pub fn user<'a>(&self, cells: impl IntoIterator<Item = &'a str>, line: u64) -> Result<ImportedUser, ImportError> {
        self.row(&cells.into_iter().collect::<Vec<_>>()).map_err(|reason| ImportError { line, reason })
    }

    fn row(&self, cells: &[&str]) -> Result<ImportedUser, ImportRefused> {
        if cells.len() != self.0.len() {
            return Err(ImportRefused::CellCount { expected: self.0.len(), found: cells.len() });
        }
        let mut raw = Raw::default();
        let mut single = Vec::new();
        for (column, cell) in
            self.0.iter().zip(cells.iter().map(|cell| cell.trim())).filter(|(_, cell)| !cell.is_empty())
        {
            match column {
                Column::Username => raw.username = Some(cell.to_owned()),
                Column::DisplayName => raw.display_name = Some(cell.to_owned()),
                Column::Email => raw.email = Some(cell.to_owned()),
                Column::PasswordHash => raw.password_hash = Some(cell.to_owned()),
                Column::Groups => raw.groups = Some(cell.split(';').map(|group| group.trim().to_owned()).collect()),
                Column::MustChangePassword => raw.must_change_password = Some(boolean("must_change_password", cell)?),
                Column::Disabled => raw.disabled = Some(boolean("disabled", cell)?),
                Column::Attributes => {
                    raw.attributes = Some(serde_json::from_str(cell).map_err(|_| ImportRefused::Attributes)?);
                }
                Column::Attribute(name) => single.push((name.clone(), Value::from(cell))),
            }
        }
        for (name, value) in single {
            if raw.attributes.get_or_insert_default().insert(name.clone(), value).is_some() {
                return Err(ImportRefused::Twice(NameOrPlace::of(&name, 0)));
            }
        }
        raw.check()
    }
}

/// Reads one line of JSON Lines: an object with the columns' names as members.
pub fn json_line(text: &str, line: u64) -> Result<ImportedUser, ImportError> {
    let text = text.trim_start_matches('\u{feff}').trim();
    // The library would also take an array, by position.
    let read = if text.starts_with('{') {
        serde_json::from_str::<Raw>(text).map_err(|error| json_refused(&error)).and_then(Raw::check)
    } else {
        Err(ImportRefused::NotJson(1))
    };
    read.map_err(|reason| ImportError { line, reason })
}

/// The library's messages repeat what they found, so only the kind and place of the error are kept.
fn json_refused(error: &serde_json::Error) -> ImportRefused {
    let message = error.to_string();
    let named = |prefix: &str| {
        let name = message.strip_prefix(prefix)?.split('`').next()?;
        Some(NameOrPlace::of(name, 0))
    };
    if !error.is_data() {
        ImportRefused::NotJson(error.column())
    } else if let Some(name) = named("unknown field `") {
        ImportRefused::UnknownColumn(name)
    } else if let Some(name) = named("duplicate field `") {
        ImportRefused::Twice(name)
    } else {
        ImportRefused::WrongType(error.column())
    }
}

/// One user as both formats bring it, before anything is checked.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    username: Option<String>,
    display_name: Option<String>,
    email: Option<String>,
    password_hash: Option<String>,
    groups: Option<Vec<String>>,
    must_change_password: Option<bool>,
    disabled: Option<bool>,
    attributes: Option<BTreeMap<String, Value>>,
}

impl Raw {
    fn check(self) -> Result<ImportedUser, ImportRefused> {
        let username = self.username.ok_or(ImportRefused::NoUsername)?;
        let username = Username::from_str(&username).map_err(|why| ImportRefused::Name("username", why))?;
        let shown = self.display_name.as_deref().unwrap_or(username.as_str());
        let display_name = shown.parse().map_err(|why| ImportRefused::Name("display_name", why))?;
        if self.email.as_deref().is_some_and(|email| !is_address(email)) {
            return Err(ImportRefused::Email);
        }
        let password_hash =
            self.password_hash.as_deref().map(str::parse).transpose().map_err(ImportRefused::PasswordHash)?;
        let mut groups: Vec<GroupName> = Vec::new();
        for group in self.groups.unwrap_or_default() {
            let group = group.parse().map_err(|_| ImportRefused::Group)?;
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let attributes = self.attributes.unwrap_or_default();
        let size = serde_json::to_string(&attributes).map_or(usize::MAX, |text| text.len());
        if size > MAX_ATTRIBUTES || !attributes.keys().all(|name| is_attribute_name(name)) {
            return Err(ImportRefused::Attributes);
        }
        Ok(ImportedUser {
            username,
            display_name,
            email: self.email,
            password_hash,
            groups,
            must_change_password: self.must_change_password.unwrap_or(false),
            disabled: self.disabled.unwrap_or(false),
            attributes,
        })
    }
}

fn boolean(column: &'static str, cell: &str) -> Result<bool, ImportRefused> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(ImportRefused::NotABoolean(column)),
    }
}

fn is_attribute_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether mail could go there at all. One `@`: quoted local parts are where parsers disagree (advisory T57).
fn is_address(text: &str) -> bool {
    let legal = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c))
    };
    let parts = text.split_once('@');
    text.len() <= 254 && parts.is_some_and(|(local, domain)| legal(local) && legal(domain) && !domain.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2b$04$tQyNoJmcrax/cvbCX4DMxed6LGPtSmebrQOgg1j8XUWXCZwUseddS";

    fn header(text: &str) -> Result<Header, ImportError> {
        Header::parse(text.split(','))
    }

    fn refused(read: Result<ImportedUser, ImportError>) -> ImportRefused {
        let error = read.expect_err("refused");
        assert_eq!(error.line, 7);
        assert!(!error.to_string().contains("tQyNo"), "{error}");
        error.reason
    }

    #[test]
    fn a_row_and_a_line_with_the_same_values_give_the_same_user() {
        let header =
            header("\u{feff}username, display_name,email,password_hash,groups,must_change_password,disabled,attributes.city,attributes")
                .expect("known columns");
        let cells = [
            "ana",
            "Ana Mar\u{ed}a",
            "ana@company.com",
            HASH,
            "store-12; staff;staff",
            "yes",
            "",
            "Lima",
            r#"{"till":4}"#,
        ];
        let row = header.user(cells, 2).expect("a user");
        let line = format!(
            r#"{{"username":"ana","display_name":"Ana Mar\u00eda","email":"ana@company.com","password_hash":"{HASH}","groups":["store-12","staff"],"must_change_password":true,"attributes":{{"city":"Lima","till":4}}}}"#
        );
        let line = json_line(&line, 2).expect("a user");
        assert_eq!(format!("{row:?}"), format!("{line:?}"));
        assert_eq!(row.password_hash.as_ref().map(PasswordHash::as_str), Some(HASH));
        assert_eq!(row.groups.iter().map(GroupName::as_str).collect::<Vec<_>>(), ["store-12", "staff"]);
        assert!(row.must_change_password && !row.disabled);
        assert!(!format!("{row:?}").contains("tQyNo"), "a hash in a log");
    }

    #[test]
    fn a_user_name_is_enough() {
        let user = header("username,email").expect("known columns").user(["bo", ""], 2).expect("a user");
        assert_eq!((user.display_name.as_str(), user.email, user.password_hash.is_none()), ("bo", None, true));
        assert!(json_line(r#"{"username":"bo"}"#, 1).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let hash = |text: &str| header("username,password_hash").expect("known").user(["ana", text], 7);
        assert_eq!(refused(hash("plain text")), ImportRefused::PasswordHash(InvalidHash::UnknownForm));
        assert_eq!(refused(hash(&HASH[..40])), ImportRefused::PasswordHash(InvalidHash::Malformed("bcrypt")));
        let header = header("username,email,groups,disabled,attributes").expect("known");
        let row = |cells: [&str; 5]| refused(header.user(cells, 7));
        assert_eq!(row(["", "", "", "", ""]), ImportRefused::NoUsername);
        assert_eq!(row(["a b", "", "", "", ""]), ImportRefused::Name("username", InvalidName::Forbidden));
        for email in
            ["ana", "@company.com", "ana@", "a@b@c", "\"a@b\"@c", "ana\u{ff20}company.com@x", "a b@c", "a\n@c", "a@.c"]
        {
            assert_eq!(row(["ana", email, "", "", ""]), ImportRefused::Email, "{email}");
        }
        assert_eq!(row(["ana", "", "a;;b", "", ""]), ImportRefused::Group);
        assert_eq!(row(["ana", "", "", "maybe", ""]), ImportRefused::NotABoolean("disabled"));
        for attributes in ["[1]", "{", &format!("{{\"a\":\"{}\"}}", "x".repeat(4096)), r#"{"":1}"#, r#"{"a b":1}"#] {
            assert_eq!(row(["ana", "", "", "", attributes]), ImportRefused::Attributes, "{attributes}");
        }
        assert_eq!(refused(header.user(["ana"], 7)), ImportRefused::CellCount { expected: 5, found: 1 });
        let error = header.user(["ana"], 7).expect_err("refused");
        assert_eq!(error.to_string(), "line 7: has 1 cells where the header has 5");
    }

    #[test]
    fn json_errors_never_repeat_what_they_found() {
        let line = |text: &str| refused(json_line(text, 7));
        assert_eq!(line(&format!(r#"{{"username":"ana","disabled":"{HASH}"}}"#)), ImportRefused::WrongType(91));
        assert_eq!(
            line(&format!(r#"{{"username":"ana","{HASH}":1}}"#)),
            ImportRefused::UnknownColumn(NameOrPlace::Place(0))
        );
        let misspelt = ImportRefused::UnknownColumn(NameOrPlace::Name("must_change_pasword".into()));
        assert_eq!(line(r#"{"username":"ana","must_change_pasword":true}"#), misspelt);
        assert_eq!(
            line(r#"{"username":"a","username":"b"}"#),
            ImportRefused::Twice(NameOrPlace::Name("username".into()))
        );
        assert!(matches!(line("ana"), ImportRefused::NotJson(_)));
        assert!(matches!(line(r#"{"username":"ana"}{"username":"bo"}"#), ImportRefused::NotJson(_)));
        assert_eq!(line(r#"["ana",null,null,null,null,null,null,null]"#), ImportRefused::NotJson(1));
        assert!(matches!(line(""), ImportRefused::NotJson(_)));
        assert_eq!(line("{}"), ImportRefused::NoUsername);
    }

    #[test]
    fn headers_are_exact_and_a_missing_header_does_not_print_hashes() {
        let reason = |text: &str| header(text).expect_err("refused").reason;
        assert_eq!(reason("username,usernam"), ImportRefused::UnknownColumn(NameOrPlace::Name("usernam".into())));
        assert_eq!(reason("username,email,email"), ImportRefused::Twice(NameOrPlace::Name("email".into())));
        assert_eq!(reason("email"), ImportRefused::NoUsername);
        assert_eq!(
            reason("username,attributes."),
            ImportRefused::UnknownColumn(NameOrPlace::Name("attributes.".into()))
        );
        let error = header(&format!("{HASH},ana")).expect_err("refused").to_string();
        assert!(error.starts_with("line 1: unknown column number 1 (is the header line missing?)"), "{error}");
    }

    #[test]
    fn one_attribute_given_twice_is_refused() {
        let header = header("username,attributes,attributes.city").expect("known");
        let row = header.user(["ana", r#"{"city":"Lima"}"#, "Cusco"], 7);
        assert_eq!(refused(row), ImportRefused::Twice(NameOrPlace::Name("city".into())));
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(text in "\\PC{0,80}", line in 1u64..9) {
            if let Err(error) = json_line(&text, line) {
                proptest::prop_assert_eq!(error.line, line);
            }
            let _ = header(&text);
        }
    }
}
