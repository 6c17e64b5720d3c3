//! Images: by which ids and digests they are known, and tags of our own that keep them.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use bollard::auth::DockerCredentials;
use bollard::errors::Error;
use bollard::models::ImageHistoryResponseItem;
use bollard::query_parameters::{
    ImportImageOptionsBuilder, ListImagesOptions, ListImagesOptionsBuilder,
    PushImageOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};

use super::super::logins::Login;
use super::{Engine, EngineError};

/// How long an engine may read or write an archive of images before it says anything; the job's own time ends it
/// earlier.
const TRANSFER_TIMEOUT: Duration = Duration::from_hours(2);

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Under which digests registries have it.
    pub digests: Vec<String>,
    /// Its layers by the digests of their plain bytes, the lowest first.
    pub layers: Vec<String>,
    /// What it takes on the disk, in bytes.
    pub size: u64,
}

/// A step of an image's making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) struct HistoryStep {
    /// The instruction, as the builder wrote it down.
    pub made_by: String,
    /// What it added, in bytes.
    pub size: u64,
}

/// Why an image was not pushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::executor::docker) enum PushError {
    /// The engine's own trouble.
    #[error(transparent)]
    Engine(EngineError),
    /// What the engine tells of the registry.
    #[error("{0}")]
    Registry(String),
}

impl Engine {
    /// An image by a name, a digest or an id, if the engine has it.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let client = self.client().await?;
        match self.call(client.inspect_image(reference)).await {
            Ok(image) => Ok(image.id.map(|id| Image {
                id,
                digests: image.repo_digests.unwrap_or_default(),
                layers: image
                    .root_fs
                    .and_then(|root| root.layers)
                    .unwrap_or_default(),
                size: image
                    .size
                    .and_then(|size| u64::try_from(size).ok())
                    .unwrap_or(0),
            })),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How an image was made, the first step first.
    pub async fn history(&self, image: &str) -> Result<Vec<HistoryStep>, EngineError> {
        let client = self.client().await?;
        let history = self.call(client.image_history(image)).await?;
        let step = |item: ImageHistoryResponseItem| HistoryStep {
            made_by: item.created_by,
            size: u64::try_from(item.size).unwrap_or(0),
        };
        Ok(history.into_iter().rev().map(step).collect())
    }

    /// The engine's id of an image, if it has it.
    pub async fn image_id(&self, reference: &str) -> Result<Option<String>, EngineError> {
        Ok(self.image(reference).await?.map(|image| image.id))
    }

    /// Gives an image a further name, which nothing else may have.
    pub async fn tag(&self, image: &str, name: &str, tag: &str) -> Result<(), EngineError> {
        let options = TagImageOptionsBuilder::new().repo(name).tag(tag).build();
        let client = self.client().await?;
        self.call(client.tag_image(image, Some(options))).await
    }

    /// The names of all images whose name, without its tag, matches a pattern (`towline/shop/*`).
    pub async fn tags(&self, pattern: &str) -> Result<Vec<String>, EngineError> {
        let filters = HashMap::from([("reference", vec![pattern])]);
        let options = ListImagesOptionsBuilder::new().filters(&filters).build();
        let client = self.client().await?;
        let images = self.call(client.list_images(Some(options))).await?;
        Ok(images
            .into_iter()
            .flat_map(|image| image.repo_tags)
            .collect())
    }

    /// The layers of each image that the engine has. Those that two images share, from the lowest on, it has once.
    pub async fn all_layers(&self) -> Result<Vec<Vec<String>>, EngineError> {
        let client = self.client().await?;
        let options = None::<ListImagesOptions>;
        let images = self.call(client.list_images(options)).await?;
        let mut layers = Vec::with_capacity(images.len());
        for image in images {
            layers.extend(self.image(&image.id).await?.map(|image| image.layers));
        }
        Ok(layers)
    }

    /// The archive of images, as `docker save` writes it.
    pub async fn save(
        &self,
        images: &[&str],
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, EngineError> {
        let client = self.client().await?.with_timeout(TRANSFER_TIMEOUT);
        Ok(client.export_images(images).map_err(io::Error::other))
    }

    /// Takes an archive of images, as `docker load` does.
    pub async fn load(
        &self,
        archive: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Result<(), EngineError> {
        let client = self.client().await?.with_timeout(TRANSFER_TIMEOUT);
        let options = ImportImageOptionsBuilder::new().quiet(true).build();
        let mut told = Box::pin(client.import_image_stream(options, archive, None));
        while let Some(told) = told.next().await {
            told.map_err(|error| self.explain(&error))?;
        }
        Ok(())
    }

    /// Has a name's image go to its registry; gives the engine's words while it does.
    pub async fn push(
        &self,
        name: &str,
        tag: &str,
        login: &Login,
    ) -> Result<impl Stream<Item = Result<String, PushError>> + Send + use<>, EngineError> {
        let client = self.client().await?.with_timeout(TRANSFER_TIMEOUT);
        let options = PushImageOptionsBuilder::new().tag(tag).build();
        let credentials = DockerCredentials {
            username: Some(login.user.clone()),
            password: Some(login.password.clone()),
            serveraddress: Some(login.key().to_owned()),
            ..DockerCredentials::default()
        };
        let engine = self.clone();
        let told = client.push_image(name, Some(options), Some(credentials));
        Ok(told.map(move |told| match told {
            Ok(told) => Ok(told.status.unwrap_or_default()),
            Err(error) => Err(engine.of_push(&error)),
        }))
    }

    fn of_push(&self, error: &Error) -> PushError {
        match (error, self.explain(error)) {
            (Error::DockerStreamError { error }, _) => PushError::Registry(error.clone()),
            (_, EngineError::Refused { message, .. }) => PushError::Registry(message),
            (_, error) => PushError::Engine(error),
        }
    }

    /// Takes a name from an image. One that has no other name, and that no container is made of, goes with it.
    pub async fn untag(&self, name: &str) -> Result<(), EngineError> {
        let client = self.client().await?;
        let options = None::<RemoveImageOptions>;
        match self.call(client.remove_image(name, options, None)).await {
            Err(error) if error.is_absent() => Ok(()),
            result => result.map(drop),
        }
    }
}
