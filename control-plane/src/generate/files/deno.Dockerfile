{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
COPY . .
# What runs needs the modules in the image, so they are copied out of the cache in the same step.
RUN {{ mounts }} \
    export DENO_DIR=/cache && {% for step in recipe.install %}{{ step }}{% endfor %}{% if app.build %} && {{ app.build }}{% endif %} && cp -r /cache /modules

FROM ${RUN_IMAGE}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build --chown={{ recipe.user }}:{{ recipe.user }} /modules /deno-dir
COPY --from=build /app ./
{% include "end.Dockerfile" %}
