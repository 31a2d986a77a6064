//! The pages around signing out: the question before it, and the receipt after it.

use askama::Template;
use hallpass_core::logout::Told;

use super::{Person, asset_path};

/// `GET /sign-out` without an intent: asks first, so that a link or an image elsewhere signs nobody out. Posts `csrf_token`.
#[derive(Debug, Clone, Template)]
#[template(path = "sign_out.html")]
pub struct SignOutPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Synchronizer token of the session.
    pub csrf_token: String,
    /// Who would be signed out.
    pub person: Person,
}

/// Signed out, or nobody was signed in.
#[derive(Debug, Clone, Template)]
#[template(path = "signed_out.html")]
pub struct SignedOutPage {
    /// Name of the product, as configured.
    pub brand: String,
    /// Every session of the person has ended, not only this browser's.
    pub everywhere: bool,
    /// The apps that had learned of it; may be empty.
    pub apps: Vec<ReceiptLine>,
    /// Not all of them know: the page looks again by itself.
    pub pending: bool,
    /// There are some that cannot be told.
    pub untold: bool,
}

impl SignedOutPage {
    /// Without a receipt.
    pub fn plain(brand: String) -> Self {
        Self { brand, everywhere: false, apps: Vec::new(), pending: false, untold: false }
    }
}

/// One app on a sign-out receipt.
#[derive(Debug, Clone)]
pub struct ReceiptLine {
    /// Its name.
    pub app: String,
    /// Its zone's domain.
    pub domain: String,
    /// Whether it knows.
    pub told: Told,
}

impl ReceiptLine {
    fn state(&self) -> &'static str {
        match self.told {
            Told::SignedOut => "signed_out",
            Told::Untold => "untold",
            Told::Retrying => "retrying",
            Told::Unreachable => "unreachable",
        }
    }

    fn words(&self) -> &'static str {
        match self.told {
            Told::SignedOut => "Signed out",
            Told::Untold => "Not told",
            Told::Retrying => "Being told",
            Told::Unreachable => "Not reached",
        }
    }
}
