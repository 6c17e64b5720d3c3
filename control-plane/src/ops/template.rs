//! Projects from templates, and templates from projects.

use std::collections::BTreeMap;

use data_encoding::BASE32_NOPAD;
use towline_shared::ids::ProjectId;
use zeroize::Zeroizing;

use super::OpsError;
use crate::detect::{self, Language, Tree};
use crate::passwords::PasswordError;
use crate::store::{Beginning, NewTemplate, Resource, Store, StoreError, TeamTemplate, Tenant};
use crate::templates::{self, Template};

/// Random bytes of a secret that is made for a project.
const SECRET_BYTES: usize = 20;

/// What a project is made from.
#[derive(Clone, Debug)]
pub struct FromTemplate {
    /// The template's name: an official one, or one of the team.
    pub name: String,
    /// What was chosen of its parameters.
    pub parameters: BTreeMap<String, String>,
}

/// What a project of this name begins with.
pub async fn begin_from(
    store: &Store,
    tenant: &Tenant,
    project: &str,
    from: &FromTemplate,
) -> Result<Beginning, OpsError> {
    let (files, secrets) = match templates::find(&from.name) {
        Some(official) => of_official(official, project, &from.parameters)?,
        None => (of_team(store, tenant, from).await?, Vec::new()),
    };
    Ok(Beginning {
        template: Some(from.name.clone()),
        files,
        secrets,
    })
}

type Content = (
    Vec<towline_shared::spec::ProjectFile>,
    Vec<(String, Zeroizing<String>)>,
);

fn of_official(
    template: &Template,
    project: &str,
    parameters: &BTreeMap<String, String>,
) -> Result<Content, OpsError> {
    let invalid = |invalid: templates::InvalidValue| StoreError::Invalid {
        field: "parameters",
        message: invalid.message,
        remedy: invalid.remedy,
    };
    let files = template.files(project, parameters).map_err(invalid)?;
    let wanted = template.manifest.secrets.iter();
    let secrets = wanted.map(|secret| Ok((secret.name.clone(), random_secret()?)));
    Ok((files, secrets.collect::<Result<_, OpsError>>()?))
}

async fn of_team(
    store: &Store,
    tenant: &Tenant,
    from: &FromTemplate,
) -> Result<Vec<towline_shared::spec::ProjectFile>, OpsError> {
    let found = store.template(tenant, &from.name).await;
    let template = found.map_err(|error| match error {
        StoreError::NotFound(Resource::Template) => StoreError::Invalid {
            field: "template",
            message: "there is no such template".to_owned(),
            remedy: "give the name of one: GET /templates lists them".to_owned(),
        },
        other => other,
    })?;
    if !from.parameters.is_empty() {
        let invalid = StoreError::Invalid {
            field: "parameters",
            message: "a team's own template has none".to_owned(),
            remedy: "leave them out".to_owned(),
        };
        return Err(invalid.into());
    }
    Ok(store.template_content(tenant, &template).await?.0)
}

/// Letters and digits alone, so that it stands in any address, file or shell as itself.
fn random_secret() -> Result<Zeroizing<String>, OpsError> {
    let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
    getrandom::fill(&mut *bytes).map_err(|error| PasswordError::Failed(error.to_string()))?;
    Ok(Zeroizing::new(BASE32_NOPAD.encode(&*bytes).to_lowercase()))
}

/// A language as the API writes it.
fn word(language: Language) -> String {
    format!("{language:?}").to_lowercase()
}

/// Makes a template of a project. What its language is, is detected.
pub async fn create_template(
    store: &Store,
    tenant: &Tenant,
    name: String,
    description: String,
    project: ProjectId,
) -> Result<TeamTemplate, OpsError> {
    if templates::find(&name).is_some() {
        let taken = StoreError::Conflict {
            message: format!("{name:?} is an official template"),
            remedy: "choose another name".to_owned(),
        };
        return Err(taken.into());
    }
    let files = store.read_files(tenant, project).await?;
    let detected = detect::detect(&Tree::new(&files, []));
    let new = NewTemplate {
        name,
        description,
        language: detected.app.language.map(word),
        project,
    };
    Ok(store.create_template(tenant, &new).await?)
}
