{% include "head.Dockerfile" %}
{% if built_by_node %}
ARG BUILD_IMAGE={{ recipe.build_image }}
{% endif %}
ARG RUN_IMAGE={{ recipe.run_image }}

{% if built_by_node %}
FROM ${BUILD_IMAGE} AS build
WORKDIR /app
{% for step in recipe.setup %}
RUN {{ step }}
{% endfor %}
{% include "install.Dockerfile" %}
{% if app.build %}
RUN {{ app.build }}
{% endif %}

{% endif %}
FROM ${RUN_IMAGE}
COPY nginx.conf /etc/nginx/conf.d/default.conf
{% if built_by_node %}
COPY --from=build /app/{{ app.output }} /usr/share/nginx/html
{% else %}
COPY {{ app.output }} /usr/share/nginx/html
{% endif %}
{% include "end.Dockerfile" %}
