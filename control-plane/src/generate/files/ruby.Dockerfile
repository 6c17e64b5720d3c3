{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
ENV BUNDLE_PATH="/usr/local/bundle" BUNDLE_WITHOUT="development:test" BUNDLE_GLOBAL_GEM_CACHE="true"{% if locked %} BUNDLE_DEPLOYMENT="1"{% endif %}

{% include "environment.Dockerfile" %}
WORKDIR /app
{% include "install.Dockerfile" %}
{% if app.build %}
RUN {{ app.build }}
{% endif %}

FROM ${RUN_IMAGE}
{% if app.packages %}
# Debian keeps the newest version of a package only: a pinned one would break the build when the next one comes.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends{% for package in app.packages %} {{ package }}{% endfor %} \
    && rm -rf /var/lib/apt/lists/*
{% endif %}
RUN groupadd --gid {{ recipe.user }} app && useradd --uid {{ recipe.user }} --gid app --no-create-home app
ENV BUNDLE_PATH="/usr/local/bundle" BUNDLE_WITHOUT="development:test"{% if locked %} BUNDLE_DEPLOYMENT="1"{% endif %}

{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /usr/local/bundle /usr/local/bundle
COPY --from=build /app ./
{% include "end.Dockerfile" %}
