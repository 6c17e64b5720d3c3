//! Images: by which ids and digests they are known, and tags of our own that keep them.

use std::collections::HashMap;

use bollard::query_parameters::{
    ListImagesOptionsBuilder, RemoveImageOptions, TagImageOptionsBuilder,
};

use super::{Engine, EngineError};

/// An image that the engine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::executor::docker) struct Image {
    /// The engine's id of it.
    pub id: String,
    /// Under which digests registries have it.
    pub digests: Vec<String>,
}

impl Engine {
    /// An image by a name, a digest or an id, if the engine has it.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        let client = self.client().await?;
        match self.call(client.inspect_image(reference)).await {
            Ok(image) => Ok(image.id.map(|id| Image {
                id,
                digests: image.repo_digests.unwrap_or_default(),
            })),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
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
