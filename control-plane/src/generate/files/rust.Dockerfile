{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
# What is built stays in the cache alone, so it is copied in the same step.
RUN {{ mounts }} \
    {{ app.build }} && mkdir /out && cp {{ app.output|shell }} /out/

FROM ${RUN_IMAGE}
{% include "user.Dockerfile" %}
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /out/ ./
{% include "end.Dockerfile" %}
