use axum::{Router, routing::get};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let routes = Router::new()
        .route("/", get(|| async { "Hello from Rust\n" }))
        .route("/health", get(|| async { "well\n" }));
    let listener = tokio::net::TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("listening on port {port}");
    axum::serve(listener, routes).await
}
