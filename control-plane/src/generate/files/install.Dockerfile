{% if app.manifests %}
COPY {{ app.manifests|copied }}
{% else %}
COPY . .
{% endif %}
RUN {{ mounts }} {{ install }}
{% if app.manifests %}
COPY . .
{% endif %}
