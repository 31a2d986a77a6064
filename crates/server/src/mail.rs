//! Mail by SMTP (RFC 5321): plain text, one recipient a message. For alerts.
//!
//! The mail server is usually an internal one and speaks no HTTP, so the rules for outgoing requests do not apply to it. What does: encryption is not
//! left to luck. `smtps://` (TLS from the start) and `smtp://…?tls=required` (STARTTLS or nothing); bare `smtp://` to a relay on this machine only.

use std::time::{Duration, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hallpass_core::crypto::sha256;
use hallpass_core::time::Timestamp;
use lettre::message::header::{ContentTransferEncoding, ContentType};
use lettre::message::{Mailbox, Message};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use url::{Host, Url};

/// For each step of the conversation.
const STEP: Duration = Duration::from_secs(10);
/// For all of it.
const TOTAL: Duration = Duration::from_secs(30);

/// A mail server and whom we are there.
#[derive(Debug, Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// One mail.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Names it; the same again is recognised by whoever files it.
    pub id: &'a str,
    /// Whom to.
    pub to: &'a Mailbox,
    /// What about. Line ends and other control characters become spaces.
    pub subject: &'a str,
    /// Plain text.
    pub body: &'a str,
    /// When it was written.
    pub at: Timestamp,
}

/// Why a mail was not taken, or a mail server cannot be used. Never contains the password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MailError(String);

impl Mailer {
    /// `smtps://user:password@mail.company.com`.
    pub fn new(url: &str, from: Mailbox) -> Result<Self, MailError> {
        let parsed: Url = url
            .parse()
            .map_err(|_| MailError("not a URL such as smtps://user:password@mail.company.com".to_owned()))?;
        let host =
            parsed.host_str().filter(|host| !host.is_empty()).ok_or_else(|| MailError("names no host".to_owned()))?;
        let local = host == "localhost"
            || Host::parse(host).is_ok_and(|host| match host {
                Host::Ipv4(address) => address.is_loopback(),
                Host::Ipv6(address) => address.is_loopback(),
                Host::Domain(_) => false,
            });
        let required = parsed.query_pairs().any(|(name, value)| name == "tls" && value == "required");
        match parsed.scheme() {
            "smtps" => {}
            "smtp" if required || local => {}
            "smtp" => {
                return Err(MailError(
                    "without encryption only to this machine: use smtps://, or add ?tls=required for STARTTLS"
                        .to_owned(),
                ));
            }
            _ => return Err(MailError("the scheme must be smtps or smtp".to_owned())),
        }
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|error| MailError(error.to_string()))?;
        Ok(Self { transport: transport.timeout(Some(STEP)).build(), from })
    }

    /// Hands it to the server. At least once: an error after the last word may come although it was taken.
    pub async fn send(&self, mail: Mail<'_>) -> Result<(), MailError> {
        let message = self.message(mail)?;
        match tokio::time::timeout(TOTAL, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MailError(error.to_string())),
            Err(_) => Err(MailError("the mail server takes too long".to_owned())),
        }
    }

    fn message(&self, mail: Mail<'_>) -> Result<Message, MailError> {
        let subject: String =
            mail.subject.chars().map(|character| if character.is_control() { ' ' } else { character }).collect();
        let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(mail.at.as_millis()).unwrap_or(0));
        let id = format!("<{}@{}>", URL_SAFE_NO_PAD.encode(sha256(mail.id.as_bytes())), self.from.email.domain());
        Message::builder()
            .from(self.from.clone())
            .to(mail.to.clone())
            .subject(subject)
            .date(at)
            .message_id(Some(id))
            .header(ContentType::TEXT_PLAIN)
            .header(ContentTransferEncoding::QuotedPrintable)
            .body(mail.body.to_owned())
            .map_err(|error| MailError(error.to_string()))
    }
}

/// `Name <name@company.com>` or `name@company.com`.
pub fn mailbox(text: &str) -> Result<Mailbox, MailError> {
    text.parse().map_err(|error| MailError(format!("{text:?} is not a mail address: {error}")))
}

/// A mail server for tests, on loopback: takes one mail, and hands over what it was told.
#[cfg(test)]
pub(crate) mod tests {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;

    /// Its URL, and everything the client says to it in one conversation. `refuse` answers the recipient with 550.
    pub async fn server(refuse: bool) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("smtp://{}", listener.local_addr().expect("an address"));
        let conversation = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let (read, mut write) = stream.split();
            let (mut lines, mut heard, mut data) = (BufReader::new(read).lines(), Vec::new(), false);
            write.write_all(b"220 test\r\n").await.expect("sent");
            while let Ok(Some(line)) = lines.next_line().await {
                let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
                heard.push(line.clone());
                let answer: &[u8] = match (data, &*line, &*verb) {
                    (true, ".", _) => b"250 taken\r\n",
                    (true, ..) => continue,
                    (_, _, "EHLO") => b"250-test\r\n250 8BITMIME\r\n",
                    (_, _, "RCPT") if refuse => b"550 nobody here\r\n",
                    (_, _, "DATA") => b"354 go on\r\n",
                    (_, _, "QUIT") => b"221 bye\r\n",
                    _ => b"250 fine\r\n",
                };
                data = !data && verb == "DATA";
                write.write_all(answer).await.expect("sent");
            }
            heard
        });
        (url, conversation)
    }

    fn mail<'a>(to: &'a Mailbox, subject: &'a str, body: &'a str) -> Mail<'a> {
        Mail { id: "alert:1", to, subject, body, at: Timestamp::from_seconds(1_700_000_000) }
    }

    fn mailer(url: &str) -> Mailer {
        Mailer::new(url, mailbox("Hallpass <hallpass@company.com>").expect("an address")).expect("a mailer")
    }

    #[tokio::test]
    async fn a_mail_arrives_with_its_subject_and_text() {
        let (url, conversation) = server(false).await;
        let to = mailbox("ops@company.com").expect("an address");
        mailer(&url)
            .send(mail(&to, "Hallpass: possible theft at pos", "Line one.\n.\nLine three.\n"))
            .await
            .expect("taken");
        let heard = conversation.await.expect("a conversation");
        for line in [
            "MAIL FROM:<hallpass@company.com>",
            "RCPT TO:<ops@company.com>",
            "Subject: Hallpass: possible theft at pos",
            "To: ops@company.com",
            "Date: Tue, 14 Nov 2023 22:13:20 +0000",
            "Line one.",
            "..",
            "Line three.",
        ] {
            assert!(heard.iter().any(|have| have.trim_end() == line), "{line}: {heard:#?}");
        }
        assert_eq!(heard.iter().filter(|line| line.starts_with("Message-ID: <")).count(), 1);
    }

    #[tokio::test]
    async fn no_header_and_no_command_can_be_smuggled_in() {
        let (url, conversation) = server(false).await;
        let to = mailbox("ops@company.com").expect("an address");
        let subject = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nRCPT TO:<evil@example.com>";
        mailer(&url).send(mail(&to, subject, "a\r\n.\r\nRCPT TO:<evil@example.com>\r\n")).await.expect("taken");
        let heard = conversation.await.expect("a conversation");
        let headers: Vec<_> =
            heard.iter().skip_while(|line| *line != "DATA").take_while(|line| !line.is_empty()).collect();
        assert!(!headers.iter().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{heard:#?}");
        assert_eq!(heard.iter().filter(|line| *line == ".").count(), 1, "the text ends once: {heard:#?}");
        assert_eq!(heard.iter().take_while(|line| *line != "DATA").filter(|line| line.starts_with("RCPT")).count(), 1);
        assert!(mailbox("ops@company.com\r\nBcc: evil@example.com").is_err());
        assert!(mailbox("a@company.com> <b@company.com").is_err());
    }

    #[tokio::test]
    async fn a_refusal_is_an_error() {
        let (url, conversation) = server(true).await;
        let to = mailbox("nobody@company.com").expect("an address");
        let error = mailer(&url).send(mail(&to, "s", "b")).await.expect_err("refused");
        assert!(error.to_string().contains("550"), "{error}");
        conversation.await.expect("a conversation");
    }

    #[test]
    fn encryption_is_not_optional() {
        let from = || mailbox("hallpass@company.com").expect("an address");
        for fine in [
            "smtps://user:password@mail.company.com",
            "smtp://mail.company.com:587?tls=required",
            "smtp://localhost",
            "smtp://[::1]:2525",
        ] {
            Mailer::new(fine, from()).expect(fine);
        }
        for bad in [
            "smtp://mail.company.com",
            "smtp://u:pa55word@10.0.0.1?tls=opportunistic",
            "https://mail.company.com",
            "mail.company.com",
            "smtp:",
        ] {
            let error = Mailer::new(bad, from()).expect_err(bad).to_string();
            assert!(!error.contains("pa55word"), "{error}");
        }
    }
}
