//! How our types are written into columns and read back: identifiers as their text, digests as bytes, instants as
//! milliseconds, sets of words as one spaced text. A value that does not read back is [`StoreError::Broken`].

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use hallpass_core::app::Origin;
use hallpass_core::handoff::CodeChallenge;
use hallpass_core::id::{
    AppKey, Audience, AuditId, FamilyId, GroupId, GroupName, KeyId, PermissionName, RoleId, RoleName, SecretId,
    SessionId, UserId, ZoneName,
};
use hallpass_core::jwk::Thumbprint;
use hallpass_core::logout::LogoutUrl;
use hallpass_core::oidc::{
    ClientIdUrl, ClientKeys, RedirectUri, RequestedClaims, Resources, Scope, SectorIdentifier, UserCode,
};
use hallpass_core::secret::Digest;
use hallpass_core::session::{Acr, Amr, EndReason};
use hallpass_core::time::Timestamp;
use hallpass_core::upstream::UpstreamId;
use hallpass_core::user::{DisplayName, Username};
use hallpass_core::zone::{CookieDomain, CookieName};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::StoreError;
use crate::sql::{Parameter, Position, Row, Value};

/// What can be read from a column.
pub(crate) trait Column: Sized {
    /// `None` where the column is `NULL`.
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError>;
}

impl Row {
    /// A column that is never `NULL`.
    pub(crate) fn column<C: Column>(&self, column: impl Position) -> Result<C, StoreError> {
        C::read(self, column)?.ok_or_else(|| StoreError::broken(format_args!("{column:?} is NULL")))
    }

    /// A column that may be `NULL`.
    pub(crate) fn optional<C: Column>(&self, column: impl Position) -> Result<Option<C>, StoreError> {
        C::read(self, column)
    }

    /// A text that must parse.
    pub(crate) fn parse<T: FromStr<Err: Display>>(&self, column: impl Position) -> Result<Option<T>, StoreError> {
        let parse = |text: &str| text.parse().map_err(|error| StoreError::broken(format_args!("{column:?} {error}")));
        self.text(column)?.map(parse).transpose()
    }

    /// A JSON text.
    pub(crate) fn json<T: DeserializeOwned>(&self, column: impl Position) -> Result<T, StoreError> {
        let text = self.text(column)?.unwrap_or_default();
        serde_json::from_str(text).map_err(|error| StoreError::broken(format_args!("{column:?}: {error}")))
    }
}

/// The text of a value that is stored as JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::broken(format_args!("cannot be written as JSON: {error}")))
}

/// The word serde gives a unit variant: `assigned`.
pub(crate) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(json(value)?.trim_matches('"').to_owned())
}

/// Reads back what [`word`] wrote.
pub(crate) fn from_word<T: DeserializeOwned>(word: &str) -> Result<T, StoreError> {
    serde_json::from_value(word.into()).map_err(StoreError::broken)
}

/// Identifiers and names: their text.
macro_rules! texts {
    ($($name:ty)*) => {$(
        impl Parameter for $name {
            const NULL: Value = Value::Text(None);
            fn value(&self) -> Value {
                Value::Text(Some(self.to_string()))
            }
        }

        impl Column for $name {
            fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
                row.parse(column)
            }
        }
    )*};
}

texts! {
    AppKey Audience AuditId FamilyId GroupId GroupName KeyId PermissionName RoleId RoleName SecretId SessionId UserId ZoneName
    Origin DisplayName CookieDomain Username LogoutUrl RedirectUri RequestedClaims Resources Scope SectorIdentifier UpstreamId UserCode
    ClientKeys ClientIdUrl
}

impl Parameter for str {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        Value::Text(Some(self.to_owned()))
    }
}

impl Parameter for String {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        Value::Text(Some(self.clone()))
    }
}

impl Column for String {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        Ok(row.text(column)?.map(str::to_owned))
    }
}

impl Parameter for CookieName {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.as_str().value()
    }
}

impl Column for CookieName {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        row.parse(column)
    }
}

impl Parameter for i64 {
    const NULL: Value = Value::Integer(None);
    fn value(&self) -> Value {
        Value::Integer(Some(*self))
    }
}

impl Column for i64 {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        row.integer(column)
    }
}

impl Parameter for u32 {
    const NULL: Value = Value::Integer(None);
    fn value(&self) -> Value {
        i64::from(*self).value()
    }
}

impl Column for u32 {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        row.integer(column)?.map(|number| number.try_into().map_err(StoreError::broken)).transpose()
    }
}

impl Parameter for bool {
    const NULL: Value = Value::Integer(None);
    fn value(&self) -> Value {
        i64::from(*self).value()
    }
}

impl Column for bool {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        Ok(row.integer(column)?.map(|number| number != 0))
    }
}

impl Parameter for Timestamp {
    const NULL: Value = Value::Integer(None);
    fn value(&self) -> Value {
        self.as_millis().value()
    }
}

impl Column for Timestamp {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        Ok(row.integer(column)?.map(Self::from_millis))
    }
}

/// Whole milliseconds.
impl Parameter for Duration {
    const NULL: Value = Value::Integer(None);
    fn value(&self) -> Value {
        i64::try_from(self.as_millis()).unwrap_or(i64::MAX).value()
    }
}

impl Column for Duration {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        row.integer(column)?
            .map(|millis| millis.try_into().map(Self::from_millis).map_err(StoreError::broken))
            .transpose()
    }
}

impl Parameter for [u8] {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        Value::Bytes(Some(self.to_vec()))
    }
}

impl Parameter for Vec<u8> {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        Value::Bytes(Some(self.clone()))
    }
}

impl Column for Vec<u8> {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        Ok(row.bytes(column)?.map(<[u8]>::to_vec))
    }
}

impl<K> Parameter for Digest<K> {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        self.as_bytes()[..].value()
    }
}

impl<K> Column for Digest<K> {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        let digest = |bytes: &[u8]| bytes.try_into().map(Self::from_bytes).map_err(StoreError::broken);
        row.bytes(column)?.map(digest).transpose()
    }
}

impl Parameter for CodeChallenge {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        self.as_bytes()[..].value()
    }
}

impl Column for CodeChallenge {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        let challenge = |bytes: &[u8]| bytes.try_into().map(Self::from_bytes).map_err(StoreError::broken);
        row.bytes(column)?.map(challenge).transpose()
    }
}

impl Parameter for Thumbprint {
    const NULL: Value = Value::Bytes(None);
    fn value(&self) -> Value {
        self.as_bytes()[..].value()
    }
}

impl Column for Thumbprint {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        let thumbprint = |bytes: &[u8]| bytes.try_into().map(Self::from_bytes).map_err(StoreError::broken);
        row.bytes(column)?.map(thumbprint).transpose()
    }
}

impl Parameter for EndReason {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.as_str().value()
    }
}

impl Column for EndReason {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        let known = |text: &str| Self::parse(text).ok_or_else(|| StoreError::broken("unknown end reason"));
        row.text(column)?.map(known).transpose()
    }
}

impl Parameter for Acr {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.as_str().value()
    }
}

impl Column for Acr {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        row.text(column)?.map(|text| Self::parse(text).ok_or_else(|| StoreError::broken("unknown acr"))).transpose()
    }
}

/// In order of use, with a space between.
impl Parameter for Vec<Amr> {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.iter().map(|amr| amr.as_str()).collect::<Vec<_>>().join(" ").value()
    }
}

impl Column for Vec<Amr> {
    fn read(row: &Row, column: impl Position) -> Result<Option<Self>, StoreError> {
        let words = |text: &str| {
            let known = |word| Amr::parse(word).ok_or_else(|| StoreError::broken("unknown amr"));
            text.split_ascii_whitespace().map(known).collect()
        };
        row.text(column)?.map(words).transpose()
    }
}

impl Parameter for BTreeMap<String, serde_json::Value> {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        // A map of strings to JSON values has no way to fail.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".into()).value()
    }
}

/// Already on its way.
impl Parameter for Value {
    const NULL: Value = Value::Text(None);
    fn value(&self) -> Value {
        self.clone()
    }
}

impl<T: Parameter> Parameter for Option<T> {
    const NULL: Value = T::NULL;
    fn value(&self) -> Value {
        self.as_ref().map_or(T::NULL, Parameter::value)
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    const NULL: Value = T::NULL;
    fn value(&self) -> Value {
        (**self).value()
    }
}
