//! What images that a job has built are made of, as the engine tells their history.
//!
//! The engine tells the layers of an image by their digests, and the steps of its making by their instructions and sizes,
//! of which some make no layer. Where the two cannot be brought together, the layers are told by their digests alone. Nothing here
//! decides whether a job succeeds.

use towline_shared::outcome::{BuiltImage, Layer};
use towline_shared::spec::PinnedImage;

use super::engine::HistoryStep;
use super::job::Job;

/// The most bytes of an instruction that are told.
const MAX_INSTRUCTION: usize = 300;
/// The most bytes of all that is told of a job's images, of the frame that its result has.
const MAX_TOLD: usize = 96 * 1024;
/// What a layer takes in the frame besides its texts.
const LAYER_OVERHEAD: usize = 24;
/// Instructions that change an image's configuration alone.
const WITHOUT_LAYER: [&str; 13] = [
    "ARG",
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
];
/// How the former builder marks, behind the shell's name and its option, what it has not run.
const NOT_RUN: &str = "-c #(nop) ";
/// What it begins every line with.
const SHELL: &str = "/bin/sh ";

/// What those of the images are made of that the job has built.
pub(super) async fn of_built(job: &Job<'_>, images: &[PinnedImage]) -> Vec<BuiltImage> {
    let mut built = Vec::new();
    let mut room = MAX_TOLD;
    for image in images
        .iter()
        .filter(|image| job.builds.contains(&image.service))
    {
        let Some(mut told) = of_image(job, image).await else {
            continue;
        };
        let size: usize = told.layers.iter().map(told_bytes).sum();
        match room.checked_sub(size) {
            Some(left) => room = left,
            None => told.layers.clear(),
        }
        built.push(told);
    }
    built
}

async fn of_image(job: &Job<'_>, image: &PinnedImage) -> Option<BuiltImage> {
    let engine = &job.host.engine;
    let found = job.bounded(engine.image(&image.id)).await.ok()?.ok()??;
    let history = job.bounded(engine.history(&image.id)).await.ok()?.ok()?;
    let mask = |text: &str| job.masker.mask_text(text);
    Some(BuiltImage {
        service: image.service.clone(),
        id: image.id.clone(),
        size: found.size,
        layers: layers(found.layers, &history, &mask),
    })
}

/// Brings layers and the steps of their making together, both the oldest first.
fn layers(
    digests: Vec<String>,
    history: &[HistoryStep],
    mask: &dyn Fn(&str) -> String,
) -> Vec<Layer> {
    let makers: Vec<&HistoryStep> = history.iter().filter(|step| makes_a_layer(step)).collect();
    let makers = (makers.len() == digests.len()).then_some(makers);
    let layer = |(at, digest): (usize, String)| {
        let maker = makers.as_ref().map(|makers| makers[at]);
        Layer {
            digest,
            size: maker.map(|step| step.size),
            made_by: maker.map_or_else(String::new, |step| told(&mask(instruction(&step.made_by)))),
        }
    };
    digests.into_iter().enumerate().map(layer).collect()
}

fn makes_a_layer(step: &HistoryStep) -> bool {
    let word = instruction(&step.made_by).split(' ').next();
    // The former builder writes down the shell of what it ran; where that changed nothing, there is no layer.
    let is_kept = |word: &str| !word.starts_with('/') && !WITHOUT_LAYER.contains(&word);
    step.size > 0 || word.is_some_and(is_kept)
}

/// The instruction as a Dockerfile has it, as far as the engine tells.
fn instruction(made_by: &str) -> &str {
    let not_run = made_by.strip_prefix(SHELL);
    let not_run = not_run.and_then(|rest| rest.strip_prefix(NOT_RUN));
    let text = not_run.unwrap_or(made_by);
    text.trim().trim_end_matches(" # buildkit").trim_end()
}

fn told(instruction: &str) -> String {
    let end = instruction.floor_char_boundary(MAX_INSTRUCTION);
    instruction[..end].to_owned()
}

fn told_bytes(layer: &Layer) -> usize {
    layer.digest.len() + layer.made_by.len() + LAYER_OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(made_by: &str, size: u64) -> HistoryStep {
        HistoryStep {
            made_by: made_by.to_owned(),
            size,
        }
    }

    fn read(digests: &[&str], history: &[HistoryStep]) -> Vec<(String, Option<u64>)> {
        let digests = digests.iter().map(|digest| (*digest).to_owned()).collect();
        let mask = |text: &str| text.replace("s3cret", "***");
        let layers = layers(digests, history, &mask);
        layers
            .into_iter()
            .map(|layer| (format!("{} {}", layer.digest, layer.made_by), layer.size))
            .collect()
    }

    #[test]
    fn layers_are_told_by_the_steps_that_made_them() {
        let former = [
            step("", 900),
            step("/bin/sh -c #(nop) COPY file:1f in /page ", 20),
            step("/bin/sh -c echo s3cret >/page", 30),
            step("/bin/sh -c #(nop)  CMD [\"sleep\" \"1\"]", 0),
        ];
        assert_eq!(
            read(&["a", "b", "c"], &former),
            [
                ("a ".to_owned(), Some(900)),
                ("b COPY file:1f in /page".to_owned(), Some(20)),
                ("c /bin/sh -c echo *** >/page".to_owned(), Some(30)),
            ]
        );
        let buildkit = [
            step("COPY /rootfs / # buildkit", 900),
            step("ENV A=1", 0),
            step("WORKDIR /app", 0),
            step("RUN /bin/sh -c true # buildkit", 0),
            step("CMD [\"sleep\"]", 0),
        ];
        assert_eq!(
            read(&["a", "b", "c"], &buildkit),
            [
                ("a COPY /rootfs /".to_owned(), Some(900)),
                ("b WORKDIR /app".to_owned(), Some(0)),
                ("c RUN /bin/sh -c true".to_owned(), Some(0)),
            ]
        );
        // What does not fit together is not told together.
        assert_eq!(
            read(&["a", "b"], &buildkit),
            [("a ".to_owned(), None), ("b ".to_owned(), None)]
        );
    }

    #[test]
    fn long_instructions_are_cut() {
        let history = [step(&format!("RUN {}", "é".repeat(500)), 1)];
        let layers = read(&["a"], &history);
        assert!(layers[0].0.len() <= MAX_INSTRUCTION + 2, "{layers:?}");
    }
}
