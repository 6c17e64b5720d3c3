//! What images that were built are made of, as people read it.

use super::{
    Surface,
    outcome::short_id,
    table::{Rows, whole, wraps},
    units::bytes,
};
use crate::api::deployments::BuiltImage;

/// The layers of the images, the lowest of each first.
pub fn table(images: &[BuiltImage], surface: Surface) -> String {
    let columns = [
        whole("built for"),
        whole("layer"),
        whole("size"),
        wraps("made by"),
    ];
    let mut rows = Rows::new(surface, columns);
    for image in images {
        rows.row([
            image.service.as_str().into(),
            "all".into(),
            bytes(image.size).into(),
            "".into(),
        ]);
        for layer in &image.layers {
            rows.row([
                "".into(),
                short_id(&layer.digest).into(),
                layer.size.map(bytes).unwrap_or_default().into(),
                layer.made_by.as_str().into(),
            ]);
        }
    }
    rows.finish("Nothing was built.")
}
