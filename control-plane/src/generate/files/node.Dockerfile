{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
WORKDIR /app
{% for step in recipe.setup %}
RUN {{ step }}
{% endfor %}
{% include "install.Dockerfile" %}
{% if app.build %}
RUN {% if standalone %}mkdir -p public && {% endif %}{{ app.build }}
{% endif %}
{% if recipe.prune %}
RUN {{ mounts }} {{ recipe.prune }}
{% endif %}

FROM ${RUN_IMAGE}
{% include "environment.Dockerfile" %}
WORKDIR /app
{% if standalone %}
COPY --from=build /app/.next/standalone ./
COPY --from=build /app/.next/static ./.next/static
COPY --from=build /app/public ./public
{% elif app.output %}
COPY --from=build /app/{{ app.output }} ./{{ app.output }}
{% else %}
COPY --from=build /app ./
{% endif %}
{% include "end.Dockerfile" %}
