//! Mail to people, through the operator's mail server.

use std::time::Duration;

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::AsyncSmtpTransportBuilder;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use crate::config::{Smtp, SmtpSecurity};

/// How long each word with the mail server may take.
const PATIENCE: Duration = Duration::from_secs(30);

type Transport = AsyncSmtpTransport<Tokio1Executor>;

/// Sends mail. Clones are the same.
#[derive(Clone, Debug)]
pub struct Mailer {
    transport: Transport,
    from: Mailbox,
}

/// A mail of plain text.
#[derive(Debug)]
pub struct Mail {
    /// Whom it is for.
    pub to: String,
    /// What it is about, in one line.
    pub subject: String,
    /// What it says.
    pub text: String,
}

/// Why mail cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// Text that is no address, or an address that mail cannot be sent to.
    #[error("this is no address for mail: {0}")]
    Address(#[from] lettre::address::AddressError),
    /// The mail cannot be written.
    #[error("a mail cannot be written: {0}")]
    Message(#[from] lettre::error::Error),
    /// The mail server does not take it.
    #[error("the mail server does not take a mail: {0}")]
    Server(#[from] lettre::transport::smtp::Error),
}

impl MailError {
    /// Whether the same mail will never be taken.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Address(_) | Self::Message(_) => true,
            Self::Server(error) => error.is_permanent(),
        }
    }
}

impl Mailer {
    /// A way to the mail server; nothing is sent yet.
    pub fn new(smtp: &Smtp, password: Option<&str>) -> Result<Self, MailError> {
        let (server, user) = (&smtp.url.server, &smtp.url.user);
        let builder = transport(smtp.url.security, server.host())?;
        let builder = builder.port(server.port()).timeout(Some(PATIENCE));
        let builder = match (user, password) {
            (Some(user), Some(password)) => {
                builder.credentials(Credentials::new(user.clone(), password.to_owned()))
            }
            _ => builder,
        };
        Ok(Self {
            transport: builder.build(),
            from: smtp.from.parse()?,
        })
    }

    /// Hands a mail to the mail server.
    pub async fn send(&self, mail: Mail) -> Result<(), MailError> {
        let message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, mail.to.parse()?))
            .subject(mail.subject)
            .header(ContentType::TEXT_PLAIN)
            .body(mail.text)?;
        self.transport.send(message).await?;
        Ok(())
    }
}

fn transport(security: SmtpSecurity, host: &str) -> Result<AsyncSmtpTransportBuilder, MailError> {
    Ok(match security {
        SmtpSecurity::Tls => Transport::relay(host)?,
        SmtpSecurity::StartTls => Transport::starttls_relay(host)?,
        SmtpSecurity::Plain => Transport::builder_dangerous(host),
    })
}
