{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN {{ mounts }} {{ app.build }}
RUN find {{ app.output|shell }} -maxdepth 1 -name '*.jar' ! -name '*-plain.jar' ! -name '*-sources.jar' \
    ! -name '*-javadoc.jar' ! -name 'original-*' -exec cp {} /app.jar ';'

FROM ${RUN_IMAGE}
{% include "user.Dockerfile" %}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /app.jar ./
{% include "end.Dockerfile" %}
