var app = WebApplication.CreateBuilder(args).Build();

app.MapGet("/", () => "Hello from .NET\n");
app.MapGet("/health", () => "well\n");
app.Run();
