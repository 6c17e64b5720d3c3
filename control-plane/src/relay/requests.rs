//! What an agent asks on a connection for images, and what it is told.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio_util::io::ReaderStream;
use towline_shared::Fence;
use towline_shared::ids::{AgentId, JobId, TeamId};
use towline_shared::protocol::v1::Attempt;
use towline_shared::relay::{
    Digest, FENCE_HEADER, Images, MAX_BODY, MAX_CONFIG, MAX_IMAGES, MAX_LAYERS, Offered, Wanted,
    layers_of,
};

use super::layers::Piece;
use super::programs::get_program;
use super::{Layers, LayersError};
use crate::install::Binaries;
use crate::store::{Store, StoreError};

/// Whom a connection belongs to, and what it may reach.
#[derive(Clone)]
pub(super) struct Asker {
    pub(super) store: Store,
    pub(super) layers: Layers,
    pub(super) binaries: Binaries,
    pub(super) agent: AgentId,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Unreadable(&'static str),
    #[error("this agent does no such job under this fence (any more)")]
    NotYours,
    #[error("{0}")]
    Wrong(String),
    #[error(transparent)]
    Layers(#[from] LayersError),
    #[error("the control plane's store failed; try again")]
    Store(#[from] StoreError),
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Unreadable(_) => StatusCode::BAD_REQUEST,
            Self::NotYours => StatusCode::FORBIDDEN,
            Self::Wrong(_) | Self::Layers(LayersError::Wrong(..)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Self::Layers(LayersError::Absent(_)) => StatusCode::NOT_FOUND,
            Self::Layers(LayersError::Busy(_)) => StatusCode::CONFLICT,
            Self::Layers(LayersError::Full(..)) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Layers(LayersError::Cut(_)) => StatusCode::REQUEST_TIMEOUT,
            Self::Layers(LayersError::Io(error)) => {
                tracing::error!(%error, "an image could not be kept or given");
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Store(error) => {
                tracing::error!(%error, "an image could not be looked up");
                StatusCode::SERVICE_UNAVAILABLE
            }
        };
        (status, self.to_string()).into_response()
    }
}

/// What may be asked.
pub(super) fn router(asker: Asker) -> Router {
    Router::new()
        .route("/jobs/{job}/offer", post(offer))
        .route("/jobs/{job}/images", put(put_images).get(get_images))
        .route("/jobs/{job}/layers/{digest}", put(put_layer).get(get_layer))
        .route("/agent/{sha256}", get(get_program))
        .route("/", get(|| async { StatusCode::NO_CONTENT }))
        .with_state(asker)
}

async fn offer(
    State(asker): State<Asker>,
    Path(job): Path<JobId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let (team, _) = asker.builds(job, &headers).await?;
    let offered: Offered = read(body).await?;
    if offered.images.len() > MAX_IMAGES || offered.layers.len() > MAX_IMAGES * MAX_LAYERS {
        return Err(Refused::Unreadable(
            "more images or layers than one job may have",
        ));
    }
    let known = asker.store.known_images(team, &offered.images).await?;
    let unknown = offered.images.into_iter().filter(|id| !known.contains(id));
    Ok(written(&Wanted {
        images: unknown.collect(),
        layers: asker.layers.missing(team, offered.layers).await?,
    }))
}

#[derive(Deserialize)]
struct Place {
    offset: u64,
    length: u64,
}

async fn put_layer(
    State(asker): State<Asker>,
    Path((job, digest)): Path<(JobId, String)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    let (team, _) = asker.builds(job, &headers).await?;
    let piece = Piece {
        digest: digest_of(&digest)?,
        offset: place.offset,
        length: place.length,
        bytes: body.into_data_stream(),
    };
    Ok(written(&asker.layers.receive(team, piece).await?))
}

async fn put_images(
    State(asker): State<Asker>,
    Path(job): Path<JobId>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refused> {
    let (team, attempt) = asker.builds(job, &headers).await?;
    let mut images: Images = read(body).await?;
    asker.check(team, &mut images).await?;
    if asker
        .store
        .put_images(asker.agent, attempt, &images)
        .await?
    {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refused::NotYours)
    }
}

async fn get_images(
    State(asker): State<Asker>,
    Path(job): Path<JobId>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (_, build) = asker.runs(job, &headers).await?;
    Ok(written(&asker.store.built_images(build).await?))
}

#[derive(Deserialize)]
pub(super) struct From {
    pub(super) offset: u64,
}

async fn get_layer(
    State(asker): State<Asker>,
    Path((job, digest)): Path<(JobId, String)>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let (team, build) = asker.runs(job, &headers).await?;
    let digest = digest_of(&digest)?;
    let images = asker.store.built_images(build).await?;
    if !images.0.iter().any(|image| image.layers.contains(&digest)) {
        return Err(LayersError::Absent(digest).into());
    }
    let (file, length) = asker.layers.read(team, digest, from.offset).await?;
    let body = Body::from_stream(ReaderStream::with_capacity(file, 1 << 16));
    Ok(([(header::CONTENT_LENGTH, length)], body).into_response())
}

impl Asker {
    /// The team and the attempt of a job that this agent builds now.
    async fn builds(&self, job: JobId, headers: &HeaderMap) -> Result<(TeamId, Attempt), Refused> {
        let attempt = attempt(job, headers)?;
        let team = self.store.builder(self.agent, attempt).await?;
        Ok((team.ok_or(Refused::NotYours)?, attempt))
    }

    /// The team of a job that this agent does now, and the job that has built its images.
    async fn runs(&self, job: JobId, headers: &HeaderMap) -> Result<(TeamId, JobId), Refused> {
        let found = self
            .store
            .runner(self.agent, attempt(job, headers)?)
            .await?;
        found.ok_or(Refused::NotYours)
    }

    /// Refuses images that are not what they say, or whose layers are not here; puts in the configurations that are
    /// known.
    async fn check(&self, team: TeamId, images: &mut Images) -> Result<(), Refused> {
        if images.0.is_empty() || images.0.len() > MAX_IMAGES {
            return Err(Refused::Unreadable(
                "no images, or more than one job may build",
            ));
        }
        for image in &mut images.0 {
            let name = format!("the image of service {:?}", image.service);
            if image.service.len() > 128 || image.reference.len() > 512 {
                return Err(Refused::Unreadable(
                    "the name of a service or an image is too long",
                ));
            }
            if image.config.is_empty() {
                image.config = self
                    .store
                    .image_config(team, image.id)
                    .await?
                    .ok_or_else(|| {
                        Refused::Wrong(format!("{name} comes without its configuration"))
                    })?;
            }
            if image.config.len() > MAX_CONFIG || image.layers.len() > MAX_LAYERS {
                return Err(Refused::Wrong(format!(
                    "{name} has too many layers, or too long a configuration"
                )));
            }
            if sha256(&image.config) != image.id {
                return Err(Refused::Wrong(format!(
                    "{name} is not the one that its id says"
                )));
            }
            if layers_of(&image.config).as_ref() != Ok(&image.layers) {
                return Err(Refused::Wrong(format!(
                    "{name} has other layers than its configuration says"
                )));
            }
            let missing = self.layers.missing(team, image.layers.clone()).await?;
            if let Some((digest, _)) = missing.first() {
                return Err(Refused::Wrong(format!(
                    "{name} has the layer {digest}, which was not sent"
                )));
            }
        }
        Ok(())
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    use sha2::Digest as _;
    Digest(sha2::Sha256::digest(bytes).into())
}

fn attempt(job: JobId, headers: &HeaderMap) -> Result<Attempt, Refused> {
    let fence = headers
        .get(FENCE_HEADER)
        .and_then(|fence| fence.to_str().ok());
    let fence: Option<Fence> = fence.and_then(|fence| fence.parse().ok());
    let fence = fence.ok_or(Refused::Unreadable("no fence in the header towline-fence"))?;
    Ok(Attempt { job, fence })
}

fn digest_of(text: &str) -> Result<Digest, Refused> {
    let unreadable = |_| Refused::Unreadable("no digest of a layer");
    text.parse().map_err(unreadable)
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, Refused> {
    let unreadable = || Refused::Unreadable("the body is too long, or not what is awaited");
    let bytes = to_bytes(body, MAX_BODY).await.map_err(|_| unreadable())?;
    postcard::from_bytes(&bytes).map_err(|_| unreadable())
}

fn written(answer: &impl Serialize) -> Response {
    match postcard::to_stdvec(answer) {
        Ok(bytes) => bytes.into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
