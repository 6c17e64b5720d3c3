{% include "head.Dockerfile" %}
ARG BUILD_IMAGE={{ recipe.build_image }}
ARG RUN_IMAGE={{ recipe.run_image }}

FROM ${BUILD_IMAGE} AS build
{% for step in recipe.setup %}
RUN {{ mounts }} {{ step }}
{% endfor %}
RUN python -m venv /opt/venv
ENV PATH="/opt/venv/bin:${PATH}" VIRTUAL_ENV="/opt/venv"{% if uv %} UV_PROJECT_ENVIRONMENT="/opt/venv" UV_LINK_MODE="copy"{% endif %}

WORKDIR /app
{% include "install.Dockerfile" %}
{% if app.build %}
RUN {{ app.build }}
{% endif %}

FROM ${RUN_IMAGE}
RUN groupadd --gid {{ recipe.user }} app && useradd --uid {{ recipe.user }} --gid app --no-create-home app
ENV PATH="/opt/venv/bin:${PATH}" PYTHONUNBUFFERED="1" PYTHONDONTWRITEBYTECODE="1"
{% include "environment.Dockerfile" %}
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app ./
{% include "end.Dockerfile" %}
