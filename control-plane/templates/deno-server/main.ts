const port = Number(Deno.env.get("PORT") ?? 8000);

Deno.serve({ port }, (request: Request) => {
  const path = new URL(request.url).pathname;
  return new Response(path === "/health" ? "well\n" : "Hello from Deno\n");
});
