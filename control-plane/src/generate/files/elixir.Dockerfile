{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
# Alpine keeps the newest version of a package only: a pinned one would break the build when the next one comes.
# hadolint ignore=DL3018
RUN apk add --no-cache build-base git
ENV MIX_ENV="prod"
RUN mix local.hex --force && mix local.rebar --force
WORKDIR /app
{% include "install.Dockerfile" %}
RUN {{ app.build }}

# A release needs the very libraries that it was built with, so it runs on the image of its build.
FROM ${RUN_IMAGE}
{% include "user.Dockerfile" %}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /app/{{ app.output }} ./
{% include "end.Dockerfile" %}
