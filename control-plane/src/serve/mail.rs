//! The way to the operator's mail server.

use zeroize::Zeroizing;

use crate::config::{Config, Smtp, SmtpPassword};
use crate::error::StartError;
use crate::mail::Mailer;

/// As the configuration says; nothing when no mail is sent.
pub fn mailer(config: &Config) -> Result<Option<Mailer>, StartError> {
    let Some(smtp) = &config.smtp else {
        return Ok(None);
    };
    let password = password(smtp)?;
    let mailer = Mailer::new(smtp, password.as_ref().map(|password| password.as_str()))?;
    Ok(Some(mailer))
}

fn password(smtp: &Smtp) -> Result<Option<Zeroizing<String>>, StartError> {
    match &smtp.password {
        None => Ok(None),
        Some(SmtpPassword::Environment(password)) => Ok(Some(password.clone())),
        Some(SmtpPassword::File(path)) => {
            let remedy = "name the file of the mail server's password with --smtp-password-file";
            Ok(Some(super::secret_file(path, remedy)?))
        }
    }
}
