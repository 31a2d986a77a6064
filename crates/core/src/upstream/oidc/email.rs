//! Mail addresses as far as anything is decided by them: a small part of RFC 5321 §4.1.2, in one form. Advisory T57.

use std::fmt;
use std::str::FromStr;

/// A mail address whose domain may be looked at: one `@`, ASCII, no quotes, no comments, no address literal. Compared in lower case.
///
/// Everything else, `"a@evil.com"@company.com` and `a＠company.com` among it, is no address here: two programs read it in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailAddress {
    text: Box<str>,
    at: usize,
}

impl MailAddress {
    /// In lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What follows the `@`, in lower case.
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

/// Not an address that anything is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a plain mail address")]
pub struct NoMailAddress;

impl FromStr for MailAddress {
    type Err = NoMailAddress;

    fn from_str(text: &str) -> Result<Self, NoMailAddress> {
        let (local, domain) = text.split_once('@').ok_or(NoMailAddress)?;
        let atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        let dotted = local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
        if !dotted || local.len() > 64 || !is_domain(domain) {
            return Err(NoMailAddress);
        }
        Ok(Self { text: text.to_ascii_lowercase().into(), at: local.len() })
    }
}

impl fmt::Display for MailAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Whether a text is the domain of a mail address: letters, digits and hyphens in at least two labels.
pub fn is_domain(text: &str) -> bool {
    let label = |label: &str| {
        let plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        plain && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.contains('.') && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_and_no_other() {
        let address: MailAddress = "Ana.Costa+x@Mail.Company.COM".parse().expect("an address");
        assert_eq!((address.as_str(), address.domain()), ("ana.costa+x@mail.company.com", "mail.company.com"));
        for bad in [
            "",
            "ana",
            "@company.com",
            "ana@",
            "ana@company",
            "ana@evil.com@company.com",
            "\"ana@evil.com\"@company.com",
            "ana\u{ff20}company.com",
            "ana@comp\u{e4}ny.com",
            "ana@company.com ",
            " ana@company.com",
            "ana@company.com\n",
            "ana@company.com,ben@company.com",
            "<ana@company.com>",
            "ana@[127.0.0.1]",
            ".ana@company.com",
            "ana..b@company.com",
            "ana@-company.com",
            "ana@company..com",
            "ana@company.com.",
            "ana(x)@company.com",
        ] {
            assert!(bad.parse::<MailAddress>().is_err(), "{bad}");
        }
    }
}
