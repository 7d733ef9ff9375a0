//! The host's account with an authority: made once, and kept.

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};

use crate::client::Client;
use crate::folder::{Folder, FolderError, KeptAccount};
use crate::settings::Settings;

/// What an authority answers about an account that it does not know.
const UNKNOWN: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AccountError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("the account that was kept cannot be used: {0}")]
    Kept(serde_json::Error),
    #[error(transparent)]
    Acme(#[from] instant_acme::Error),
}

/// Finds the account, or makes one. Asks the authority for its directory in any
/// case.
pub(crate) async fn account(
    client: &Client,
    folder: &Folder,
    settings: &Settings,
) -> Result<Account, AccountError> {
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let contact: Vec<_> = settings.config.contact.iter().map(String::as_str).collect();
    let Some(mut kept) = folder.account()? else {
        let new = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let external = settings.external.as_ref();
        let external = external.map(|(id, key)| ExternalAccountKey::new(id.clone(), key));
        let directory = settings.config.directory.clone();
        let (account, credentials) = builder.create(&new, directory, external.as_ref()).await?;
        tracing::info!(account = %crate::client::shown(account.id().to_owned()), "made an account with the authority");
        keep(folder, settings, &credentials)?;
        return Ok(account);
    };
    let credentials: AccountCredentials =
        serde_json::from_value(kept.credentials.clone()).map_err(AccountError::Kept)?;
    let account = builder.from_credentials(credentials).await?;
    if kept.contact != settings.config.contact {
        account.update_contacts(&contact).await?;
        kept.contact.clone_from(&settings.config.contact);
        folder.keep_account(&kept)?;
    }
    Ok(account)
}

fn keep(
    folder: &Folder,
    settings: &Settings,
    credentials: &AccountCredentials,
) -> Result<(), AccountError> {
    let credentials = serde_json::to_value(credentials).map_err(AccountError::Kept)?;
    let contact = settings.config.contact.clone();
    Ok(folder.keep_account(&KeptAccount {
        contact,
        credentials,
    })?)
}

/// Whether an authority has forgotten the account, as one that keeps them in
/// memory does when it starts again.
pub(crate) fn is_unknown(error: &instant_acme::Error) -> bool {
    matches!(error, instant_acme::Error::Api(problem) if problem.r#type.as_deref() == Some(UNKNOWN))
}
