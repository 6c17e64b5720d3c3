{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN {{ mounts }} {{ app.build }}

FROM ${RUN_IMAGE}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /src/{{ app.output }} ./
{% include "end.Dockerfile" %}
