//! The pages. Buttons obey permissions for the eye; what counts is `require` on the routes behind them.

use askama::Template;
use hallpass_client::Caller;

use crate::Addresses;
use crate::ledger::{Amount, Entry, Good, Ledger};

/// What the pages share: which app, who, what they may do, what has happened.
pub(crate) struct Shell {
    app: &'static str,
    other_app: &'static str,
    other_url: String,
    account_url: String,
    name: String,
    username: String,
    csrf_token: String,
    roles: Vec<String>,
    permissions: Vec<String>,
    recent: Vec<Entry>,
    message: Message,
}

/// What to say about the click that led here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// There was none.
    Nothing,
    /// It was done.
    Done(String),
    /// It was not, and why.
    Wrong(&'static str),
}

impl Message {
    /// What the entry `number` says, if it is one of the last few and the caller's own.
    pub(crate) fn about(number: Option<&str>, ledger: &Ledger, caller: &Caller) -> Self {
        number
            .and_then(|number| number.parse().ok())
            .and_then(|number: u64| {
                ledger.recent().into_iter().find(|entry| entry.number == number && entry.user_id == caller.user_id())
            })
            .map_or(Self::Nothing, |entry| Self::Done(entry.what))
    }
}

impl Shell {
    pub(crate) fn new(
        [app, other_app]: [&'static str; 2],
        addresses: &Addresses,
        caller: &Caller,
        ledger: &Ledger,
        message: Message,
    ) -> Self {
        Self {
            app,
            other_app,
            other_url: format!("{}/", addresses.other_app),
            account_url: format!("{}/account", addresses.engine),
            name: caller.name().to_owned(),
            username: caller.username().to_owned(),
            csrf_token: caller.csrf_token().unwrap_or_default().to_owned(),
            roles: caller.roles().to_vec(),
            permissions: caller.permissions().to_vec(),
            recent: ledger.recent(),
            message,
        }
    }

    /// First letters of the first and the last name.
    fn initials(&self) -> String {
        let mut letters = self.name.split_whitespace().filter_map(|word| word.chars().find(|c| c.is_alphanumeric()));
        let (first, last) = (letters.next(), letters.next_back());
        first.into_iter().chain(last).flat_map(char::to_uppercase).collect()
    }
}

/// The cashier's page.
#[derive(Template)]
#[template(path = "cashier.html")]
pub(crate) struct CashierPage {
    pub(crate) shell: Shell,
    pub(crate) goods: &'static [Good],
    pub(crate) till: Amount,
    pub(crate) may_create_order: bool,
    pub(crate) may_close_till: bool,
}

/// The point of sale's page.
#[derive(Template)]
#[template(path = "pos.html")]
pub(crate) struct PosPage {
    pub(crate) shell: Shell,
    pub(crate) goods: &'static [Good],
    pub(crate) may_sell: bool,
    pub(crate) may_refund: bool,
}

/// The back office's page.
#[derive(Template)]
#[template(path = "office.html")]
pub(crate) struct OfficePage {
    pub(crate) shell: Shell,
    pub(crate) wages: &'static [(&'static str, Amount)],
    pub(crate) may_see: bool,
    pub(crate) may_pay: bool,
}

/// The finished document.
pub(crate) fn render(page: &impl Template) -> String {
    page.render().expect("writing text into a String cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::GOODS;

    const CANARY: &str = "<script>\"'&canary";

    fn shell(message: Message) -> Shell {
        let canary = || CANARY.to_owned();
        Shell {
            app: "Cashier",
            other_app: "Point of sale",
            other_url: canary(),
            account_url: canary(),
            name: canary(),
            username: canary(),
            csrf_token: canary(),
            roles: vec![canary(), canary()],
            permissions: vec![canary()],
            recent: vec![Entry { number: 1, user_id: canary(), by: canary(), what: canary() }],
            message,
        }
    }

    fn cashier(may: bool) -> String {
        let shell = shell(Message::Done(CANARY.to_owned()));
        render(&CashierPage { shell, goods: &GOODS, till: Amount(1250), may_create_order: may, may_close_till: may })
    }

    fn pos(may: bool) -> String {
        let shell = shell(Message::Wrong("Not like that."));
        render(&PosPage { shell, goods: &GOODS, may_sell: may, may_refund: may })
    }

    fn office(may: bool) -> String {
        let shell = shell(Message::Wrong("Not like that."));
        let wages = if may { &crate::office::WAGES[..] } else { &[] };
        render(&OfficePage { shell, wages, may_see: may, may_pay: may })
    }

    #[test]
    fn every_text_comes_out_escaped() {
        // Links, name, username, three tokens, two roles, a permission, and an entry's two texts; the cashier's message too.
        for (html, shown) in [(cashier(true), 13), (pos(true), 12), (office(true), 11)] {
            assert!(!html.contains("<script") && !html.contains(CANARY));
            assert_eq!(html.matches("&#60;script&#62;&#34;&#39;&#38;canary").count(), shown);
        }
    }

    #[test]
    fn a_page_has_a_language_a_title_and_one_heading_and_nothing_inline() {
        for html in [cashier(true), cashier(false), pos(true), pos(false), office(true), office(false)] {
            assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">") && html.contains("<title>Cashier</title>"));
            assert_eq!(html.matches("<h1").count(), 1);
            assert_eq!(html.matches("<form").count(), html.matches("name=\"csrf_token\"").count());
            assert!(["style=", "<style", "onclick", "javascript:"].iter().all(|inline| !html.contains(inline)));
        }
    }

    #[test]
    fn what_one_may_not_do_is_disabled_and_says_why() {
        for (html, permissions) in
            [(cashier(false), ["canCreateOrder", "canCloseTill"]), (pos(false), ["canCreateOrder", "canRefund"])]
        {
            assert_eq!(html.matches(" disabled aria-describedby=").count(), 2);
            for permission in permissions {
                assert!(html.contains(&format!("that takes the permission {permission}.")), "{permission}");
            }
        }
        assert!(office(false).contains("that takes the permission canSeePay.") && !office(false).contains("Ana Costa"));
        for html in [cashier(true), pos(true), office(true)] {
            assert!(!html.contains(" disabled") && !html.contains("that takes the permission"));
        }
    }
}
