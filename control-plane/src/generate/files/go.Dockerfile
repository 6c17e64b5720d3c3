{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
ENV {{ recipe.setup[0] }}
WORKDIR /src
{% include "install.Dockerfile" %}
RUN {{ mounts }} {{ app.build }}

FROM ${RUN_IMAGE}
{% include "user.Dockerfile" %}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /src/{{ app.output }} ./
{% include "end.Dockerfile" %}
