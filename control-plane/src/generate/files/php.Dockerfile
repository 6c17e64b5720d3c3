{% include "head.Dockerfile" %}
{% if composer %}
ARG BUILD_IMAGE={{ recipe.build_image }}
{% endif %}
{% if app.build %}
ARG NODE_IMAGE=node:22-bookworm-slim
{% endif %}
ARG RUN_IMAGE={{ recipe.run_image }}

{% if composer %}
FROM ${BUILD_IMAGE} AS build
WORKDIR /app
{% include "install.Dockerfile" %}
RUN {{ recipe.prune }}

{% endif %}
{% if app.build %}
FROM ${NODE_IMAGE} AS assets
WORKDIR /app
COPY . .
RUN --mount=type=cache,id={{ name }}-npm,target=/root/.npm {{ app.build }}

{% endif %}
FROM ${RUN_IMAGE}
{% if app.packages %}
RUN docker-php-ext-install -j"$(nproc)"{% for package in app.packages %} {{ package }}{% endfor %}

{% endif %}
RUN mv "$PHP_INI_DIR/php.ini-production" "$PHP_INI_DIR/php.ini" \
    && a2enmod rewrite \
    && sed -ri -e 's/^Listen 80$/Listen {{ app.port }}/' /etc/apache2/ports.conf \
    && sed -ri -e 's/:80>/:{{ app.port }}>/' -e 's#/var/www/html#{{ document_root }}#' /etc/apache2/sites-available/*.conf \
    && printf '<Directory {{ document_root }}>\nAllowOverride All\nRequire all granted\n</Directory>\n' > /etc/apache2/conf-enabled/site.conf
{% include "environment.Dockerfile" %}
WORKDIR /var/www/html
{% if composer %}
COPY --from=build /app ./
{% else %}
COPY . .
{% endif %}
{% if app.build %}
COPY --from=assets /app/public/build ./public/build
{% endif %}
{% include "end.Dockerfile" %}
